"""Comparisons, choices by a condition, and the logic of booleans and bits."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("comparison")


@TABLE.rule("aten.eq.Tensor", "aten.eq.Scalar", promotes=Promotes.ALWAYS_BOOL)
def equal(self: Array, other: Array | float) -> Array:
    """eq.Tensor(Tensor self, Tensor other) -> Tensor
    eq.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self == other


@TABLE.rule(
    "aten.ne.Tensor", "aten.ne.Scalar", "aten.not_equal.Tensor", "aten.not_equal.Scalar", promotes=Promotes.ALWAYS_BOOL
)
def not_equal(self: Array, other: Array | float) -> Array:
    """ne.Tensor(Tensor self, Tensor other) -> Tensor
    ne.Scalar(Tensor self, Scalar other) -> Tensor
    not_equal.Tensor(Tensor self, Tensor other) -> Tensor
    not_equal.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self != other


@TABLE.rule("aten.lt.Tensor", "aten.lt.Scalar", "aten.less.Tensor", "aten.less.Scalar", promotes=Promotes.ALWAYS_BOOL)
def less(self: Array, other: Array | float) -> Array:
    """lt.Tensor(Tensor self, Tensor other) -> Tensor
    lt.Scalar(Tensor self, Scalar other) -> Tensor
    less.Tensor(Tensor self, Tensor other) -> Tensor
    less.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self < other


@TABLE.rule(
    "aten.le.Tensor",
    "aten.le.Scalar",
    "aten.less_equal.Tensor",
    "aten.less_equal.Scalar",
    promotes=Promotes.ALWAYS_BOOL,
)
def less_equal(self: Array, other: Array | float) -> Array:
    """le.Tensor(Tensor self, Tensor other) -> Tensor
    le.Scalar(Tensor self, Scalar other) -> Tensor
    less_equal.Tensor(Tensor self, Tensor other) -> Tensor
    less_equal.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self <= other


@TABLE.rule(
    "aten.gt.Tensor", "aten.gt.Scalar", "aten.greater.Tensor", "aten.greater.Scalar", promotes=Promotes.ALWAYS_BOOL
)
def greater(self: Array, other: Array | float) -> Array:
    """gt.Tensor(Tensor self, Tensor other) -> Tensor
    gt.Scalar(Tensor self, Scalar other) -> Tensor
    greater.Tensor(Tensor self, Tensor other) -> Tensor
    greater.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self > other


@TABLE.rule(
    "aten.ge.Tensor",
    "aten.ge.Scalar",
    "aten.greater_equal.Tensor",
    "aten.greater_equal.Scalar",
    promotes=Promotes.ALWAYS_BOOL,
)
def greater_equal(self: Array, other: Array | float) -> Array:
    """ge.Tensor(Tensor self, Tensor other) -> Tensor
    ge.Scalar(Tensor self, Scalar other) -> Tensor
    greater_equal.Tensor(Tensor self, Tensor other) -> Tensor
    greater_equal.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self >= other


@TABLE.rule("aten.isnan.default")
def is_nan(self: Array) -> Array:
    """isnan(Tensor self) -> Tensor"""
    return jnp.isnan(self)


@TABLE.rule("aten.isinf.default")
def is_inf(self: Array) -> Array:
    """isinf(Tensor self) -> Tensor"""
    return jnp.isinf(self)


@TABLE.rule("aten.isfinite.default")
def is_finite(self: Array) -> Array:
    """isfinite(Tensor self) -> Tensor"""
    return jnp.isfinite(self)


@TABLE.rule("aten.isposinf.default")
def is_positive_inf(self: Array) -> Array:
    """isposinf(Tensor self) -> Tensor"""
    return jnp.isposinf(self)


@TABLE.rule("aten.isneginf.default")
def is_negative_inf(self: Array) -> Array:
    """isneginf(Tensor self) -> Tensor"""
    return jnp.isneginf(self)


@TABLE.rule("aten.signbit.default")
def sign_bit(self: Array) -> Array:
    """signbit(Tensor self) -> Tensor"""
    if jnp.issubdtype(self.dtype, jnp.floating):
        return jnp.signbit(self)
    return self < 0


@TABLE.rule("aten.isclose.default", promotes=Promotes.ALWAYS_BOOL)
def is_close(self: Array, other: Array, rtol: float = 1e-05, atol: float = 1e-08, equal_nan: bool = False) -> Array:
    """isclose(Tensor self, Tensor other, float rtol=1.0000000000000001e-05, float atol=1e-08, bool equal_nan=False) ->
    Tensor
    """
    return jnp.isclose(self, other, rtol, atol, equal_nan=equal_nan)


@TABLE.rule("aten.isin.Tensor_Tensor")
def is_in(elements: Array, test_elements: Array, assume_unique: bool = False, invert: bool = False) -> Array:
    """isin.Tensor_Tensor(Tensor elements, Tensor test_elements, *, bool assume_unique=False, bool invert=False) ->
    Tensor
    """
    return jnp.isin(elements, test_elements, invert=invert)


@TABLE.rule("aten.logical_and.default")
def logical_and(self: Array, other: Array) -> Array:
    """logical_and(Tensor self, Tensor other) -> Tensor"""
    return jnp.logical_and(self, other)


@TABLE.rule("aten.logical_or.default")
def logical_or(self: Array, other: Array) -> Array:
    """logical_or(Tensor self, Tensor other) -> Tensor"""
    return jnp.logical_or(self, other)


@TABLE.rule("aten.logical_xor.default")
def logical_xor(self: Array, other: Array) -> Array:
    """logical_xor(Tensor self, Tensor other) -> Tensor"""
    return jnp.logical_xor(self, other)


@TABLE.rule("aten.logical_not.default")
def logical_not(self: Array) -> Array:
    """logical_not(Tensor self) -> Tensor"""
    return jnp.logical_not(self)


@TABLE.rule(
    "aten.bitwise_and.Tensor",
    "aten.bitwise_and.Scalar",
    "aten.__and__.Tensor",
    "aten.__and__.Scalar",
    promotes=Promotes.DEFAULT,
)
def bitwise_and(self: Array, other: Array | int) -> Array:
    """bitwise_and.Tensor(Tensor self, Tensor other) -> Tensor
    bitwise_and.Scalar(Tensor self, Scalar other) -> Tensor
    __and__.Tensor(Tensor self, Tensor other) -> Tensor
    __and__.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self & other


@TABLE.rule("aten.bitwise_and.Scalar_Tensor", promotes=Promotes.DEFAULT)
def bitwise_and_of_scalar(self: Array | int, other: Array) -> Array:
    """bitwise_and.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.bitwise_and(self, other)


@TABLE.rule(
    "aten.bitwise_or.Tensor",
    "aten.bitwise_or.Scalar",
    "aten.__or__.Tensor",
    "aten.__or__.Scalar",
    promotes=Promotes.DEFAULT,
)
def bitwise_or(self: Array, other: Array | int) -> Array:
    """bitwise_or.Tensor(Tensor self, Tensor other) -> Tensor
    bitwise_or.Scalar(Tensor self, Scalar other) -> Tensor
    __or__.Tensor(Tensor self, Tensor other) -> Tensor
    __or__.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self | other


@TABLE.rule("aten.bitwise_or.Scalar_Tensor", promotes=Promotes.DEFAULT)
def bitwise_or_of_scalar(self: Array | int, other: Array) -> Array:
    """bitwise_or.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.bitwise_or(self, other)


@TABLE.rule(
    "aten.bitwise_xor.Tensor",
    "aten.bitwise_xor.Scalar",
    "aten.__xor__.Tensor",
    "aten.__xor__.Scalar",
    promotes=Promotes.DEFAULT,
)
def bitwise_xor(self: Array, other: Array | int) -> Array:
    """bitwise_xor.Tensor(Tensor self, Tensor other) -> Tensor
    bitwise_xor.Scalar(Tensor self, Scalar other) -> Tensor
    __xor__.Tensor(Tensor self, Tensor other) -> Tensor
    __xor__.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self ^ other


@TABLE.rule("aten.bitwise_xor.Scalar_Tensor", promotes=Promotes.DEFAULT)
def bitwise_xor_of_scalar(self: Array | int, other: Array) -> Array:
    """bitwise_xor.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.bitwise_xor(self, other)


@TABLE.rule("aten.bitwise_not.default")
def bitwise_not(self: Array) -> Array:
    """bitwise_not(Tensor self) -> Tensor"""
    return ~self


@TABLE.rule(
    "aten.bitwise_left_shift.Tensor",
    "aten.bitwise_left_shift.Tensor_Scalar",
    "aten.__lshift__.Tensor",
    "aten.__lshift__.Scalar",
    promotes=Promotes.DEFAULT,
)
def shift_left(self: Array, other: Array | int) -> Array:
    """bitwise_left_shift.Tensor(Tensor self, Tensor other) -> Tensor
    bitwise_left_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor
    __lshift__.Tensor(Tensor self, Tensor other) -> Tensor
    __lshift__.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self << other


@TABLE.rule("aten.bitwise_left_shift.Scalar_Tensor", promotes=Promotes.DEFAULT)
def shift_left_of_scalar(self: Array | int, other: Array) -> Array:
    """bitwise_left_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.left_shift(self, other)


@TABLE.rule(
    "aten.bitwise_right_shift.Tensor",
    "aten.bitwise_right_shift.Tensor_Scalar",
    "aten.__rshift__.Tensor",
    "aten.__rshift__.Scalar",
    promotes=Promotes.DEFAULT,
)
def shift_right(self: Array, other: Array | int) -> Array:
    """bitwise_right_shift.Tensor(Tensor self, Tensor other) -> Tensor
    bitwise_right_shift.Tensor_Scalar(Tensor self, Scalar other) -> Tensor
    __rshift__.Tensor(Tensor self, Tensor other) -> Tensor
    __rshift__.Scalar(Tensor self, Scalar other) -> Tensor
    """
    return self >> other


@TABLE.rule("aten.bitwise_right_shift.Scalar_Tensor", promotes=Promotes.DEFAULT)
def shift_right_of_scalar(self: Array | int, other: Array) -> Array:
    """bitwise_right_shift.Scalar_Tensor(Scalar self, Tensor other) -> Tensor"""
    return jnp.right_shift(self, other)


@TABLE.rule("aten.maximum.default", "aten.max.other", promotes=Promotes.DEFAULT)
def maximum(self: Array, other: Array) -> Array:
    """maximum(Tensor self, Tensor other) -> Tensor
    max.other(Tensor self, Tensor other) -> Tensor
    """
    return jnp.maximum(self, other)


@TABLE.rule("aten.minimum.default", "aten.min.other", promotes=Promotes.DEFAULT)
def minimum(self: Array, other: Array) -> Array:
    """minimum(Tensor self, Tensor other) -> Tensor
    min.other(Tensor self, Tensor other) -> Tensor
    """
    return jnp.minimum(self, other)


@TABLE.rule("aten.fmax.default", promotes=Promotes.DEFAULT)
def fmax(self: Array, other: Array) -> Array:
    """fmax(Tensor self, Tensor other) -> Tensor"""
    # on a tie torch's derivative goes to the first operand
    return jnp.where((self >= other) | jnp.isnan(other), self, other)


@TABLE.rule("aten.fmin.default", promotes=Promotes.DEFAULT)
def fmin(self: Array, other: Array) -> Array:
    """fmin(Tensor self, Tensor other) -> Tensor"""
    # on a tie torch's derivative goes to the first operand
    return jnp.where((self <= other) | jnp.isnan(other), self, other)


@TABLE.rule("aten.where.self", "aten.where.ScalarOther", "aten.where.ScalarSelf", promotes=Promotes.DEFAULT)
def where(condition: Array, self: Array | float, other: Array | float) -> Array:
    """where.self(Tensor condition, Tensor self, Tensor other) -> Tensor
    where.ScalarOther(Tensor condition, Tensor self, Scalar other) -> Tensor
    where.ScalarSelf(Tensor condition, Scalar self, Tensor other) -> Tensor
    """
    return jnp.where(condition, self, other)


@TABLE.rule("aten.where.Scalar")
def where_scalars(condition: Array, self: float, other: float) -> Array:
    """where.Scalar(Tensor condition, Scalar self, Scalar other) -> Tensor"""
    if isinstance(self, float) or isinstance(other, float):
        return jnp.where(condition, jnp.float32(self), other)
    return jnp.where(condition, self, other)
