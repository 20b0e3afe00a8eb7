"""Reading elements: by position, slice, index arrays and masks. Negative indices count from the end in both."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("indexing")


def _has_mask(arguments: Mapping[str, Any]) -> bool:
    return any(index is not None and index.dtype in ("bool", "uint8") for index in arguments["indices"])


MASKED_SHAPE = Limit(
    when="an index is a boolean mask",
    applies=_has_mask,
    effect="unsupported",
    reason="the shape of the result depends on values; write torch.where(mask, x, 0) in its place",
)
VALUE_DEPENDENT_SHAPE = Limit(
    when="self has elements",
    applies=lambda arguments: 0 not in arguments["self"].shape,
    effect="unsupported",
    reason="the shape of the result depends on values; write torch.where(mask, x, 0), or a fixed number of results",
)
UNKNOWN_CLASSES = Limit(
    when="num_classes is -1",
    applies=lambda arguments: arguments.get("num_classes", -1) == -1,
    effect="unsupported",
    reason="the number of classes would depend on values; pass num_classes",
)


@TABLE.rule("aten.select.int", "aten.select_copy.int")
def select(self: Array, dim: int, index: int) -> Array:
    """select.int(Tensor(a) self, int dim, SymInt index) -> Tensor(a)
    select_copy.int(Tensor self, int dim, SymInt index) -> Tensor
    """
    return self[(slice(None),) * (dim % self.ndim) + (index,)]


@TABLE.rule("aten.slice.Tensor", "aten.slice_copy.Tensor")
def slice_along(self: Array, dim: int = 0, start: int | None = None, end: int | None = None, step: int = 1) -> Array:
    """slice.Tensor(Tensor(a) self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor(a)
    slice_copy.Tensor(Tensor self, int dim=0, SymInt? start=None, SymInt? end=None, SymInt step=1) -> Tensor
    """
    return self[(slice(None),) * (dim % self.ndim) + (slice(start, end, step),)]


@TABLE.rule("aten.narrow.default", "aten.narrow_copy.default")
def narrow(self: Array, dim: int, start: int, length: int) -> Array:
    """narrow(Tensor(a) self, int dim, SymInt start, SymInt length) -> Tensor(a)
    narrow_copy(Tensor self, int dim, SymInt start, SymInt length) -> Tensor
    """
    return self[(slice(None),) * (dim % self.ndim) + (slice(start, start + length),)]


@TABLE.rule("aten.index.Tensor", "aten._unsafe_index.Tensor", limits=[MASKED_SHAPE])
def index_by_arrays(self: Array, indices: Sequence[Array | None]) -> Array:
    """index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
    _unsafe_index.Tensor(Tensor self, Tensor?[] indices) -> Tensor
    """
    return self[tuple(slice(None) if index is None else index for index in indices)]


@TABLE.rule("aten._unsafe_masked_index.default")
def index_where(self: Array, mask: Array, indices: Sequence[Array | None], fill: float) -> Array:
    """_unsafe_masked_index(Tensor self, Tensor mask, Tensor?[] indices, Scalar fill) -> Tensor"""
    places = tuple(slice(None) if index is None else jnp.where(mask, index, 0) for index in indices)
    return jnp.where(mask, self[places], jnp.asarray(fill, self.dtype))


@TABLE.rule("aten._unsafe_masked_index_put_accumulate.default")
def add_where(self: Array, mask: Array, indices: Sequence[Array | None], values: Array) -> Array:
    """_unsafe_masked_index_put_accumulate(Tensor self, Tensor mask, Tensor?[] indices, Tensor values) -> Tensor"""
    places = tuple(slice(None) if index is None else jnp.where(mask, index, 0) for index in indices)
    kept = jnp.where(mask, values, jnp.zeros((), values.dtype))
    if self.dtype == bool:
        return self.at[places].max(kept)
    return self.at[places].add(kept)


@TABLE.rule("aten.index_select.default")
def index_select(self: Array, dim: int, index: Array) -> Array:
    """index_select(Tensor self, int dim, Tensor index) -> Tensor"""
    if self.ndim == 0:
        return self
    return jnp.take(self, index, axis=dim)


@TABLE.rule("aten.gather.default")
def gather(self: Array, dim: int, index: Array, sparse_grad: bool = False) -> Array:
    """gather(Tensor self, int dim, Tensor index, *, bool sparse_grad=False) -> Tensor"""
    axis = dim % self.ndim if self.ndim else 0
    if self.ndim and index.shape[:axis] == self.shape[:axis] and index.shape[axis + 1 :] == self.shape[axis + 1 :]:
        return jnp.take_along_axis(self, index, axis=dim)
    if self.ndim == 0 or index.size == 0:
        return jnp.broadcast_to(self, index.shape) if index.size else jnp.zeros(index.shape, self.dtype)
    # torch reads the leading corner of dimensions in which the index is smaller; JAX would broadcast
    corner = self[tuple(slice(None) if i == axis else slice(n) for i, n in enumerate(index.shape))]
    return jnp.take_along_axis(corner, index, axis=dim)


@TABLE.rule("aten.take_along_dim.default")
def take_along(self: Array, indices: Array, dim: int | None = None) -> Array:
    """take_along_dim(Tensor self, Tensor indices, int? dim=None) -> Tensor"""
    if dim is None:
        return self.reshape(-1)[indices.reshape(-1)]
    return jnp.take_along_axis(self, indices, axis=dim)


@TABLE.rule("aten.take.default")
def take_flat(self: Array, index: Array) -> Array:
    """take(Tensor self, Tensor index) -> Tensor"""
    return jnp.take(self, index)


@TABLE.rule("aten.embedding.default")
def embedding(
    weight: Array, indices: Array, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Array:
    """embedding(Tensor weight, Tensor indices, SymInt padding_idx=-1, bool scale_grad_by_freq=False, bool
    sparse=False) -> Tensor
    """
    if padding_idx < 0 and not scale_grad_by_freq:
        return jnp.take(weight, indices, axis=0)
    rows = jnp.take(weight, indices, axis=0)
    if scale_grad_by_freq:  # derivatives are divided by how often each index occurs
        frequency = jnp.zeros(weight.shape[0], weight.dtype).at[indices].add(1)[indices]
        held = lax.stop_gradient(rows)
        rows = held + (rows - held) / jnp.expand_dims(frequency, -1)
    # the row of the padding index gets no gradient
    return jnp.where(jnp.expand_dims(indices == padding_idx, -1), lax.stop_gradient(rows), rows)


@TABLE.rule("aten.one_hot.default", limits=[UNKNOWN_CLASSES])
def one_hot(self: Array, num_classes: int = -1) -> Array:
    """one_hot(Tensor self, int num_classes=-1) -> Tensor"""
    return jax.nn.one_hot(self, num_classes, dtype=int)


@TABLE.rule("aten.bucketize.Tensor")
def bucketize(self: Array, boundaries: Array, out_int32: bool = False, right: bool = False) -> Array:
    """bucketize.Tensor(Tensor self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor"""
    found = jnp.searchsorted(boundaries, self, side="right" if right else "left")
    return found.astype(jnp.int32 if out_int32 else int)


@TABLE.rule("aten.searchsorted.Tensor")
def search_sorted(
    sorted_sequence: Array,
    self: Array,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Array | None = None,
) -> Array:
    """searchsorted.Tensor(Tensor sorted_sequence, Tensor self, *, bool out_int32=False, bool right=False, str?
    side=None, Tensor? sorter=None) -> Tensor
    """
    from_right = right or side == "right"
    rows = sorted_sequence if sorter is None else jnp.take_along_axis(sorted_sequence, sorter, axis=-1)
    if rows.ndim == 1:
        found = jnp.searchsorted(rows, self, side="right" if from_right else "left")
    else:
        count = math.prod(rows.shape[:-1])
        flat = jnp.reshape(rows, (count, rows.shape[-1])), jnp.reshape(self, (count, self.shape[-1]))
        found = jax.vmap(lambda a, v: jnp.searchsorted(a, v, side="right" if from_right else "left"))(*flat)
    return jnp.reshape(found, self.shape).astype(jnp.int32 if out_int32 else int)


@TABLE.rule("aten.nonzero.default", limits=[VALUE_DEPENDENT_SHAPE])
def nonzero(self: Array) -> Array:
    """nonzero(Tensor self) -> Tensor"""
    return jnp.stack(jnp.nonzero(self, size=0), axis=1).astype(int)


@TABLE.rule("aten.masked_select.default", limits=[VALUE_DEPENDENT_SHAPE])
def masked_select(self: Array, mask: Array) -> Array:
    """masked_select(Tensor self, Tensor mask) -> Tensor"""
    values, chosen = jnp.broadcast_arrays(self, mask)
    return values[chosen]


@TABLE.rule("aten._unique2.default", limits=[VALUE_DEPENDENT_SHAPE])
def unique(
    self: Array, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Array, Array, Array]:
    """_unique2(Tensor self, bool sorted=True, bool return_inverse=False, bool return_counts=False) -> (Tensor,
    Tensor, Tensor)
    """
    return jnp.reshape(self, (0,)), jnp.zeros(self.shape if return_inverse else 0, int), jnp.zeros(0, int)


@TABLE.rule("aten.unique_dim.default", limits=[VALUE_DEPENDENT_SHAPE])
def unique_along(
    self: Array, dim: int, sorted: bool = True, return_inverse: bool = False, return_counts: bool = False
) -> tuple[Array, Array, Array]:
    """unique_dim(Tensor self, int dim, bool sorted=True, bool return_inverse=False, bool return_counts=False) ->
    (Tensor, Tensor, Tensor)
    """
    return self, jnp.zeros(0, int), jnp.zeros(0, int)


@TABLE.rule("aten.unique_consecutive.default", limits=[VALUE_DEPENDENT_SHAPE])
def unique_consecutive(
    self: Array, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> tuple[Array, Array, Array]:
    """unique_consecutive(Tensor self, bool return_inverse=False, bool return_counts=False, int? dim=None) ->
    (Tensor, Tensor, Tensor)
    """
    return self, jnp.zeros(0, int), jnp.zeros(0, int)


@TABLE.rule("aten.bucketize.Scalar")
def bucketize_number(self: float, boundaries: Array, out_int32: bool = False, right: bool = False) -> Array:
    """bucketize.Scalar(Scalar self, Tensor boundaries, *, bool out_int32=False, bool right=False) -> Tensor"""
    found = jnp.searchsorted(boundaries, self, side="right" if right else "left")
    return found.astype(jnp.int32 if out_int32 else int)


@TABLE.rule("aten.searchsorted.Scalar")
def search_number(
    sorted_sequence: Array,
    self: float,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Array | None = None,
) -> Array:
    """searchsorted.Scalar(Tensor sorted_sequence, Scalar self, *, bool out_int32=False, bool right=False, str?
    side=None, Tensor? sorter=None) -> Tensor
    """
    row = sorted_sequence if sorter is None else sorted_sequence[sorter]
    found = jnp.searchsorted(row, self, side="right" if right or side == "right" else "left")
    return found.astype(jnp.int32 if out_int32 else int)


@TABLE.rule("aten.nonzero_numpy.default", limits=[VALUE_DEPENDENT_SHAPE])
def indices_where(self: Array) -> list[Array]:
    """nonzero_numpy(Tensor self) -> Tensor[]"""
    return [index.astype(int) for index in jnp.nonzero(self, size=0)]


@TABLE.rule("aten.argwhere.default", limits=[VALUE_DEPENDENT_SHAPE])
def positions_where(self: Array) -> Array:
    """argwhere(Tensor self) -> Tensor"""
    return jnp.argwhere(self, size=0).astype(int)


@TABLE.rule("aten.put.default")
def put(self: Array, index: Array, source: Array, accumulate: bool = False) -> Array:
    """put(Tensor self, Tensor index, Tensor source, bool accumulate=False) -> Tensor"""
    flat, values = jnp.reshape(self, (-1,)), jnp.reshape(source, index.shape)
    if accumulate and self.dtype == bool:
        return jnp.reshape(flat.at[index].max(values), self.shape)
    written = flat.at[index].add(values) if accumulate else flat.at[index].set(values)
    return jnp.reshape(written, self.shape)


@TABLE.rule("aten.nonzero_static.default")
def nonzero_of_size(self: Array, *, size: int, fill_value: int = -1) -> Array:
    """nonzero_static(Tensor self, *, SymInt size, int fill_value=-1) -> Tensor"""
    if self.ndim == 0:
        return jnp.zeros((size, 0), int)
    if 0 in self.shape:  # where jnp.nonzero fills with 0
        return jnp.full((size, self.ndim), fill_value)
    return jnp.stack(jnp.nonzero(self, size=size, fill_value=fill_value), axis=1).astype(int)
