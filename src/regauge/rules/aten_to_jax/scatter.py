"""Writing elements: the functional forms of assignments to parts of an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("scatter")


def _masks(arguments: Mapping[str, Any]) -> list[Any]:
    return [i for i in arguments["indices"] if i is not None and i.dtype in ("bool", "uint8")]


def _mask_with_list(arguments: Mapping[str, Any]) -> bool:
    masks = _masks(arguments)
    if not masks:
        return False
    single = len(arguments["indices"]) == 1
    return not single or arguments["values"].ndim > arguments["self"].ndim - masks[0].ndim


MASK_WITH_LIST = Limit(
    when="a boolean mask and a list of values",
    applies=_mask_with_list,
    effect="unsupported",
    reason="how many values are used depends on the mask; write torch.where, or masked_scatter",
)
REPEATED_INDICES = Limit(
    when="accumulate is False",
    applies=lambda arguments: not arguments.get("accumulate") and not _masks(arguments),
    effect="approximate",
    reason="where an index occurs twice, neither framework says which value stays; the gradient of the other differs",
)


def places(index: Array, dim: int) -> tuple[Array, ...]:
    """Index arrays that name, for each element of `index`, the place it points to along `dim`."""
    grid = list(jnp.indices(index.shape, sparse=True))
    grid[dim % index.ndim] = index
    return tuple(grid)


def corner(source: Array, index: Array) -> Array:
    """The leading part of the source that an index array uses."""
    return source[tuple(slice(n) for n in index.shape)]


@TABLE.rule("aten.index_put.default", "aten._unsafe_index_put.default", limits=[MASK_WITH_LIST, REPEATED_INDICES])
def index_put(self: Array, indices: Sequence[Array | None], values: Array, accumulate: bool = False) -> Array:
    """index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor
    _unsafe_index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor
    """
    if len(indices) == 1 and indices[0] is not None and indices[0].dtype == jnp.bool_:
        missing = self.ndim - indices[0].ndim
        mask = jnp.reshape(indices[0], indices[0].shape + (1,) * missing) if missing else indices[0]
        return jnp.where(mask, self + values if accumulate else values, self)
    index = tuple(slice(None) if i is None else i for i in indices)
    if accumulate and self.dtype == bool:
        return self.at[index].max(values)
    if accumulate:
        return self.at[index].add(values)
    return self.at[index].set(values)


@TABLE.rule("aten.scatter.src")
def scatter(self: Array, dim: int, index: Array, src: Array) -> Array:
    """scatter.src(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    if self.ndim == 0:
        return jnp.reshape(src, ())
    return self.at[places(index, dim)].set(corner(src, index))


@TABLE.rule("aten.scatter.value")
def scatter_value(self: Array, dim: int, index: Array, value: float) -> Array:
    """scatter.value(Tensor self, int dim, Tensor index, Scalar value) -> Tensor"""
    if self.ndim == 0:
        return jnp.full_like(self, value)
    return self.at[places(index, dim)].set(value)


@TABLE.rule("aten.scatter_add.default")
def scatter_add(self: Array, dim: int, index: Array, src: Array) -> Array:
    """scatter_add(Tensor self, int dim, Tensor index, Tensor src) -> Tensor"""
    if self.ndim == 0:
        return self + jnp.sum(src) if index.size else self
    if self.dtype == bool:
        return self.at[places(index, dim)].max(corner(src, index))
    return self.at[places(index, dim)].add(corner(src, index))


@TABLE.rule("aten.index_add.default")
def index_add(self: Array, dim: int, index: Array, source: Array, alpha: float = 1) -> Array:
    """index_add(Tensor self, int dim, Tensor index, Tensor source, *, Scalar alpha=1) -> Tensor"""
    if self.ndim == 0:
        return self + alpha * jnp.sum(source, dtype=self.dtype)
    at = (slice(None),) * (dim % self.ndim) + (index,)
    if self.dtype == bool:
        return self.at[at].max(source & bool(alpha))
    return self.at[at].add(source if alpha == 1 else alpha * source)


@TABLE.rule("aten.index_copy.default")
def index_copy(self: Array, dim: int, index: Array, source: Array) -> Array:
    """index_copy(Tensor self, int dim, Tensor index, Tensor source) -> Tensor"""
    if self.ndim == 0:
        return source.reshape(()) if source.size else self
    return self.at[(slice(None),) * (dim % self.ndim) + (index,)].set(source)


@TABLE.rule("aten.index_fill.int_Scalar", "aten.index_fill.int_Tensor")
def index_fill(self: Array, dim: int, index: Array, value: Array | float) -> Array:
    """index_fill.int_Scalar(Tensor self, int dim, Tensor index, Scalar value) -> Tensor
    index_fill.int_Tensor(Tensor self, int dim, Tensor index, Tensor value) -> Tensor
    """
    if self.ndim == 0:
        return jnp.full_like(self, value) if index.size else self
    return self.at[(slice(None),) * (dim % self.ndim) + (index,)].set(value)


@TABLE.rule("aten.masked_fill.Scalar")
def masked_fill(self: Array, mask: Array, value: float) -> Array:
    """masked_fill.Scalar(Tensor self, Tensor mask, Scalar value) -> Tensor"""
    if self.dtype == bool:
        return jnp.where(mask, bool(value), self)
    return jnp.where(mask, value, self)


@TABLE.rule("aten.masked_fill.Tensor")
def masked_fill_with(self: Array, mask: Array, value: Array) -> Array:
    """masked_fill.Tensor(Tensor self, Tensor mask, Tensor value) -> Tensor"""
    return jnp.where(mask, value.astype(self.dtype), self)


@TABLE.rule("aten.masked_scatter.default")
def masked_scatter(self: Array, mask: Array, source: Array) -> Array:
    """masked_scatter(Tensor self, Tensor mask, Tensor source) -> Tensor"""
    x, chosen = jnp.broadcast_arrays(self, mask)
    order = jnp.reshape(jnp.cumsum(jnp.reshape(chosen, (-1,))) - 1, x.shape)
    return jnp.where(chosen, jnp.reshape(source, (-1,))[order], x)


@TABLE.rule("aten.select_scatter.default")
def select_scatter(self: Array, src: Array, dim: int, index: int) -> Array:
    """select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor"""
    return self.at[(slice(None),) * (dim % self.ndim) + (index,)].set(src)


@TABLE.rule("aten.slice_scatter.default")
def slice_scatter(
    self: Array, src: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1
) -> Array:
    """slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) ->
    Tensor
    """
    return self.at[(slice(None),) * (dim % self.ndim) + (slice(start, end, step),)].set(src)


@TABLE.rule("aten.diagonal_scatter.default")
def diagonal_scatter(self: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor"""
    moved = jnp.moveaxis(self, (dim1, dim2), (-2, -1))
    rows = jnp.arange(src.shape[-1]) + max(-offset, 0)
    return jnp.moveaxis(moved.at[..., rows, rows + offset].set(src), (-2, -1), (dim1, dim2))
