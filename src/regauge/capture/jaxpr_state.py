"""What a model of JAX may do with its state and its random streams, if it is to be a module of torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regauge.capture.jax_purity import source_line
from regauge.errors import CaptureError
from regauge.ir.graph import Node, Ref, node_inputs
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
