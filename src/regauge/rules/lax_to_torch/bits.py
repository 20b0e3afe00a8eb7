"""Comparisons, logic and bits."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand, array, dtype_of
from regauge.rules.lax_to_torch.unsigned import SIGNED, ordered, signed
from regauge.rules.table import RuleTable, inlined

TABLE = RuleTable("lax_to_torch.bits")


@TABLE.rule("lax.eq")
def eq(x: Operand, y: Operand) -> Tensor:
    """eq(x, y)"""
    if isinstance(x, bool) or isinstance(y, bool):
        return same(x, y) if isinstance(x, bool) else same(y, x)
    return x == y  # type: ignore[no-any-return]


@inlined
def same(known: bool, x: Tensor) -> Tensor:
    """Where booleans are a known one."""
    return x if known else ~x


@TABLE.rule("lax.ne")
def ne(x: Operand, y: Operand) -> Tensor:
    """ne(x, y)"""
    if isinstance(x, bool) or isinstance(y, bool):
        return same(not x, y) if isinstance(x, bool) else same(not y, x)
    return x != y  # type: ignore[no-any-return]


@TABLE.rule("lax.lt")
def lt(x: Operand, y: Operand) -> Tensor:
    """lt(x, y)"""
    if dtype_of(x, y) in SIGNED:
        return ordered(array(x, y)) < ordered(array(y, x))
    return x < y  # type: ignore[no-any-return]


@TABLE.rule("lax.le")
def le(x: Operand, y: Operand) -> Tensor:
    """le(x, y)"""
    if dtype_of(x, y) in SIGNED:
        return ordered(array(x, y)) <= ordered(array(y, x))
    return x <= y  # type: ignore[no-any-return]


@TABLE.rule("lax.gt")
def gt(x: Operand, y: Operand) -> Tensor:
    """gt(x, y)"""
    if dtype_of(x, y) in SIGNED:
        return ordered(array(x, y)) > ordered(array(y, x))
    return x > y  # type: ignore[no-any-return]


@TABLE.rule("lax.ge")
def ge(x: Operand, y: Operand) -> Tensor:
    """ge(x, y)"""
    if dtype_of(x, y) in SIGNED:
        return ordered(array(x, y)) >= ordered(array(y, x))
    return x >= y  # type: ignore[no-any-return]


@TABLE.rule("lax.eq_to")
def eq_to(x: Operand, y: Operand) -> Tensor:
    """eq_to(x, y): equal in the total order of floats"""
    return total_order(array(x, y)) == total_order(array(y, x))


@TABLE.rule("lax.lt_to")
def lt_to(x: Operand, y: Operand) -> Tensor:
    """lt_to(x, y): less in the total order of floats"""
    return total_order(array(x, y)) < total_order(array(y, x))


@TABLE.rule("lax.le_to")
def le_to(x: Operand, y: Operand) -> Tensor:
    """le_to(x, y): not greater in the total order of floats"""
    return total_order(array(x, y)) <= total_order(array(y, x))


def total_order(x: Tensor) -> Tensor:
    """Integers in the order -NaN, -inf, ..., -0, 0, ..., inf, NaN of the floats whose bits they are."""
    if not x.dtype.is_floating_point:
        return ordered(x)
    whole = x.view({2: torch.int16, 4: torch.int32, 8: torch.int64}[x.dtype.itemsize])
    return whole ^ (whole >> x.dtype.itemsize * 8 - 1 & torch.iinfo(whole.dtype).max)


@TABLE.rule("lax.and")
def bitwise_and(x: Operand, y: Operand) -> Tensor:
    """and(x, y)"""
    return x & y  # type: ignore[no-any-return]


@TABLE.rule("lax.or")
def bitwise_or(x: Operand, y: Operand) -> Tensor:
    """or(x, y)"""
    return x | y  # type: ignore[no-any-return]


@TABLE.rule("lax.xor")
def bitwise_xor(x: Operand, y: Operand) -> Tensor:
    """xor(x, y)"""
    return x ^ y  # type: ignore[no-any-return]


@TABLE.rule("lax.not")
def bitwise_not(x: Tensor) -> Tensor:
    """not(x)"""
    return (~x.view(SIGNED[x.dtype])).view(x.dtype) if x.dtype in SIGNED else ~x


@TABLE.rule("lax.shift_left")
def shift_left(x: Operand, y: Operand) -> Tensor:
    """shift_left(x, y): zero where y is not below the number of bits"""
    dtype = dtype_of(x, y)
    if dtype in SIGNED:
        by = y if not isinstance(y, Tensor) else y.view(SIGNED[dtype])
        return (array(x, y).view(SIGNED[dtype]) << by).view(dtype)
    return x << y  # type: ignore[no-any-return]


@TABLE.rule("lax.shift_right_arithmetic")
def shift_right_arithmetic(x: Operand, y: Operand) -> Tensor:
    """shift_right_arithmetic(x, y): the first bit moves in, also where y is not below the number of bits"""
    dtype = dtype_of(x, y)
    if dtype in SIGNED or dtype is torch.uint8:
        return arithmetic(array(x, y), array(y, x))
    return x >> y  # type: ignore[no-any-return]


def arithmetic(x: Tensor, y: Tensor) -> Tensor:
    """Shifts of unsigned integers as if their first bit were a sign."""
    words = {torch.uint8: torch.int8, **SIGNED}[x.dtype]
    return (x.view(words) >> y.view(words)).view(x.dtype)


@TABLE.rule("lax.shift_right_logical")
def shift_right_logical(x: Operand, y: Operand) -> Tensor:
    """shift_right_logical(x, y): zeros move in; zero where y is not below the number of bits"""
    dtype = dtype_of(x, y)
    if dtype is torch.uint8:
        return x >> y  # type: ignore[no-any-return]
    bits = dtype.itemsize * 8
    if not isinstance(y, Tensor) and 0 < y < bits:
        if dtype in SIGNED:
            return (x.view(SIGNED[dtype]) >> y & (1 << bits - y) - 1).view(dtype)  # type: ignore[no-any-return]
        return x >> y & (1 << bits - y) - 1  # type: ignore[no-any-return]
    return logical(array(x, y), array(y, x))


def logical(x: Tensor, y: Tensor) -> Tensor:
    """Shifts to the right that let zeros in."""
    number, by, bits = signed(x), signed(y), x.dtype.itemsize * 8
    kept = ~(-torch.ones_like(number) << bits - by)
    moved = torch.where(by == 0, number, number >> by & kept)
    return torch.where((by < 0) | (by >= bits), 0, moved).view(x.dtype)


@TABLE.rule("lax.population_count")
def population_count(x: Tensor) -> Tensor:
    """population_count(x)"""
    return ones(x)


def ones(x: Tensor) -> Tensor:
    """The number of ones among the bits, counted by pairs, fours and bytes (Hacker's Delight, 2nd ed., 5-1)."""
    dtype, bits = x.dtype, x.dtype.itemsize * 8
    x = x.to(torch.int16) if bits == 8 else signed(x)
    bits = max(bits, 16)
    pairs, fours, bytes_ = (int(digits * (bits // 8), 16) for digits in ("55", "33", "0f"))
    if dtype.itemsize == 1:
        x = x & 255
    x = x - (x >> 1 & pairs)
    x = (x & fours) + (x >> 2 & fours)
    x = x + (x >> 4) & bytes_
    for step in (8, 16, 32):
        if step < bits:
            x = x + (x >> step)
    x = x & 127
    return x.to(dtype) if dtype.itemsize == 1 else x.view(dtype)


@TABLE.rule("lax.clz")
def clz(x: Tensor) -> Tensor:
    """clz(x)"""
    return leading_zeros(x)


def leading_zeros(x: Tensor) -> Tensor:
    """The number of zeros before the first one: what is below the first one is filled with ones and counted."""
    filled, step = signed(x), 1
    while step < x.dtype.itemsize * 8:
        filled = filled | logical(filled, torch.full_like(filled, step))
        step *= 2
    return (x.dtype.itemsize * 8 - signed(ones(filled.view(x.dtype)))).view(x.dtype)
