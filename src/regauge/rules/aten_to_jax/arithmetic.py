"""Arithmetic of arrays and numbers: sums, products, quotients, powers, bounds."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("arithmetic")


@TABLE.rule("aten.add.Tensor", "aten.add.Scalar", promotes=Promotes.DEFAULT)
def add(self: Array, other: Array | float, alpha: float = 1) -> Array:
    """add.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
    add.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
    """
    if alpha == 1:
        return self + other
    return self + alpha * other


@TABLE.rule(
    "aten.sub.Tensor", "aten.sub.Scalar", "aten.subtract.Tensor", "aten.subtract.Scalar", promotes=Promotes.DEFAULT
)
def subtract(self: Array, other: Array | float, alpha: float = 1) -> Array:
    """sub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
    sub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
    subtract.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
    subtract.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
    """
    if alpha == 1:
        return self - other
    return self - alpha * other


@TABLE.rule("aten.rsub.Tensor", "aten.rsub.Scalar", promotes=Promotes.DEFAULT)
def reverse_subtract(self: Array, other: Array | float, alpha: float = 1) -> Array:
    """rsub.Tensor(Tensor self, Tensor other, *, Scalar alpha=1) -> Tensor
    rsub.Scalar(Tensor self, Scalar other, Scalar alpha=1) -> Tensor
    """
    if alpha == 1:
        return other - self
    return other - alpha * self


@TABLE.rule(
    "aten.mul.Tensor", "aten.mul.Scalar", "aten.multiply.Tensor", "aten.multiply.Scalar", promotes=Promotes.DEFAULT
)
def multiply(self: Array, other: Array | float) -> Array:
    """mul.Tensor(Tensor self, Tensor other) -> Tensor
    mul.Scalar(Tensor self, Scalar other) -> Tensor
    multiply.Tensor(Tensor self, Tensor other) -> Tensor
    multiply.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self * other


@TABLE.rule(
    "aten.div.Tensor",
    "aten.div.Scalar",
    "aten.divide.Tensor",
    "aten.divide.Scalar",
    "aten.true_divide.Tensor",
    "aten.true_divide.Scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def divide(self: Array, other: Array | float) -> Array:
    """div.Tensor(Tensor self, Tensor other) -> Tensor
    div.Scalar(Tensor self, Scalar other) -> Tensor
    divide.Tensor(Tensor self, Tensor other) -> Tensor
    divide.Scalar(Tensor self, Scalar other) -> Tensor
    true_divide.Tensor(Tensor self, Tensor other) -> Tensor
    true_divide.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self / other


@TABLE.rule(
    "aten.div.Tensor_mode",
    "aten.div.Scalar_mode",
    "aten.divide.Tensor_mode",
    "aten.divide.Scalar_mode",
    promotes=Promotes.DEFAULT,
)
def divide_rounded(self: Array, other: Array | float, rounding_mode: str | None) -> Array:
    """div.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
    div.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor
    divide.Tensor_mode(Tensor self, Tensor other, *, str? rounding_mode) -> Tensor
    divide.Scalar_mode(Tensor self, Scalar other, *, str? rounding_mode) -> Tensor
    """
    if rounding_mode == "floor":
        return jnp.floor_divide(self, other)
    if rounding_mode == "trunc" and jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.trunc(self / other)
    if rounding_mode == "trunc":
        return (self - jnp.fmod(self, other)) // other
    if jnp.issubdtype(self.dtype, jnp.floating):
        return self / other
    return self.astype(jnp.float32) / other


@TABLE.rule("aten.floor_divide.default", "aten.floor_divide.Scalar", promotes=Promotes.DEFAULT)
def floor_divide(self: Array, other: Array | float) -> Array:
    """floor_divide(Tensor self, Tensor other) -> Tensor
    floor_divide.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self // other


@TABLE.rule("aten.remainder.Tensor", "aten.remainder.Scalar", promotes=Promotes.DEFAULT)
def remainder(self: Array, other: Array | float) -> Array:
    """remainder.Tensor(Tensor self, Tensor other) -> Tensor
    remainder.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self % other


@TABLE.rule("aten.remainder.Scalar_Tensor", promotes=Promotes.DEFAULT)
def remainder_of_scalar(self: Array | float, other: Array) -> Array:
    """remainder.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.remainder(self, other)


@TABLE.rule("aten.fmod.Tensor", "aten.fmod.Scalar", promotes=Promotes.DEFAULT)
def fmod(self: Array, other: Array | float) -> Array:
    """fmod.Tensor(Tensor self, Tensor other) -> Tensor
    fmod.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return jnp.fmod(self, other)


def power_of_integers(base: Array, exponent: Array) -> Array:
    """Powers of integers, of which one with a negative exponent is 0 unless the base is 1 or -1."""
    of_negative = jnp.where(base == 1, 1, jnp.where(base == -1, 1 - 2 * (exponent & 1), 0))
    return jnp.where(exponent < 0, of_negative, jnp.power(base, jnp.maximum(exponent, 0)))


@TABLE.rule("aten.pow.Tensor_Tensor", promotes=Promotes.DEFAULT)
def power_of_arrays(self: Array, exponent: Array) -> Array:
    """pow.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor"""
    if jnp.issubdtype(self.dtype, jnp.integer):
        return power_of_integers(self, exponent)
    if not jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.power(self, exponent)
    # 0**0 is a constant in torch; JAX's derivative there is NaN
    return jnp.power(jnp.where((self == 0) & (exponent == 0), 1, self), exponent)


@TABLE.rule("aten.pow.Tensor_Scalar", promotes=Promotes.DEFAULT)
def power(self: Array, exponent: Array | float) -> Array:
    """pow.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor"""
    # torch defines the derivative of x**0 as 0 everywhere and takes square roots for the powers 0.5 and -0.5
    if exponent == 0:
        return jnp.ones_like(self)
    if exponent == 0.5:
        return jnp.sqrt(self)
    if exponent == -0.5:
        return lax.rsqrt(self)
    if isinstance(exponent, float) and exponent.is_integer():
        return self ** int(exponent)
    return self**exponent


@TABLE.rule("aten.pow.Scalar", promotes=Promotes.DEFAULT)
def power_of_scalar(self: Array | float, exponent: Array) -> Array:
    """pow.Scalar(Scalar self, Tensor exponent) -> Tensor"""
    if not jnp.issubdtype(exponent.dtype, jnp.integer):
        return jnp.power(self, exponent)
    return power_of_integers(jnp.asarray(self, exponent.dtype), exponent)


@TABLE.rule("aten.float_power.Tensor_Tensor", "aten.float_power.Tensor_Scalar")
def float_power(self: Array, exponent: Array | float) -> Array:
    """float_power.Tensor_Tensor(Tensor self, Tensor exponent) -> Tensor
    float_power.Tensor_Scalar(Tensor self, Scalar exponent) -> Tensor
    """
    if jnp.iscomplexobj(self) or jnp.iscomplexobj(exponent):
        return jnp.power(self.astype(complex), exponent)
    return jnp.power(self.astype(float), exponent)


@TABLE.rule("aten.square.default")
def square(self: Array) -> Array:
    """square(Tensor self) -> Tensor"""
    return jnp.square(self)


@TABLE.rule("aten.reciprocal.default", promotes=Promotes.INT_TO_FLOAT)
def reciprocal(self: Array) -> Array:
    """reciprocal(Tensor self) -> Tensor"""
    return 1 / self


@TABLE.rule("aten.neg.default", "aten.negative.default")
def negative(self: Array) -> Array:
    """neg(Tensor self) -> Tensor
    negative(Tensor self) -> Tensor
    """
    return -self


@TABLE.rule("aten.positive.default")
def positive(self: Array) -> Array:
    """positive(Tensor(a) self) -> Tensor(a)"""
    return self


@TABLE.rule("aten.abs.default", "aten.absolute.default")
def absolute(self: Array) -> Array:
    """abs(Tensor self) -> Tensor
    absolute(Tensor self) -> Tensor
    """
    if not jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.abs(self)
    # the derivative at 0 is 0 in torch and 1 for jnp.abs
    return self * lax.stop_gradient(jnp.sign(self))


@TABLE.rule("aten.sign.default")
def sign(self: Array) -> Array:
    """sign(Tensor self) -> Tensor"""
    if self.dtype == jnp.bool_:
        return self
    if not jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.sign(self)
    # the sign of NaN is 0 in torch
    return jnp.where(jnp.isnan(self), 0, jnp.sign(self))


@TABLE.rule("aten.clamp.default", "aten.clip.default", promotes=Promotes.DEFAULT)
def clamp(self: Array, min: Array | float | None = None, max: Array | float | None = None) -> Array:
    """clamp(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
    clip(Tensor self, Scalar? min=None, Scalar? max=None) -> Tensor
    """
    # jnp.clip halves the derivative at the bounds; in torch a value on a bound passes its gradient through
    if min is not None and max is not None:
        if min > max:
            return lax.stop_gradient(jnp.minimum(jnp.maximum(self, min), max))
        return jnp.where(self < min, min, jnp.where(self > max, max, self))
    if min is not None:
        return jnp.where(self < min, min, self)
    if max is not None:
        return jnp.where(self > max, max, self)
    return self


@TABLE.rule("aten.clamp.Tensor", "aten.clip.Tensor", promotes=Promotes.DEFAULT)
def clamp_arrays(self: Array, min: Array | None = None, max: Array | None = None) -> Array:
    """clamp.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor
    clip.Tensor(Tensor self, Tensor? min=None, Tensor? max=None) -> Tensor
    """
    if min is not None and max is not None:
        return jnp.where((self > max) | (max < min), max, jnp.where(self < min, min, self))
    if min is not None:
        return jnp.where(self < min, min, self)
    if max is not None:
        return jnp.where(self > max, max, self)
    return self


@TABLE.rule("aten.clamp_min.default", "aten.clamp_min.Tensor", promotes=Promotes.DEFAULT)
def clamp_min(self: Array, min: Array | float) -> Array:
    """clamp_min(Tensor self, Scalar min) -> Tensor
    clamp_min.Tensor(Tensor self, Tensor min) -> Tensor
    """
    return jnp.where(self < min, min, self)


@TABLE.rule("aten.clamp_max.default", "aten.clamp_max.Tensor", promotes=Promotes.DEFAULT)
def clamp_max(self: Array, max: Array | float) -> Array:
    """clamp_max(Tensor self, Scalar max) -> Tensor
    clamp_max.Tensor(Tensor self, Tensor max) -> Tensor
    """
    return jnp.where(self > max, max, self)


@TABLE.rule("aten.lerp.Scalar", "aten.lerp.Tensor", promotes=Promotes.DEFAULT)
def lerp(self: Array, end: Array, weight: Array | float) -> Array:
    """lerp.Scalar(Tensor self, Tensor end, Scalar weight) -> Tensor
    lerp.Tensor(Tensor self, Tensor end, Tensor weight) -> Tensor
    """
    return self + weight * (end - self)


@TABLE.rule("aten.addcmul.default", promotes=Promotes.DEFAULT)
def addcmul(self: Array, tensor1: Array, tensor2: Array, value: float = 1) -> Array:
    """addcmul(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor"""
    if value == 1:
        return self + tensor1 * tensor2
    return self + value * tensor1 * tensor2


@TABLE.rule("aten.addcdiv.default", promotes=Promotes.DEFAULT)
def addcdiv(self: Array, tensor1: Array, tensor2: Array, value: float = 1) -> Array:
    """addcdiv(Tensor self, Tensor tensor1, Tensor tensor2, *, Scalar value=1) -> Tensor"""
    if value == 1:
        return self + tensor1 / tensor2
    return self + value * (tensor1 / tensor2)


@TABLE.rule("aten.copysign.Tensor", "aten.copysign.Scalar", promotes=Promotes.INT_TO_FLOAT)
def copysign(self: Array, other: Array | float) -> Array:
    """copysign.Tensor(Tensor self, Tensor other) -> Tensor
    copysign.Scalar(Tensor self, Scalar other) -> Tensor
    """
    # torch's derivative at 0 is 0
    return jnp.where(self == 0, lax.stop_gradient(jnp.copysign(self, other)), jnp.copysign(self, other))


@TABLE.rule("aten.gcd.default", promotes=Promotes.DEFAULT)
def gcd(self: Array, other: Array) -> Array:
    """gcd(Tensor self, Tensor other) -> Tensor"""
    return jnp.gcd(self, other)


@TABLE.rule("aten.lcm.default", promotes=Promotes.DEFAULT)
def lcm(self: Array, other: Array) -> Array:
    """lcm(Tensor self, Tensor other) -> Tensor"""
    return jnp.lcm(self, other)


@TABLE.rule("aten.ldexp.Tensor", promotes=Promotes.INT_TO_FLOAT)
def ldexp(self: Array, other: Array) -> Array:
    """ldexp.Tensor(Tensor self, Tensor other) -> Tensor"""
    return self * jnp.exp2(other.astype(jnp.result_type(self, other)))


@TABLE.rule("aten.diff.default")
def difference(
    self: Array, n: int = 1, dim: int = -1, prepend: Array | None = None, append: Array | None = None
) -> Array:
    """diff(Tensor self, int n=1, int dim=-1, Tensor? prepend=None, Tensor? append=None) -> Tensor"""
    if prepend is not None and append is not None:
        return jnp.diff(self, n, axis=dim, prepend=prepend, append=append)
    if prepend is not None:
        return jnp.diff(self, n, axis=dim, prepend=prepend)
    if append is not None:
        return jnp.diff(self, n, axis=dim, append=append)
    return jnp.diff(self, n, axis=dim)
