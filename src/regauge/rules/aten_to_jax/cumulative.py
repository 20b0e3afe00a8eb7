"""Cumulative operators along one dimension."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("cumulative")

BEGINS_WITH_NOTHING = Limit(
    when="the first elements are -infinity",
    applies=lambda arguments: True,
    effect="approximate",
    reason="their derivative is NaN in torch and 1 in JAX",
)


@TABLE.rule("aten.cumsum.default")
def cumulative_sum(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """cumsum(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    if self.ndim == 0:
        return jnp.sum(self, dtype=dtype)
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.cumsum(self, axis=dim, dtype=int)
    return jnp.cumsum(self, axis=dim, dtype=dtype)


@TABLE.rule("aten.cumprod.default")
def cumulative_product(self: Array, dim: int, dtype: DTypeLike | None = None) -> Array:
    """cumprod(Tensor self, int dim, *, ScalarType? dtype=None) -> Tensor"""
    if self.ndim == 0:
        return jnp.prod(self, dtype=dtype)
    if dtype is None and not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.cumprod(self, axis=dim, dtype=int)
    return jnp.cumprod(self, axis=dim, dtype=dtype)


def complex_log_sums(x: Array, axis: int) -> Array:
    """Cumulative logarithms of sums of exponentials of complex numbers, one by one: the imaginary part follows that of
    the number with the larger real part, as in torch, and is not wrapped.
    """
    items = jnp.moveaxis(x, axis, 0)

    def add(total: Array, item: Array) -> tuple[Array, Array]:
        ordered = item.real >= total.real
        larger, smaller = jnp.where(ordered, item, total), jnp.where(ordered, total, item)
        nothing = jnp.isneginf(larger.real)
        total = jnp.where(nothing, larger, larger + jnp.log1p(jnp.exp(jnp.where(nothing, 0, smaller - larger))))
        return total, total

    sums = lax.scan(add, items[0], items[1:])[1]
    return jnp.moveaxis(jnp.concatenate([items[:1], sums]), 0, axis)


@TABLE.rule("aten.logcumsumexp.default", limits=[BEGINS_WITH_NOTHING])
def cumulative_log_sum_exp(self: Array, dim: int) -> Array:
    """logcumsumexp(Tensor self, int dim) -> Tensor"""
    if self.ndim == 0:
        return self
    if jnp.iscomplexobj(self) and self.shape[dim] > 0:
        return complex_log_sums(self, dim)
    return lax.cumlogsumexp(self, axis=dim % self.ndim)


@TABLE.rule("aten.cummax.default")
def cumulative_maximum(self: Array, dim: int) -> tuple[Array, Array]:
    """cummax(Tensor self, int dim) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = running_index(self, dim % self.ndim, True)
    return jnp.take_along_axis(self, indices, axis=dim), indices


@TABLE.rule("aten.cummin.default")
def cumulative_minimum(self: Array, dim: int) -> tuple[Array, Array]:
    """cummin(Tensor self, int dim) -> (Tensor values, Tensor indices)"""
    if self.ndim == 0:
        return self, jnp.zeros((), int)
    indices = running_index(self, dim % self.ndim, False)
    return jnp.take_along_axis(self, indices, axis=dim), indices


def running_index(x: Array, axis: int, largest: bool) -> Array:
    """Where the running maximum or minimum along an axis is; the last of equal values, and NaN before all numbers.

    torch's derivative goes to exactly this element.
    """

    def later_or_beyond(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        beyond = right[0] >= left[0] if largest else right[0] <= left[0]
        takes = beyond | jnp.isnan(right[0])
        return jnp.where(takes, right[0], left[0]), jnp.where(takes, right[1], left[1])

    positions = lax.broadcasted_iota(int, x.shape, axis)
    return lax.associative_scan(later_or_beyond, (lax.stop_gradient(x), positions), axis=axis)[1]
