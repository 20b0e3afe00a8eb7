"""Other dtypes, other readings of bits, less precision; and operators that pass values on."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.conversions")


@TABLE.rule("lax.convert_element_type")
def convert_element_type(
    x: Operand,
    new_dtype: torch.dtype,
    weak_type: bool = False,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """convert_element_type(x, *, new_dtype, weak_type): floats beyond an integer dtype become its ends, NaN 0"""
    if not isinstance(x, Tensor):
        return torch.tensor(x, dtype=new_dtype, device=device)
    if x.dtype == new_dtype:
        return x
    if new_dtype is torch.bool:
        return x != 0
    if x.dtype.is_complex and not new_dtype.is_complex:
        if new_dtype.is_floating_point:
            return x.real.to(new_dtype)
        return saturated(x.real, new_dtype)
    if x.dtype.is_floating_point and not new_dtype.is_floating_point and not new_dtype.is_complex:
        return saturated(x, new_dtype)
    if new_dtype is torch.float8_e4m3fn:  # whose largest number is 448: torch keeps what is beyond there
        return torch.where(x.abs() > 464, torch.nan, x).to(new_dtype)
    return x.to(new_dtype)


def saturated(x: Tensor, dtype: torch.dtype) -> Tensor:
    """Floats as integers: towards zero, those beyond the dtype as its ends, NaN as 0."""
    low, high = torch.iinfo(dtype).min, float(torch.iinfo(dtype).max + 1)
    x = torch.where(x.isnan(), 0, x)
    if dtype is torch.uint64:  # the upper half by its distance from 2**63
        upper = (
            torch.where((x >= high / 2) & (x < high), x - high / 2, 0).to(torch.int64) ^ torch.iinfo(torch.int64).min
        )
        lower = torch.where((x >= 0) & (x < high / 2), x, 0).to(torch.int64)
        return torch.where(x >= high, -1, torch.where(x >= high / 2, upper, lower)).view(dtype)
    inside = (x >= low) & (x < high)
    whole = torch.where(inside, x, 0).to(torch.int64)
    return torch.where(inside, whole, torch.where(x < 0, low, torch.iinfo(dtype).max)).to(dtype)


@TABLE.rule("lax.bitcast_convert_type")
def bitcast_convert_type(x: Tensor, new_dtype: torch.dtype) -> Tensor:
    """bitcast_convert_type(x, *, new_dtype): a last axis holds the parts of what is wider"""
    if x.dtype.itemsize == new_dtype.itemsize:
        return x.view(new_dtype)
    if x.dtype.itemsize > new_dtype.itemsize:
        return x.unsqueeze(-1).view(new_dtype)
    return x.contiguous().view(new_dtype).squeeze(-1)


@TABLE.rule("lax.reduce_precision")
def reduce_precision(operand: Tensor, exponent_bits: int, mantissa_bits: int) -> Tensor:
    """reduce_precision(operand, *, exponent_bits, mantissa_bits): also of the derivative"""
    return round_both(operand, exponent_bits, mantissa_bits)


def round_both(x: Tensor, exponent_bits: int, mantissa_bits: int) -> Tensor:
    """`rounded`, whose derivative is rounded in the same way."""
    return Rounding.apply(x, exponent_bits, mantissa_bits)  # type: ignore[no-any-return, no-untyped-call]


def rounded(x: Tensor, exponent_bits: int, mantissa_bits: int) -> Tensor:
    """Floats that fewer bits hold: to the nearest (ties to even), infinite or zero where the exponent is beyond."""
    bits = x.dtype.itemsize * 8
    info = torch.finfo(x.dtype)
    own = round(-math.log2(info.eps))  # bits of the mantissa
    word = x.view({16: torch.int16, 32: torch.int32, 64: torch.int64}[bits])
    sign_bit = -1 << bits - 1
    magnitude = word & ~sign_bit
    if mantissa_bits < own:
        last = 1 << own - mantissa_bits
        magnitude = magnitude + (magnitude >> own - mantissa_bits & 1) + (last // 2 - 1) & -last
    if exponent_bits < bits - 1 - own:
        bias, new_bias = (1 << bits - 2 - own) - 1, (1 << exponent_bits - 1) - 1
        exponent = magnitude >> own
        infinite = (1 << bits - 1 - own) - 1 << own
        magnitude = torch.where(exponent > bias + new_bias, infinite, magnitude)
        magnitude = torch.where(exponent <= bias - new_bias, 0, magnitude)
    result = (magnitude | word & sign_bit).view(x.dtype)
    return torch.where(x.isnan(), x, result)


class Rounding(torch.autograd.Function):
    """`rounded` with its derivative."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, exponent_bits: int, mantissa_bits: int) -> Tensor:
        ctx.bits = (exponent_bits, mantissa_bits)
        return rounded(x, exponent_bits, mantissa_bits)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:  # type: ignore[override]
        return Rounding.apply(gradient, *ctx.bits), None, None  # type: ignore[no-untyped-call]


@TABLE.rule("lax.stop_gradient")
def stop_gradient(x: Tensor) -> Tensor:
    """stop_gradient(x)"""
    return x.detach()


@TABLE.rule("lax.copy", "lax.copy_p", "lax.device_put")
def copy(x: Tensor) -> Tensor:
    """copy(x), device_put(x): nothing changes arrays in place, and where a module computes is its caller's choice"""
    return x


@TABLE.rule("lax.optimization_barrier")
def optimization_barrier(operands: tuple[Operand, ...]) -> tuple[Operand, ...]:
    """optimization_barrier(*operands): the same values"""
    return operands
