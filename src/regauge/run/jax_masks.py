"""Dropout masks under `jax.vmap`: where each example has a key of its own, each has a mask of its own.

A model that is written for one example asks for the mask of one, and `jax.vmap` draws as many as there are keys. So a
mask is an operation whose batching rule gives it an axis for the keys; which numbers it has is decided when it is
lowered, when its whole shape is known.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jax.extend import core
from jax.interpreters import batching, mlir

Shape = tuple[int, ...]
# the mask of a shape, made from arrays that were given with it
Make = Callable[..., jax.Array]
# what is told of a whole shape
Grown = Callable[[Shape], None]

_MASK = core.Primitive("planted_mask")
_FACTORS = core.Primitive("observed_factors")


def mask_of(key: Any, shape: Shape, make: Make, grown: Grown, *arrays: Any) -> jax.Array:
    """bool[keys..., shape]: the mask that a draw with this key has; within `jax.vmap` it seems to have `shape`.

    Args:
        key: of jax.random, with which the model would draw; it says which axes of `jax.vmap` have draws of their own.
        shape: for which the model asks.
        make: of the whole shape and `arrays`.
        grown: is called when the mask gets another axis, the first one.
        arrays: that `make` needs; the same for all examples.
    """
    made: jax.Array = _MASK.bind(key, *arrays, shape=shape, make=make, grown=grown)
    return made


def observed(factors: Any, keep: Callable[[Any], None]) -> jax.Array:
    """The factors of a dropout as they are; `keep` is given those of all examples together, outermost last."""
    keep(factors)
    same: jax.Array = _FACTORS.bind(factors, keep=keep)
    return same


def _made(_: Any, *arrays: Any, shape: Shape, make: Make, grown: Grown) -> jax.Array:
    return make(shape, *arrays)


def _batched_mask(values: Any, axes: Any, *, shape: Shape, make: Make, grown: Grown) -> tuple[jax.Array, int]:
    key, *arrays = values
    shape = (key.shape[axes[0]], *shape)
    grown(shape)
    return mask_of(jnp.moveaxis(key, axes[0], 0), shape, make, grown, *arrays), 0


def _batched_factors(values: Any, axes: Any, *, keep: Callable[[Any], None]) -> tuple[jax.Array, int]:
    return observed(jnp.moveaxis(values[0], axes[0], 0), keep), 0


_MASK.def_impl(_made)
_MASK.def_abstract_eval(lambda *_, shape, **__: jax.core.ShapedArray(shape, jnp.bool_))
batching.primitive_batchers[_MASK] = _batched_mask
mlir.register_lowering(_MASK, mlir.lower_fun(_made, multiple_results=False))
_FACTORS.def_impl(lambda factors, **_: factors)
_FACTORS.def_abstract_eval(lambda factors, **_: factors)
batching.primitive_batchers[_FACTORS] = _batched_factors
mlir.register_lowering(_FACTORS, lambda _, factors, **__: [factors])
