"""Functions of single numbers: exponentials, trigonometry, rounding."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, Promotes, RuleTable

TABLE = RuleTable("elementwise")

HYPOT_AT_ORIGIN = Limit(
    when="both operands are 0",
    applies=lambda arguments: True,
    effect="approximate",
    reason="the derivative of hypot(0, 0) is NaN in torch and finite in JAX",
)


@TABLE.rule("aten.exp.default", promotes=Promotes.INT_TO_FLOAT)
def exp(self: Array) -> Array:
    """exp(Tensor self) -> Tensor"""
    return jnp.exp(self)


@TABLE.rule("aten.exp2.default", "aten.special_exp2.default", promotes=Promotes.INT_TO_FLOAT)
def exp2(self: Array) -> Array:
    """exp2(Tensor self) -> Tensor
    special_exp2(Tensor self) -> Tensor
    """
    return jnp.exp2(self)


@TABLE.rule("aten.expm1.default", "aten.special_expm1.default", promotes=Promotes.INT_TO_FLOAT)
def expm1(self: Array) -> Array:
    """expm1(Tensor self) -> Tensor
    special_expm1(Tensor self) -> Tensor
    """
    return jnp.expm1(self)


@TABLE.rule("aten.log.default", promotes=Promotes.INT_TO_FLOAT)
def log(self: Array) -> Array:
    """log(Tensor self) -> Tensor"""
    return jnp.log(self)


@TABLE.rule("aten.log2.default", promotes=Promotes.INT_TO_FLOAT)
def log2(self: Array) -> Array:
    """log2(Tensor self) -> Tensor"""
    return jnp.log2(self)


@TABLE.rule("aten.log10.default", promotes=Promotes.INT_TO_FLOAT)
def log10(self: Array) -> Array:
    """log10(Tensor self) -> Tensor"""
    return jnp.log10(self)


@TABLE.rule("aten.log1p.default", "aten.special_log1p.default", promotes=Promotes.INT_TO_FLOAT)
def log1p(self: Array) -> Array:
    """log1p(Tensor self) -> Tensor
    special_log1p(Tensor self) -> Tensor
    """
    return jnp.log1p(self)


@TABLE.rule("aten.sqrt.default", promotes=Promotes.INT_TO_FLOAT)
def sqrt(self: Array) -> Array:
    """sqrt(Tensor self) -> Tensor"""
    return jnp.sqrt(self)


@TABLE.rule("aten.rsqrt.default", promotes=Promotes.INT_TO_FLOAT)
def rsqrt(self: Array) -> Array:
    """rsqrt(Tensor self) -> Tensor"""
    return lax.rsqrt(self)


@TABLE.rule("aten.sin.default", promotes=Promotes.INT_TO_FLOAT)
def sin(self: Array) -> Array:
    """sin(Tensor self) -> Tensor"""
    return jnp.sin(self)


@TABLE.rule("aten.cos.default", promotes=Promotes.INT_TO_FLOAT)
def cos(self: Array) -> Array:
    """cos(Tensor self) -> Tensor"""
    return jnp.cos(self)


@TABLE.rule("aten.tan.default", promotes=Promotes.INT_TO_FLOAT)
def tan(self: Array) -> Array:
    """tan(Tensor self) -> Tensor"""
    return jnp.tan(self)


@TABLE.rule("aten.asin.default", "aten.arcsin.default", promotes=Promotes.INT_TO_FLOAT)
def arcsin(self: Array) -> Array:
    """asin(Tensor self) -> Tensor
    arcsin(Tensor self) -> Tensor
    """
    return jnp.arcsin(self)


@TABLE.rule("aten.acos.default", "aten.arccos.default", promotes=Promotes.INT_TO_FLOAT)
def arccos(self: Array) -> Array:
    """acos(Tensor self) -> Tensor
    arccos(Tensor self) -> Tensor
    """
    return jnp.arccos(self)


@TABLE.rule("aten.atan.default", "aten.arctan.default", promotes=Promotes.INT_TO_FLOAT)
def arctan(self: Array) -> Array:
    """atan(Tensor self) -> Tensor
    arctan(Tensor self) -> Tensor
    """
    return jnp.arctan(self)


@TABLE.rule("aten.sinh.default", promotes=Promotes.INT_TO_FLOAT)
def sinh(self: Array) -> Array:
    """sinh(Tensor self) -> Tensor"""
    return jnp.sinh(self)


@TABLE.rule("aten.cosh.default", promotes=Promotes.INT_TO_FLOAT)
def cosh(self: Array) -> Array:
    """cosh(Tensor self) -> Tensor"""
    return jnp.cosh(self)


@TABLE.rule("aten.tanh.default", promotes=Promotes.INT_TO_FLOAT)
def tanh(self: Array) -> Array:
    """tanh(Tensor self) -> Tensor"""
    return jnp.tanh(self)


@TABLE.rule("aten.asinh.default", "aten.arcsinh.default", promotes=Promotes.INT_TO_FLOAT)
def arcsinh(self: Array) -> Array:
    """asinh(Tensor self) -> Tensor
    arcsinh(Tensor self) -> Tensor
    """
    return jnp.arcsinh(self)


@TABLE.rule("aten.acosh.default", "aten.arccosh.default", promotes=Promotes.INT_TO_FLOAT)
def arccosh(self: Array) -> Array:
    """acosh(Tensor self) -> Tensor
    arccosh(Tensor self) -> Tensor
    """
    return jnp.arccosh(self)


@TABLE.rule("aten.atanh.default", "aten.arctanh.default", promotes=Promotes.INT_TO_FLOAT)
def arctanh(self: Array) -> Array:
    """atanh(Tensor self) -> Tensor
    arctanh(Tensor self) -> Tensor
    """
    return jnp.arctanh(self)


@TABLE.rule("aten.atan2.default", "aten.arctan2.default", promotes=Promotes.INT_TO_FLOAT)
def arctan2(self: Array, other: Array) -> Array:
    """atan2(Tensor self, Tensor other) -> Tensor
    arctan2(Tensor self, Tensor other) -> Tensor
    """
    # the derivative at the origin is 0 in torch; JAX's formula divides by 0 there
    origin = (self == 0) & (other == 0)
    return jnp.where(
        origin,
        lax.stop_gradient(jnp.arctan2(self, other)),
        jnp.arctan2(jnp.where(origin, 1, self), jnp.where(origin, 1, other)),
    )


@TABLE.rule("aten.hypot.default", promotes=Promotes.DEFAULT, limits=[HYPOT_AT_ORIGIN])
def hypot(self: Array, other: Array) -> Array:
    """hypot(Tensor self, Tensor other) -> Tensor"""
    return jnp.hypot(self, other)


@TABLE.rule("aten.sinc.default", "aten.special_sinc.default", promotes=Promotes.INT_TO_FLOAT)
def sinc(self: Array) -> Array:
    """sinc(Tensor self) -> Tensor
    special_sinc(Tensor self) -> Tensor
    """
    return jnp.sinc(self)


@TABLE.rule("aten.ceil.default")
def ceil(self: Array) -> Array:
    """ceil(Tensor self) -> Tensor"""
    return jnp.ceil(self).astype(self.dtype)


@TABLE.rule("aten.floor.default")
def floor(self: Array) -> Array:
    """floor(Tensor self) -> Tensor"""
    return jnp.floor(self).astype(self.dtype)


@TABLE.rule("aten.round.default")
def round_to_even(self: Array) -> Array:
    """round(Tensor self) -> Tensor"""
    return jnp.round(self)


@TABLE.rule("aten.round.decimals")
def round_decimals(self: Array, decimals: int) -> Array:
    """round.decimals(Tensor self, *, int decimals) -> Tensor"""
    if decimals == 0:
        return jnp.round(self)
    # torch scales, rounds and scales back in this order
    if decimals < 0:
        return jnp.round(self / 10 ** (-decimals)) * 10 ** (-decimals)
    return jnp.round(self * 10**decimals) / 10**decimals


@TABLE.rule("aten.trunc.default", "aten.fix.default")
def truncate(self: Array) -> Array:
    """trunc(Tensor self) -> Tensor
    fix(Tensor self) -> Tensor
    """
    return jnp.trunc(self).astype(self.dtype)


@TABLE.rule("aten.frac.default")
def fraction(self: Array) -> Array:
    """frac(Tensor self) -> Tensor"""
    return self - lax.stop_gradient(jnp.trunc(self))


@TABLE.rule("aten.nan_to_num.default")
def nan_to_num(
    self: Array, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Array:
    """nan_to_num(Tensor self, float? nan=None, float? posinf=None, float? neginf=None) -> Tensor"""
    return jnp.nan_to_num(self, nan=0.0 if nan is None else nan, posinf=posinf, neginf=neginf)


@TABLE.rule("aten.rad2deg.default", promotes=Promotes.INT_TO_FLOAT)
def degrees(self: Array) -> Array:
    """rad2deg(Tensor self) -> Tensor"""
    return jnp.rad2deg(self)


@TABLE.rule("aten.deg2rad.default", promotes=Promotes.INT_TO_FLOAT)
def radians(self: Array) -> Array:
    """deg2rad(Tensor self) -> Tensor"""
    return jnp.deg2rad(self)


@TABLE.rule("aten.heaviside.default")
def heaviside(self: Array, values: Array) -> Array:
    """heaviside(Tensor self, Tensor values) -> Tensor"""
    if not jnp.issubdtype(self.dtype, jnp.inexact):
        return jnp.where(self == 0, values, (self > 0).astype(self.dtype))
    return jnp.heaviside(self, values)


@TABLE.rule("aten.nextafter.default", promotes=Promotes.DEFAULT)
def next_after(self: Array, other: Array) -> Array:
    """nextafter(Tensor self, Tensor other) -> Tensor"""
    # in torch the step moves with `self`, which JAX has no derivative for
    x, y = lax.stop_gradient(self), lax.stop_gradient(other)
    stepped = jnp.nextafter(x, y)
    return jnp.where((x == y) | ~jnp.isfinite(x), stepped, self + (stepped - x))


@TABLE.rule("aten.frexp.Tensor")
def mantissa_and_exponent(self: Array) -> tuple[Array, Array]:
    """frexp.Tensor(Tensor self) -> (Tensor mantissa, Tensor exponent)"""
    exponent = jnp.frexp(lax.stop_gradient(self))[1]
    return jnp.where(jnp.isfinite(self), jnp.ldexp(self, -exponent), self), exponent.astype(jnp.int32)
