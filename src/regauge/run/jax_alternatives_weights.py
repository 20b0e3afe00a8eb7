"""Other values of a weight: the mistakes of copying, for arrays in torch's layout."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from regauge.run.jax_calls import WeightLayout

WEIGHTS: dict[str, Callable[..., Array]] = {}


def of_weight(function: Callable[..., Array]) -> Callable[..., Array]:
    WEIGHTS[function.__name__] = function
    return function


def changed(
    name: str, arrays: Mapping[str, Array], layout: WeightLayout | None, how: str, options: Mapping[str, Any]
) -> Array:
    """A weight with other values.

    Args:
        name: of the weight.
        arrays: all of the side, as they are.
        layout: of the weight; its own where it is unknown.
        how: name of the change.
        options: of the change.
    """
    own = arrays[name]
    if how == "exchanged":
        return arrays[options["other"]]
    if layout is None:
        return WEIGHTS[how](own, **options)
    seen = own.transpose(layout.order)
    other = WEIGHTS[how](seen.reshape(layout.shape), **options).reshape(seen.shape)
    return other.transpose([layout.order.index(axis) for axis in range(own.ndim)])


@of_weight
def transposed(array: Array) -> Array:
    return array.swapaxes(0, 1)


@of_weight
def turned(array: Array) -> Array:
    """A kernel turned around in space."""
    return jnp.flip(array, tuple(range(2, array.ndim)))


@of_weight
def zero(array: Array) -> Array:
    return jnp.zeros_like(array)


@of_weight
def low(array: Array, *, to: str) -> Array:
    return lax.reduce_precision(array, *{"float32": (8, 23), "bfloat16": (8, 7), "float16": (5, 10)}[to])


@of_weight
def reordered(array: Array, *, order: Sequence[int]) -> Array:
    """Blocks of rows in another order."""
    blocks = jnp.split(array, len(order), 0)
    return jnp.concatenate([blocks[i] for i in order])


@of_weight
def interleaved(array: Array, *, sizes: Sequence[int], parts: int = 1, members: Sequence[int] = (0,)) -> Array:
    """Rows seen as (a, b), ordered as (b, a) within each outer block.

    Args:
        array: the weight.
        sizes: (outer, a, b).
        parts: blocks of rows that the weight is joined from.
        members: the blocks that are reordered.
    """
    blocks = jnp.split(array, parts, 0)
    for member in members:
        rows = blocks[member]
        blocks[member] = rows.reshape(*sizes, *array.shape[1:]).swapaxes(1, 2).reshape(rows.shape)
    return jnp.concatenate(blocks)
