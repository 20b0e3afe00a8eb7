"""Special functions: error function, gamma and Bessel functions, the normal distribution."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, Promotes, RuleTable

TABLE = RuleTable("special_functions")

ASYMPTOTIC_SERIES = Limit(
    when="an element is at or below -20",
    applies=lambda arguments: True,
    effect="approximate",
    reason="below -20 JAX takes a series whose derivative has a relative error of 4e-9",
)


@TABLE.rule("aten.erf.default", "aten.special_erf.default", promotes=Promotes.INT_TO_FLOAT)
def erf(self: Array) -> Array:
    """erf(Tensor self) -> Tensor
    special_erf(Tensor self) -> Tensor
    """
    return jax.scipy.special.erf(self)


@TABLE.rule("aten.erfc.default", "aten.special_erfc.default", promotes=Promotes.INT_TO_FLOAT)
def erfc(self: Array) -> Array:
    """erfc(Tensor self) -> Tensor
    special_erfc(Tensor self) -> Tensor
    """
    return jax.scipy.special.erfc(self)


@TABLE.rule("aten.erfinv.default", "aten.special_erfinv.default", promotes=Promotes.INT_TO_FLOAT)
def erfinv(self: Array) -> Array:
    """erfinv(Tensor self) -> Tensor
    special_erfinv(Tensor self) -> Tensor
    """
    return jax.scipy.special.erfinv(self)


@TABLE.rule("aten.lgamma.default", "aten.special_gammaln.default", promotes=Promotes.INT_TO_FLOAT)
def log_gamma(self: Array) -> Array:
    """lgamma(Tensor self) -> Tensor
    special_gammaln(Tensor self) -> Tensor
    """
    return jax.scipy.special.gammaln(self)


@TABLE.rule(
    "aten.digamma.default", "aten.special_digamma.default", "aten.special_psi.default", promotes=Promotes.INT_TO_FLOAT
)
def digamma(self: Array) -> Array:
    """digamma(Tensor self) -> Tensor
    special_digamma(Tensor self) -> Tensor
    special_psi(Tensor self) -> Tensor
    """
    return jax.scipy.special.digamma(self)


@TABLE.rule("aten.polygamma.default", "aten.special_polygamma.default", promotes=Promotes.INT_TO_FLOAT)
def polygamma(n: int, self: Array) -> Array:
    """polygamma(int n, Tensor self) -> Tensor
    special_polygamma(int n, Tensor self) -> Tensor
    """
    if n == 0:
        return jax.scipy.special.digamma(self)
    return jax.scipy.special.polygamma(n, self)


@TABLE.rule("aten.i0.default", "aten.special_i0.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i0(self: Array) -> Array:
    """i0(Tensor self) -> Tensor
    special_i0(Tensor self) -> Tensor
    """
    # jax.scipy.special.i0 goes through abs, whose derivative at 0 is 1
    return jnp.exp(self * lax.stop_gradient(jnp.sign(self))) * jax.scipy.special.i0e(self)


@TABLE.rule("aten.special_i0e.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i0e(self: Array) -> Array:
    """special_i0e(Tensor self) -> Tensor"""
    return jax.scipy.special.i0e(self)


@TABLE.rule("aten.special_i1.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i1(self: Array) -> Array:
    """special_i1(Tensor self) -> Tensor"""
    return jax.scipy.special.i1(self)


@TABLE.rule("aten.special_i1e.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i1e(self: Array) -> Array:
    """special_i1e(Tensor self) -> Tensor"""
    return jax.scipy.special.i1e(self)


@TABLE.rule("aten.mvlgamma.default", "aten.special_multigammaln.default")
def log_gamma_many(self: Array, p: int) -> Array:
    """mvlgamma(Tensor self, int p) -> Tensor
    special_multigammaln(Tensor self, int p) -> Tensor
    """
    return jax.scipy.special.multigammaln(self, p)


@TABLE.rule("aten.special_entr.default", promotes=Promotes.INT_TO_FLOAT)
def entropy(self: Array) -> Array:
    """special_entr(Tensor self) -> Tensor"""
    return jax.scipy.special.entr(self)


@TABLE.rule("aten.special_ndtr.default", promotes=Promotes.INT_TO_FLOAT)
def normal_cdf(self: Array) -> Array:
    """special_ndtr(Tensor self) -> Tensor"""
    return jax.scipy.special.ndtr(self)


@TABLE.rule("aten.special_log_ndtr.default", promotes=Promotes.INT_TO_FLOAT, limits=[ASYMPTOTIC_SERIES])
def log_normal_cdf(self: Array) -> Array:
    """special_log_ndtr(Tensor self) -> Tensor"""
    return jax.scipy.special.log_ndtr(self)


@TABLE.rule("aten.special_ndtri.default", promotes=Promotes.INT_TO_FLOAT)
def normal_quantile(self: Array) -> Array:
    """special_ndtri(Tensor self) -> Tensor"""
    return jax.scipy.special.ndtri(self)


@TABLE.rule("aten.logit.default", "aten.special_logit.default", promotes=Promotes.INT_TO_FLOAT)
def logit(self: Array, eps: float | None = None) -> Array:
    """logit(Tensor self, float? eps=None) -> Tensor
    special_logit(Tensor self, float? eps=None) -> Tensor
    """
    if eps is None:
        return jax.scipy.special.logit(self)
    return jax.scipy.special.logit(jnp.where(self < eps, eps, jnp.where(self > 1 - eps, 1 - eps, self)))


@TABLE.rule("aten.logaddexp.default", promotes=Promotes.DEFAULT)
def log_add_exp(self: Array, other: Array) -> Array:
    """logaddexp(Tensor self, Tensor other) -> Tensor"""
    return jnp.logaddexp(self, other)


@TABLE.rule("aten.logaddexp2.default", promotes=Promotes.DEFAULT)
def log_add_exp2(self: Array, other: Array) -> Array:
    """logaddexp2(Tensor self, Tensor other) -> Tensor"""
    return jnp.logaddexp2(self, other)


@TABLE.rule(
    "aten.xlogy.Tensor",
    "aten.xlogy.Scalar_Self",
    "aten.xlogy.Scalar_Other",
    "aten.special_xlogy.default",
    "aten.special_xlogy.self_scalar",
    "aten.special_xlogy.other_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def x_log_y(self: Array | float, other: Array | float) -> Array:
    """xlogy.Tensor(Tensor self, Tensor other) -> Tensor
    xlogy.Scalar_Self(Scalar self, Tensor other) -> Tensor
    xlogy.Scalar_Other(Tensor self, Scalar other) -> Tensor
    special_xlogy(Tensor self, Tensor other) -> Tensor
    special_xlogy.self_scalar(Scalar self, Tensor other) -> Tensor
    special_xlogy.other_scalar(Tensor self, Scalar other) -> Tensor
    """
    return jax.scipy.special.xlogy(self, other)


@TABLE.rule(
    "aten.special_xlog1py.default",
    "aten.special_xlog1py.self_scalar",
    "aten.special_xlog1py.other_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def x_log1p_y(self: Array | float, other: Array | float) -> Array:
    """special_xlog1py(Tensor self, Tensor other) -> Tensor
    special_xlog1py.self_scalar(Scalar self, Tensor other) -> Tensor
    special_xlog1py.other_scalar(Tensor self, Scalar other) -> Tensor
    """
    return jax.scipy.special.xlog1py(self, other)


@TABLE.rule("aten.special_zeta.default", promotes=Promotes.INT_TO_FLOAT)
def zeta(self: Array, other: Array) -> Array:
    """special_zeta(Tensor self, Tensor other) -> Tensor"""
    return jax.scipy.special.zeta(self, other)


@TABLE.rule("aten.igamma.default", "aten.special_gammainc.default", promotes=Promotes.INT_TO_FLOAT)
def incomplete_gamma(self: Array, other: Array) -> Array:
    """igamma(Tensor self, Tensor other) -> Tensor
    special_gammainc(Tensor self, Tensor other) -> Tensor
    """
    return jax.scipy.special.gammainc(self, other)


@TABLE.rule("aten.igammac.default", "aten.special_gammaincc.default", promotes=Promotes.INT_TO_FLOAT)
def incomplete_gamma_complement(self: Array, other: Array) -> Array:
    """igammac(Tensor self, Tensor other) -> Tensor
    special_gammaincc(Tensor self, Tensor other) -> Tensor
    """
    return jax.scipy.special.gammaincc(self, other)
