"""Views by strides: indices of the flat elements of a contiguous array, which is all that capture lets through."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("strided")


def places_by_strides(size: Sequence[int], stride: Sequence[int], offset: int) -> np.ndarray:
    """The index among the flat elements of every element of a view by strides."""
    places = np.full((), offset)
    for length, step in zip(size, stride, strict=True):
        places = places[..., None] + step * np.arange(length)
    return places


@TABLE.rule("aten.as_strided.default", "aten.as_strided_copy.default")
def as_strided(self: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None) -> Array:
    """as_strided(Tensor(a) self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor(a)
    as_strided_copy(Tensor self, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) -> Tensor
    """
    return jnp.ravel(self)[places_by_strides(size, stride, storage_offset or 0)]


@TABLE.rule("aten.as_strided_scatter.default")
def as_strided_scatter(
    self: Array, src: Array, size: Sequence[int], stride: Sequence[int], storage_offset: int | None = None
) -> Array:
    """as_strided_scatter(Tensor self, Tensor src, SymInt[] size, SymInt[] stride, SymInt? storage_offset=None) ->
    Tensor
    """
    places = places_by_strides(size, stride, storage_offset or 0)
    return jnp.reshape(jnp.ravel(self).at[places].set(src.astype(self.dtype)), self.shape)
