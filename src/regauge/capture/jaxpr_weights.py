"""The weights of a captured JAX model: its parameters, its state, and arrays that the program holds."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, Literal

from regauge.capture.jaxpr_layers import slice_of
from regauge.capture.jaxpr_values import constant_weights
from regauge.capture.jaxpr_walk import Walk
from regauge.ir.graph import Node, Ref, WeightSpec, node_inputs
from regauge.run.jax_program import JaxProgram


def weights_of(
    program: JaxProgram, reads: Mapping[str, Ref], read: set[str], walk: Walk, owners: Mapping[str, str]
) -> tuple[WeightSpec, ...]:
    """All weights of a model.

    Args:
        program: of the model.
        reads: values by kind and name, ``weight layers.0.bias``.
        read: the values that nodes read or that leave the graph.
        walk: that made the nodes.
        owners: names of arrays that the program holds, by value.
    """
    return (
        *_weights(program.params, "parameter", reads, "weight", read, walk),
        *_weights(kept_state(program), "buffer", reads, "state", read, walk, program.frozen),
        *(replace(w, name=owners.get(w.value, w.name)) for w in constant_weights(walk.constants) if w.value in read),
    )


def kept_state(program: JaxProgram) -> dict[str, Any]:
    """The state of a model without its random streams."""
    return {name: value for name, value in program.state.items() if name not in program.random}


def owners_of(nodes: Sequence[Node]) -> dict[str, str]:
    """Names for the arrays that the program holds, by value: an array that one module reads is that module's."""
    readers: dict[str, set[str]] = {}
    for node in nodes:
        for name in node_inputs(node):
            readers.setdefault(name, set()).add(node.origin.path)
    single = {name: next(iter(paths)) for name, paths in readers.items() if len(paths) == 1}
    return {name: f"{path}.{name}" for name, path in single.items() if path}


def _weights(
    arrays: Mapping[str, Any],
    role: Literal["parameter", "buffer"],
    reads: Mapping[str, Ref],
    kind: str,
    read: set[str],
    walk: Walk,
    frozen: frozenset[str] = frozenset(),
) -> list[WeightSpec]:
    found: list[WeightSpec] = []
    for name in arrays:
        value, own = reads[f"{kind} {name}"].name, "parameter" if name in frozen else role
        pieces = walk.stacked.pieces(value, read) if walk.stacked is not None else []
        for piece, weight in pieces:
            part, spec = slice_of(weight, walk.specs[value]), walk.specs[piece]
            given = piece if piece in read else ""
            found.append(WeightSpec(weight.name, given, spec, own, role == "parameter", slice_of=part))
    return found
