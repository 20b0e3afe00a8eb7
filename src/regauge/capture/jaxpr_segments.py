"""Sums, largest and least elements of segments, as networks of graphs take them: `jax.ops.segment_sum` and its like."""

from __future__ import annotations

from collections.abc import Iterator

import jax
import jax.numpy as jnp

from regauge.capture.jaxpr_functions import Candidate, Function, Place, probe

_UNLIKE = (jnp.unsignedinteger, jnp.complexfloating, jnp.bool_)  # torch neither sums nor compares all of these


def _segmented(place: Place) -> Iterator[Candidate]:
    """The first node fills the result, whose first size is the number of segments; data and numbers of segments
    are what the scatter behind it takes."""
    sizes = place.aval(place.node.outputs[0].name).shape
    scatter = next((node for node in place.following()[:6] if node.op.startswith("lax.scatter_")), None)
    if scatter is None or not sizes:
        return
    operands = [scatter.argument("updates"), _unmade(place, scatter.argument("indices"))]
    data, ids = (place.aval(operand.name) if hasattr(operand, "name") else None for operand in operands)
    if data is None or ids is None or len(ids.shape) != 1 or any(jnp.issubdtype(data.dtype, kind) for kind in _UNLIKE):
        return
    yield Candidate((("data", data), ("segment_ids", ids)), (("num_segments", sizes[0]),))


def _unmade(place: Place, operand: object) -> object:
    """The numbers of segments, before they are given an axis of their own."""
    made = {value.name: node for node in place.following()[:6] for value in node.outputs}
    node = made.get(getattr(operand, "name", ""))
    return operand if node is None else _unmade(place, node.arguments[0][1])


_ARRAYS = (*probe(("data", (4, 3))).arrays, *probe(("segment_ids", (4,)), dtype=jnp.int32).arrays)

SEGMENTS = tuple(
    Function(f"jax.ops.{call.__name__}", call, _segmented, Candidate(_ARRAYS, (("num_segments", 2),)))
    for call in (jax.ops.segment_sum, jax.ops.segment_max, jax.ops.segment_min)
)
