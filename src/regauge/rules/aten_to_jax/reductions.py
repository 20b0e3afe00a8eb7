"""Reductions of an array along dimensions: sums, means, variances, extremes, logic."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("reductions")


@TABLE.rule("aten.sum.default")
def sum_all(self: Array, dtype: DTypeLike | None = None) -> Array:
    """sum(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.sum(self, dtype=int)
    return jnp.sum(self, dtype=dtype)


@TABLE.rule("aten.sum.dim_IntList")
def sum_along(self: Array, dim: Sequence[int] | None, keepdim: bool = False, dtype: DTypeLike | None = None) -> Array:
    """sum.dim_IntList(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.sum(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=int)
    return jnp.sum(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=dtype)


@TABLE.rule("aten.nansum.default")
def nansum(
    self: Array, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """nansum(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.sum(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=int)
    return jnp.nansum(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=dtype)


@TABLE.rule("aten.mean.default")
def mean_all(self: Array, dtype: DTypeLike | None = None) -> Array:
    """mean(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    return jnp.mean(self, dtype=dtype)


@TABLE.rule("aten.mean.dim")
def mean_along(self: Array, dim: Sequence[int] | None, keepdim: bool = False, dtype: DTypeLike | None = None) -> Array:
    """mean.dim(Tensor self, int[1]? dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"""
    return jnp.mean(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=dtype)


@TABLE.rule("aten.nanmean.default")
def nanmean(
    self: Array, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """nanmean(Tensor self, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"""
    return jnp.nanmean(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim, dtype=dtype)


@TABLE.rule("aten.prod.default")
def product_all(self: Array, dtype: DTypeLike | None = None) -> Array:
    """prod(Tensor self, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.prod(self, dtype=int)
    return jnp.prod(self, dtype=dtype)


@TABLE.rule("aten.prod.dim_int")
def product_along(self: Array, dim: int, keepdim: bool = False, dtype: DTypeLike | None = None) -> Array:
    """prod.dim_int(Tensor self, int dim, bool keepdim=False, *, ScalarType? dtype=None) -> Tensor"""
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.prod(self, axis=dim if self.ndim else None, keepdims=keepdim, dtype=int)
    return jnp.prod(self, axis=dim if self.ndim else None, keepdims=keepdim, dtype=dtype)


def delta_degrees(correction: float | None) -> Any:
    """What torch takes off the number of elements, as `ddof`: a fraction stays one."""
    if correction is None:
        return 1
    return int(correction) if correction % 1 == 0 else correction


@TABLE.rule("aten.var.default")
def variance_all(self: Array, unbiased: bool = True) -> Array:
    """var(Tensor self, bool unbiased=True) -> Tensor"""
    return jnp.var(self, ddof=int(unbiased))


@TABLE.rule("aten.var.dim")
def variance_along(self: Array, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False) -> Array:
    """var.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor"""
    return jnp.var(self, axis=tuple(dim) if dim and self.ndim else None, ddof=int(unbiased), keepdims=keepdim)


@TABLE.rule("aten.var.correction")
def variance(
    self: Array, dim: Sequence[int] | None = None, correction: float | None = None, keepdim: bool = False
) -> Array:
    """var.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor"""
    return jnp.var(
        self, axis=tuple(dim) if dim and self.ndim else None, ddof=delta_degrees(correction), keepdims=keepdim
    )


@TABLE.rule("aten.std.default")
def standard_deviation_all(self: Array, unbiased: bool = True) -> Array:
    """std(Tensor self, bool unbiased=True) -> Tensor"""
    return root(jnp.var(self, ddof=int(unbiased)))


@TABLE.rule("aten.std.dim")
def standard_deviation_along(
    self: Array, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False
) -> Array:
    """std.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> Tensor"""
    return root(jnp.var(self, axis=tuple(dim) if dim and self.ndim else None, ddof=int(unbiased), keepdims=keepdim))


@TABLE.rule("aten.std.correction")
def standard_deviation(
    self: Array, dim: Sequence[int] | None = None, correction: float | None = None, keepdim: bool = False
) -> Array:
    """std.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> Tensor"""
    return root(
        jnp.var(self, axis=tuple(dim) if dim and self.ndim else None, ddof=delta_degrees(correction), keepdims=keepdim)
    )


def root(x: Array) -> Array:
    """The square root with the derivative 0 at 0, as torch has it for norms and standard deviations."""
    zero = x == 0
    return jnp.where(zero, 0, jnp.sqrt(jnp.where(zero, 1, x)))


@TABLE.rule("aten.var_mean.default")
def variance_and_mean_all(self: Array, unbiased: bool = True) -> tuple[Array, Array]:
    """var_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)"""
    return jnp.var(self, ddof=int(unbiased)), jnp.mean(self)


@TABLE.rule("aten.var_mean.dim")
def variance_and_mean_along(
    self: Array, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False
) -> tuple[Array, Array]:
    """var_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)"""
    axis = tuple(dim) if dim and self.ndim else None
    return jnp.var(self, axis=axis, ddof=int(unbiased), keepdims=keepdim), jnp.mean(self, axis=axis, keepdims=keepdim)


@TABLE.rule("aten.var_mean.correction")
def variance_and_mean(
    self: Array, dim: Sequence[int] | None = None, correction: float | None = None, keepdim: bool = False
) -> tuple[Array, Array]:
    """var_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor,
    Tensor)
    """
    axis = tuple(dim) if dim and self.ndim else None
    ddof = delta_degrees(correction)
    return jnp.var(self, axis=axis, ddof=ddof, keepdims=keepdim), jnp.mean(self, axis=axis, keepdims=keepdim)


@TABLE.rule("aten.std_mean.default")
def deviation_and_mean_all(self: Array, unbiased: bool = True) -> tuple[Array, Array]:
    """std_mean(Tensor self, bool unbiased=True) -> (Tensor, Tensor)"""
    return root(jnp.var(self, ddof=int(unbiased))), jnp.mean(self)


@TABLE.rule("aten.std_mean.dim")
def deviation_and_mean_along(
    self: Array, dim: Sequence[int] | None, unbiased: bool = True, keepdim: bool = False
) -> tuple[Array, Array]:
    """std_mean.dim(Tensor self, int[1]? dim, bool unbiased=True, bool keepdim=False) -> (Tensor, Tensor)"""
    axis = tuple(dim) if dim and self.ndim else None
    deviation = root(jnp.var(self, axis=axis, ddof=int(unbiased), keepdims=keepdim))
    return deviation, jnp.mean(self, axis=axis, keepdims=keepdim)


@TABLE.rule("aten.std_mean.correction")
def deviation_and_mean(
    self: Array, dim: Sequence[int] | None = None, correction: float | None = None, keepdim: bool = False
) -> tuple[Array, Array]:
    """std_mean.correction(Tensor self, int[1]? dim=None, *, Scalar? correction=None, bool keepdim=False) -> (Tensor,
    Tensor)
    """
    axis = tuple(dim) if dim and self.ndim else None
    deviation = root(jnp.var(self, axis=axis, ddof=delta_degrees(correction), keepdims=keepdim))
    return deviation, jnp.mean(self, axis=axis, keepdims=keepdim)


@TABLE.rule("aten.amax.default")
def maxima(self: Array, dim: Sequence[int] = (), keepdim: bool = False) -> Array:
    """amax(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor"""
    return jnp.max(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.amin.default")
def minima(self: Array, dim: Sequence[int] = (), keepdim: bool = False) -> Array:
    """amin(Tensor self, int[1] dim=[], bool keepdim=False) -> Tensor"""
    return jnp.min(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.aminmax.default")
def extremes(self: Array, dim: int | None = None, keepdim: bool = False) -> tuple[Array, Array]:
    """aminmax(Tensor self, *, int? dim=None, bool keepdim=False) -> (Tensor min, Tensor max)"""
    if self.ndim == 0:
        return self, self
    return jnp.min(self, axis=dim, keepdims=keepdim), jnp.max(self, axis=dim, keepdims=keepdim)


@TABLE.rule("aten.max.default")
def maximum_all(self: Array) -> Array:
    """max(Tensor self) -> Tensor"""
    return jnp.max(self)


@TABLE.rule("aten.min.default")
def minimum_all(self: Array) -> Array:
    """min(Tensor self) -> Tensor"""
    return jnp.min(self)


@TABLE.rule("aten.max.dim")
def maximum_and_index(self: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """max.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    # torch's derivative goes to the returned index alone; jnp.max shares it among equal values
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = jnp.argmax(self, axis=dim, keepdims=True)
    values = jnp.take_along_axis(self, indices, axis=dim)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=dim), jnp.squeeze(indices, axis=dim)


@TABLE.rule("aten.min.dim")
def minimum_and_index(self: Array, dim: int, keepdim: bool = False) -> tuple[Array, Array]:
    """min.dim(Tensor self, int dim, bool keepdim=False) -> (Tensor values, Tensor indices)"""
    # torch's derivative goes to the returned index alone; jnp.min shares it among equal values
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = jnp.argmin(self, axis=dim, keepdims=True)
    values = jnp.take_along_axis(self, indices, axis=dim)
    if keepdim:
        return values, indices
    return jnp.squeeze(values, axis=dim), jnp.squeeze(indices, axis=dim)


@TABLE.rule("aten.argmax.default")
def index_of_maximum(self: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """argmax(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"""
    if self.ndim == 0:
        return jnp.zeros((), int)
    return jnp.argmax(self, axis=dim, keepdims=keepdim)


@TABLE.rule("aten.argmin.default")
def index_of_minimum(self: Array, dim: int | None = None, keepdim: bool = False) -> Array:
    """argmin(Tensor self, int? dim=None, bool keepdim=False) -> Tensor"""
    if self.ndim == 0:
        return jnp.zeros((), int)
    return jnp.argmin(self, axis=dim, keepdims=keepdim)


@TABLE.rule("aten.any.default")
def any_of(self: Array) -> Array:
    """any(Tensor self) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.any(self).astype(jnp.uint8)
    return jnp.any(self)


@TABLE.rule("aten.any.dim")
def any_along(self: Array, dim: int, keepdim: bool = False) -> Array:
    """any.dim(Tensor self, int dim, bool keepdim=False) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.any(self, axis=dim if self.ndim else None, keepdims=keepdim).astype(jnp.uint8)
    return jnp.any(self, axis=dim if self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.any.dims")
def any_along_many(self: Array, dim: Sequence[int] | None = None, keepdim: bool = False) -> Array:
    """any.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.any(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim).astype(jnp.uint8)
    return jnp.any(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.all.default")
def all_of(self: Array) -> Array:
    """all(Tensor self) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.all(self).astype(jnp.uint8)
    return jnp.all(self)


@TABLE.rule("aten.all.dim")
def all_along(self: Array, dim: int, keepdim: bool = False) -> Array:
    """all.dim(Tensor self, int dim, bool keepdim=False) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.all(self, axis=dim if self.ndim else None, keepdims=keepdim).astype(jnp.uint8)
    return jnp.all(self, axis=dim if self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.all.dims")
def all_along_many(self: Array, dim: Sequence[int] | None = None, keepdim: bool = False) -> Array:
    """all.dims(Tensor self, int[]? dim=None, bool keepdim=False) -> Tensor"""
    if self.dtype == jnp.uint8:
        return jnp.all(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim).astype(jnp.uint8)
    return jnp.all(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.count_nonzero.default")
def count_nonzero(self: Array, dim: int | None = None) -> Array:
    """count_nonzero(Tensor self, int? dim=None) -> Tensor"""
    return jnp.count_nonzero(self, axis=dim if self.ndim else None).astype(int)


@TABLE.rule("aten.count_nonzero.dim_IntList")
def count_nonzero_along(self: Array, dim: Sequence[int]) -> Array:
    """count_nonzero.dim_IntList(Tensor self, int[] dim) -> Tensor"""
    return jnp.count_nonzero(self, axis=tuple(dim) if dim and self.ndim else None).astype(int)


@TABLE.rule("aten.logsumexp.default", "aten.special_logsumexp.default", promotes=Promotes.INT_TO_FLOAT)
def log_sum_exp(self: Array, dim: Sequence[int], keepdim: bool = False) -> Array:
    """logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor
    special_logsumexp(Tensor self, int[1] dim, bool keepdim=False) -> Tensor
    """
    if self.ndim == 0 and not jnp.iscomplexobj(self):
        return self
    return jax.nn.logsumexp(self, axis=tuple(dim) if dim and self.ndim else None, keepdims=keepdim)


@TABLE.rule("aten.sum_to_size.default")
def sum_to_size(self: Array, size: Sequence[int]) -> Array:
    """sum_to_size(Tensor self, SymInt[] size) -> Tensor"""
    if not size:
        return sum_all(self)
    added = self.ndim - len(size)
    axes = tuple(i for i in range(self.ndim) if i < added or (size[i - added] == 1 and self.shape[i] != 1))
    if not axes:
        return jnp.reshape(self, tuple(size))
    return jnp.reshape(sum_along(self, axes), tuple(size))
