"""Error functions, the normal distribution, entropies and logarithms of sums."""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, Promotes, RuleTable

TABLE = RuleTable("special_functions")

EQUAL_INFINITIES = Limit(
    when="both operands are +infinity",
    applies=lambda arguments: True,
    effect="approximate",
    reason="each derivative is NaN in torch and 1 in JAX",
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


@TABLE.rule("aten.special_entr.default", promotes=Promotes.INT_TO_FLOAT)
def entropy(self: Array) -> Array:
    """special_entr(Tensor self) -> Tensor"""

    @jax.custom_jvp
    def value(x: Array) -> Array:
        return jax.scipy.special.entr(x)

    @value.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        # as in torch for negative numbers too: JAX's own second derivative is 0 there
        return value(*primals), -(1 + jnp.log(primals[0])) * tangents[0]

    return value(self)


@TABLE.rule("aten.special_ndtr.default", promotes=Promotes.INT_TO_FLOAT)
def normal_cdf(self: Array) -> Array:
    """special_ndtr(Tensor self) -> Tensor"""
    if self.dtype == jnp.bfloat16:
        return jax.scipy.special.ndtr(self.astype(jnp.float32)).astype(self.dtype)
    return jax.scipy.special.ndtr(self)


def scaled_erfc(x: Array) -> Array:
    """``exp(x^2) erfc(x)``: from 2 up by the continued fraction of DLMF 7.9.1, which does not overflow; JAX's own is 0
    where erfc(x) is.
    """

    @jax.custom_jvp
    def value(x: Array) -> Array:
        large = jnp.maximum(x, 2)
        fraction = lax.fori_loop(0, 60, lambda step, below: large + (60 - step) / 2 / below, large)
        small = jnp.minimum(x, 2)
        direct = jnp.exp(jnp.square(small)) * jax.scipy.special.erfc(small)
        return jnp.where(x > 2, 1 / (math.sqrt(math.pi) * fraction), direct)

    @value.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        result = value(*primals)
        return result, (2 * primals[0] * result - 2 / math.sqrt(math.pi)) * tangents[0]

    return value(x)


@TABLE.rule("aten.special_erfcx.default", promotes=Promotes.INT_TO_FLOAT)
def erfc_scaled(self: Array) -> Array:
    """special_erfcx(Tensor self) -> Tensor"""
    return scaled_erfc(self)


@TABLE.rule("aten.special_log_ndtr.default", promotes=Promotes.INT_TO_FLOAT)
def log_normal_cdf(self: Array) -> Array:
    """special_log_ndtr(Tensor self) -> Tensor"""
    # JAX's own takes a series below -20 whose derivative has a relative error of 4e-9
    low, high = jnp.where(self < -1, self, -1), jnp.where(self < -1, 0, self)
    return jnp.where(
        self < -1,
        jnp.log(scaled_erfc(-low * math.sqrt(0.5)) / 2) - jnp.square(low) / 2,
        jnp.log1p(-jax.scipy.special.erfc(high * math.sqrt(0.5)) / 2),
    )


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


@TABLE.rule("aten.logaddexp.default", promotes=Promotes.DEFAULT, limits=[EQUAL_INFINITIES])
def log_add_exp(self: Array, other: Array) -> Array:
    """logaddexp(Tensor self, Tensor other) -> Tensor"""
    if jnp.iscomplexobj(self):
        # JAX wraps the imaginary part; torch's is that of the number with the larger real part
        ordered = self.real >= other.real
        larger, smaller = jnp.where(ordered, self, other), jnp.where(ordered, other, self)
        both_zero = (larger.real == smaller.real) & jnp.isneginf(larger.real)
        return jnp.where(both_zero, larger, larger + jnp.log1p(jnp.exp(jnp.where(both_zero, 0, smaller - larger))))
    return jnp.logaddexp(self, other)


@TABLE.rule("aten.logaddexp2.default", promotes=Promotes.DEFAULT, limits=[EQUAL_INFINITIES])
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

    @jax.custom_jvp
    def value(x: Array, y: Array) -> Array:
        return jax.scipy.special.xlogy(x, y)

    @value.defjvp
    def derivative(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = primals
        left_out = (x == 0) & (y <= 0)  # torch's derivative by x is 0 there, JAX's the logarithm
        logarithm = jnp.where(left_out, 0, jnp.log(jnp.where(left_out, 1, y)))
        return value(x, y), logarithm * tangents[0] + x / y * tangents[1]

    return value(*jnp.broadcast_arrays(self, other))


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

    @jax.custom_jvp
    def value(x: Array, y: Array) -> Array:
        return jax.scipy.special.xlog1py(x, y)

    @value.defjvp
    def derivative(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        x, y = primals
        left_out = (x == 0) & (y <= -1)  # torch's derivative by x is 0 there, JAX's the logarithm
        logarithm = jnp.where(left_out, 0, jnp.log1p(jnp.where(left_out, 0, y)))
        return value(x, y), logarithm * tangents[0] + x / (y + 1) * tangents[1]

    return value(*jnp.broadcast_arrays(self, other))
