"""Sorting and order statistics. Equal values keep their order, which torch promises only where it is asked to."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("sorting")


@TABLE.rule("aten.sort.default")
def sort(self: Array, dim: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """sort(Tensor self, int dim=-1, bool descending=False) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = jnp.argsort(self, axis=dim, descending=descending)
    return jnp.take_along_axis(self, indices, axis=dim), indices


@TABLE.rule("aten.sort.stable")
def sort_stable(self: Array, stable: bool | None, dim: int = -1, descending: bool = False) -> tuple[Array, Array]:
    """sort.stable(Tensor self, *, bool? stable, int dim=-1, bool descending=False) -> (Tensor values, Tensor
    indices)
    """
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = jnp.argsort(self, axis=dim, descending=descending)
    return jnp.take_along_axis(self, indices, axis=dim), indices


@TABLE.rule("aten.msort.default")
def sort_first_axis(self: Array) -> Array:
    """msort(Tensor self) -> Tensor"""
    return jnp.sort(self, axis=0)


@TABLE.rule("aten.argsort.default")
def argsort(self: Array, dim: int = -1, descending: bool = False) -> Array:
    """argsort(Tensor self, int dim=-1, bool descending=False) -> Tensor"""
    if self.ndim == 0:
        return jnp.zeros((), int)
    return jnp.argsort(self, axis=dim, descending=descending)


@TABLE.rule("aten.argsort.stable")
def argsort_stable(self: Array, stable: bool, dim: int = -1, descending: bool = False) -> Array:
    """argsort.stable(Tensor self, *, bool stable, int dim=-1, bool descending=False) -> Tensor"""
    if self.ndim == 0:
        return jnp.zeros((), int)
    return jnp.argsort(self, axis=dim, descending=descending)


@TABLE.rule("aten.topk.default")
def top_k(self: Array, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Array, Array]:
    """topk(Tensor self, SymInt k, int dim=-1, bool largest=True, bool sorted=True) -> (Tensor values, Tensor
    indices)
    """
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    if largest and dim in (-1, self.ndim - 1):
        return lax.top_k(self, k)
    if largest:
        return lax.top_k(self, k, axis=dim)
    indices = lax.slice_in_dim(jnp.argsort(self, axis=dim), 0, k, axis=dim)
    return jnp.take_along_axis(self, indices, axis=dim), indices


@TABLE.rule("aten.kthvalue.default")
def kth_value(self: Array, k: int, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """kthvalue(Tensor self, SymInt k, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = lax.slice_in_dim(jnp.argsort(self, axis=dim), k - 1, k, axis=dim)
    values = jnp.take_along_axis(self, indices, axis=dim)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=dim), jnp.squeeze(indices, axis=dim)


@TABLE.rule("aten.median.default")
def median_all(self: Array) -> Array:
    """median(Tensor self) -> Tensor"""
    return shared_by_equals(jnp.reshape(self, (-1,)), (self.size - 1) // 2)


@TABLE.rule("aten.median.dim")
def median_and_index(self: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """median.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    order = jnp.argsort(self, axis=dim)
    # a NaN sorts last, and is torch's median wherever there is one
    missing = jnp.isnan(self)
    middle = lax.slice_in_dim(order, (self.shape[dim] - 1) // 2, (self.shape[dim] - 1) // 2 + 1, axis=dim)
    indices = jnp.where(jnp.any(missing, axis=dim, keepdims=True), jnp.argmax(missing, axis=dim, keepdims=True), middle)
    values = jnp.take_along_axis(self, indices, axis=dim)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=dim), jnp.squeeze(indices, axis=dim)


def shared_by_equals(x: Array, rank: int) -> Array:
    """The element of this rank of a vector, NaN if there is one; all equal elements share its derivative."""
    value = lax.stop_gradient(jnp.sort(x)[rank])
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return value
    value = jnp.where(jnp.any(jnp.isnan(x)), jnp.nan, value)
    equal = (x == value) | (jnp.isnan(x) & jnp.isnan(value))
    share = jnp.sum(jnp.where(equal, x - lax.stop_gradient(x), 0)) / jnp.sum(equal)
    return value + share


@TABLE.rule("aten.nanmedian.default")
def median_of_numbers(self: Array) -> Array:
    """nanmedian(Tensor self) -> Tensor"""
    flat = jnp.reshape(self, (-1,))
    if not jnp.issubdtype(self.dtype, jnp.floating):
        return shared_by_equals(flat, (self.size - 1) // 2)
    numbers = jnp.sum(~jnp.isnan(flat))
    value = lax.stop_gradient(jnp.sort(flat)[jnp.maximum(numbers - 1, 0) // 2])  # NaN sorts last
    equal = (flat == value) | (jnp.isnan(flat) & jnp.isnan(value))
    return value + jnp.sum(jnp.where(equal, flat - lax.stop_gradient(flat), 0)) / jnp.sum(equal)


@TABLE.rule("aten.nanmedian.dim")
def median_of_numbers_and_index(self: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """nanmedian.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    numbers = jnp.sum(~jnp.isnan(self), axis=dim, keepdims=True)
    # a NaN sorts last
    indices = jnp.take_along_axis(jnp.argsort(self, axis=dim), jnp.maximum(numbers - 1, 0) // 2, axis=dim)
    values = jnp.take_along_axis(self, indices, axis=dim)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=dim), jnp.squeeze(indices, axis=dim)


@TABLE.rule("aten.mode.default")
def most_frequent(self: Array, dim: int = -1, keepdim: bool = False) -> tuple[Array, Array]:
    """mode(Tensor self, int dim=-1, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    axis = dim % self.ndim
    order = jnp.argsort(self, axis=axis)
    ordered = jnp.take_along_axis(self, order, axis=axis)
    position = lax.broadcasted_iota(int, self.shape, axis)
    begins = (position == 0) | (ordered != jnp.roll(ordered, 1, axis=axis))
    run = position - lax.cummax(jnp.where(begins, position, 0), axis=axis)  # equal elements before this one
    # the first longest run is that of the smallest value; its last element counts
    indices = jnp.take_along_axis(order, jnp.argmax(run, axis=axis, keepdims=True), axis=axis)
    values = jnp.take_along_axis(self, indices, axis=axis)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=axis), jnp.squeeze(indices, axis=axis)
