"""Quantiles, medians without NaN, areas under curves, covariances."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("order_statistics")


@TABLE.rule("aten.quantile.default")
def quantiles(
    self: Array, q: Array, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Array:
    """quantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation="linear") -> Tensor"""
    return jnp.quantile(
        self, q, axis=dim if self.ndim else None, method=interpolation, keepdims=keepdim and self.ndim > 0
    )


@TABLE.rule("aten.quantile.scalar")
def quantile(
    self: Array, q: float, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Array:
    """quantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation="linear") ->
    Tensor
    """
    return jnp.quantile(
        self, q, axis=dim if self.ndim else None, method=interpolation, keepdims=keepdim and self.ndim > 0
    )


@TABLE.rule("aten.nanquantile.default")
def quantiles_of_numbers(
    self: Array, q: Array, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Array:
    """nanquantile(Tensor self, Tensor q, int? dim=None, bool keepdim=False, *, str interpolation="linear") ->
    Tensor
    """
    return jnp.nanquantile(
        self, q, axis=dim if self.ndim else None, method=interpolation, keepdims=keepdim and self.ndim > 0
    )


@TABLE.rule("aten.nanquantile.scalar")
def quantile_of_numbers(
    self: Array, q: float, dim: int | None = None, keepdim: bool = False, interpolation: str = "linear"
) -> Array:
    """nanquantile.scalar(Tensor self, float q, int? dim=None, bool keepdim=False, *, str interpolation="linear")
    -> Tensor
    """
    return jnp.nanquantile(
        self, q, axis=dim if self.ndim else None, method=interpolation, keepdims=keepdim and self.ndim > 0
    )


@TABLE.rule("aten.cov.default")
def covariance(self: Array, correction: int = 1, fweights: Array | None = None, aweights: Array | None = None) -> Array:
    """cov(Tensor self, *, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor"""
    return jnp.cov(self, ddof=correction, fweights=fweights, aweights=aweights)


@TABLE.rule("aten.corrcoef.default")
def correlation(self: Array) -> Array:
    """corrcoef(Tensor self) -> Tensor"""
    return jnp.corrcoef(self)
