"""Unsigned integers of 16, 32 and 64 bits: torch stores them, but computes with hardly any of them.

Their bits are read as the signed integer of the same width. Sums, differences, products, bit operations and moves of
data are then the same; comparisons are those of `ordered`; quotients and remainders stand here.
"""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.table import inlined

# The signed dtype of the same width; `x.dtype in SIGNED` says that torch has no arithmetic for x.
SIGNED = {torch.uint16: torch.int16, torch.uint32: torch.int32, torch.uint64: torch.int64}


@inlined
def signed(x: Tensor) -> Tensor:
    """The same bits as a signed integer; other dtypes as they are. Back with ``.view(dtype)``."""
    return x.view(SIGNED[x.dtype]) if x.dtype in SIGNED else x


def signed_number(value: int, dtype: torch.dtype) -> int:
    """The Python number that a signed integer with the bits of an unsigned one holds: 2**32 - 1 of uint32 is -1."""
    return value - (1 << dtype.itemsize * 8) if dtype in SIGNED and value >> dtype.itemsize * 8 - 1 else value


@inlined
def ordered(x: Tensor) -> Tensor:
    """Signed integers in the order of unsigned ones: the first bit flipped. Other dtypes as they are."""
    return x.view(SIGNED[x.dtype]) ^ torch.iinfo(SIGNED[x.dtype]).min if x.dtype in SIGNED else x


@inlined
def from_ordered(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The inverse of `ordered` for results of this dtype."""
    return (x ^ torch.iinfo(SIGNED[dtype]).min).view(dtype) if dtype in SIGNED else x


def unsigned_div(x: Tensor, y: Tensor) -> Tensor:
    """Quotients of unsigned integers of 16, 32 or 64 bits; a division by zero gives the largest number."""
    if x.dtype is not torch.uint64:
        wide = y.to(torch.int64)
        quotient = torch.div(x.to(torch.int64), torch.where(wide == 0, 1, wide), rounding_mode="trunc")
        return torch.where(wide == 0, -1, quotient).to(x.dtype)
    number, divisor = x.view(torch.int64), y.view(torch.int64)
    half = torch.div(number >> 1 & torch.iinfo(torch.int64).max, divisor.clamp(min=1), rounding_mode="trunc") << 1
    rest = number - half * divisor
    small = half + (ordered(rest.view(torch.uint64)) >= ordered(y)).to(torch.int64)  # the divisor below 2**63
    large = (ordered(x) >= ordered(y)).to(torch.int64)
    quotient = torch.where(divisor < 0, large, torch.where(divisor == 0, -1, small))
    return quotient.view(torch.uint64)


def unsigned_rem(x: Tensor, y: Tensor) -> Tensor:
    """Remainders of unsigned integers of 16, 32 or 64 bits; by zero the number itself."""
    quotient = signed(unsigned_div(x, y))
    return (signed(x) - quotient * signed(y)).view(x.dtype)


def unsigned(x: Tensor, dtype: torch.dtype) -> Tensor:
    """The inverse of `signed` for results of this dtype."""
    return x.view(dtype) if dtype in SIGNED else x
