"""What a model of JAX may do with its state and its random streams, if it is to be a module of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from flax import nnx

from regauge.capture.jax_purity import source_line
from regauge.capture.jaxpr_values import Known
from regauge.capture.jaxpr_walk import Walk
from regauge.errors import CaptureError
from regauge.findings import Finding
from regauge.ir.graph import Node, Operand, Ref, node_inputs
from regauge.run.jax_program import JaxProgram


def refuse_new_state(program: JaxProgram, state: Mapping[str, Any]) -> None:
    """Raise CaptureError where a call makes state, or loses some."""
    made, gone = sorted(set(state) - set(program.state)), sorted(set(program.state) - set(state))
    if made or gone:
        raise CaptureError(
            f"{program.name} changes which state it has while it is called",
            code="C162",
            where=source_line(program),
            received=", ".join(made or gone),
            why="the state of a module is fixed when it is made: a second call would be another program",
            next="make the variable in __init__ (nnx.Variable(jnp.zeros(shape))), or return its value",
        )


def refuse_new_parameters(
    program: JaxProgram, walk: Walk, reads: Mapping[str, Ref], results: Mapping[str, Operand | Known]
) -> None:
    """Raise CaptureError where a call gives parameters other values: autograd takes those of torch for fixed.

    `nnx.SpectralNorm` and `nnx.WeightNorm` do so with kernels, which they normalise in every call anew: that is found.

    Args:
        program: the model.
        walk: of the trace.
        reads: values by kind and name, ``weight layer.kernel``.
        results: the values that parameters have after the call, by name.
    """
    makers = {value.name: node.op for node in walk.nodes for value in node.outputs}
    changed = [name for name, result in results.items() if result != reads.get(f"weight {name}")]
    changed = [n for n in changed if not makers.get(getattr(results[n], "name", ""), "").startswith("regauge.")]
    names = ", ".join(sorted(changed))
    if changed and all(is_normalised(program, name) for name in changed):
        walk.findings.append(
            Finding(
                "C185",
                "warning",
                source_line(program),
                f"A call normalises {names} and keeps the result; the module keeps the parameter as it is: "
                "a call gives the same, a training step another parameter.",
            )
        )
    elif changed:
        raise CaptureError(
            f"{program.name} gives parameters other values while it is called",
            code="C186",
            where=source_line(program),
            received=names,
            why="a parameter of torch changes by its optimizer alone, and the gradient of a call needs it as it was",
            next="keep what a call changes in an nnx.Variable or nnx.BatchStat, or change parameters beside the call",
        )


def is_normalised(program: JaxProgram, name: str) -> bool:
    """Whether a parameter is one of a layer that a module of NNX normalises."""
    module: Any = getattr(program, "module", None)
    for step in name.split("."):
        if isinstance(module, nnx.SpectralNorm | nnx.WeightNorm):
            return True
        module = module[int(step)] if step.isdigit() and hasattr(module, "__getitem__") else getattr(module, step, None)
    return False


def refuse_streams(program: JaxProgram, reads: Mapping[str, Ref], nodes: Sequence[Node], leaving: set[str]) -> None:
    """Raise CaptureError where a random stream of the model's own, or the key of the call, is read or given back.

    Args:
        program: the model.
        reads: values by kind and name, ``state dropout.key``.
        nodes: what is left of the trace; dropout layers draw from no stream any more.
        leaving: values that are outputs or new state.
    """
    streams = {reads[f"state {name}"].name: name for name in program.random}
    drawn = {reads["key key"].name, *streams}
    readers = [(node, name) for node in nodes for name in node_inputs(node) if name in drawn]
    names = [name for _, name in readers] + sorted(drawn & leaving)
    if names:
        raise CaptureError(
            "the model draws random numbers",
            code="C153",
            where=(readers[0][0].origin.line if readers else "") or source_line(program),
            received=", ".join(dict.fromkeys(streams[name] for name in names if name in streams)) or "its key",
            why="the stream of a module of JAX has no counterpart in a module of torch",
            next="capture in evaluation mode, or pass a key as an input; dropout in a scan over layers is torch's "
            "where each layer has a key of its own (in Linen split_rngs=dict(dropout=True))",
        )
