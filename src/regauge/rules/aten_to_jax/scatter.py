"""Writing elements: the functional forms of assignments to parts of an array."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("scatter")


def _is_mask(index: Any) -> bool:
    return index is not None and index.dtype in ("bool", "uint8")


def _masks(arguments: Mapping[str, Any]) -> list[Any]:
    return [index for index in arguments["indices"] if _is_mask(index)]


def _may_repeat(arguments: Mapping[str, Any]) -> bool:
    """Whether one place may be named twice: the rows that a mask names are all different."""
    masked = bool(_masks(arguments))
    return any(not (masked and i.ndim < 2) for i in arguments["indices"] if i is not None and not _is_mask(i))


SEVERAL_MASKS = Limit(
    when="several boolean masks",
    applies=lambda arguments: len(_masks(arguments)) > 1,
    effect="unsupported",
    reason="torch pairs the True of one with those of the other, or repeats one where there is only one, which depends "
    "on values; write one mask of all these dimensions",
)
REPEATED_INDICES = Limit(
    when="accumulate is False",
    applies=lambda arguments: not arguments.get("accumulate") and _may_repeat(arguments),
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


def put_beside_mask(self: Array, indices: Sequence[Any], place: int, values: Array, accumulate: bool) -> Array:
    """`index_put` where a mask stands at `place` among index arrays, which have an entry for each True, or one for all.

    The mask becomes as many indices as it has elements: those behind the last True lie outside, and are dropped.
    """
    mask = indices[place]
    every = jnp.arange(mask.size)
    full: list[Any] = []
    for position, index in enumerate(indices):
        if position == place:
            full += jnp.nonzero(mask, size=mask.size, fill_value=self.shape[place : place + mask.ndim])
        elif index is None:
            full.append(slice(None))
        elif index.ndim and index.shape[-1] == 0:
            return self
        else:
            full.append(jnp.take(index, every, axis=-1, mode="clip") if index.ndim else index)
    full += [slice(None)] * (self.ndim - len(full))
    chosen = [d for d, index in enumerate(full) if not isinstance(index, slice)]
    together = chosen[-1] - chosen[0] < len(chosen)
    axis = chosen[-1] - self.ndim if together else len(chosen) - self.ndim - 1  # of the values: one for each True
    if values.ndim >= -axis:
        if values.shape[axis] == 0:
            return self
        values = jnp.take(values, every, axis=axis, mode="clip")
    at = self.at[tuple(full)]
    if accumulate:
        return at.max(values, mode="drop") if self.dtype == bool else at.add(values, mode="drop")
    return at.set(values, mode="drop")


@TABLE.rule("aten.index_put.default", "aten._unsafe_index_put.default", limits=[SEVERAL_MASKS, REPEATED_INDICES])
def index_put(self: Array, indices: Sequence[Any], values: Array, accumulate: bool = False) -> Array:
    """index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor
    _unsafe_index_put(Tensor self, Tensor?[] indices, Tensor values, bool accumulate=False) -> Tensor
    """
    masks = [p for p, i in enumerate(indices) if i is not None and i.dtype in (jnp.bool_, jnp.uint8)]
    if not masks:
        index = tuple(slice(None) if i is None else i for i in indices)
        if accumulate and self.dtype == bool:
            return self.at[index].max(values)
        if accumulate:
            return self.at[index].add(values)
        return self.at[index].set(values)
    place = masks[0]
    if any(i is not None for p, i in enumerate(indices) if p != place):
        return put_beside_mask(self, indices, place, values, accumulate)
    after = self.ndim - place - indices[place].ndim  # dimensions behind those of the mask
    axis = values.ndim - 1 - after  # of the values: one for each True, or one for all; or there is none
    count = values.shape[axis] if axis >= 0 else 1
    if isinstance(count, int) and count == 0:
        return self
    broadcasts = isinstance(count, int) and count == 1 and (axis < 1 or indices[place].ndim == 1)
    mask = indices[place] if indices[place].dtype == jnp.bool_ else indices[place] != 0
    if not broadcasts:
        values = jnp.take(values, jnp.reshape(jnp.cumsum(mask) - 1, mask.shape), axis=axis, mode="clip")
    chosen = jnp.reshape(mask, mask.shape + (1,) * after) if after else mask
    return jnp.where(chosen, self + values if accumulate else values, self)


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
        return self + jnp.sum(src, dtype=self.dtype) if index.size else self
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
    if source.size == 0:
        return self
    x, chosen = jnp.broadcast_arrays(self, mask)
    order = jnp.reshape(jnp.cumsum(jnp.reshape(chosen, (-1,))) - 1, x.shape)
    return jnp.where(chosen, jnp.reshape(source, (-1,))[order], x)


def written_index(parts: tuple[Any, ...]) -> tuple[Any, ...]:
    """The index of a write: for each axis None for all of it, a place, or (start, end, step)."""
    return tuple(slice(None) if p is None else slice(*p) if isinstance(p, tuple) else p for p in parts)


@TABLE.rule("aten.select_scatter.default")
def select_scatter(self: Array, src: Array, dim: int, index: int, parts: tuple[Any, ...] = ()) -> Array:
    """select_scatter(Tensor self, Tensor src, int dim, SymInt index) -> Tensor"""
    if parts:
        return self.at[written_index(parts)].set(src)
    return self.at[(slice(None),) * (dim % self.ndim) + (index,)].set(src)


@TABLE.rule("aten.slice_scatter.default")
def slice_scatter(
    self: Array,
    src: Array,
    dim: int = 0,
    start: int | None = None,
    end: int | None = None,
    step: int = 1,
    parts: tuple[Any, ...] = (),
) -> Array:
    """slice_scatter(Tensor self, Tensor src, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) ->
    Tensor
    """
    if parts:
        return self.at[written_index(parts)].set(src)
    return self.at[(slice(None),) * (dim % self.ndim) + (slice(start, end, step),)].set(src)


@TABLE.rule("aten.diagonal_scatter.default")
def diagonal_scatter(self: Array, src: Array, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Array:
    """diagonal_scatter(Tensor self, Tensor src, int offset=0, int dim1=0, int dim2=1) -> Tensor"""
    moved = jnp.moveaxis(self, (dim1, dim2), (-2, -1))
    rows = jnp.arange(src.shape[-1]) + max(-offset, 0)
    return jnp.moveaxis(moved.at[..., rows, rows + offset].set(src), (-2, -1), (dim1, dim2))
