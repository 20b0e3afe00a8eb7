"""Bits of arrays, narrowed to a common dtype, so that a cast on one side does not hide that two tensors are the same.

bfloat16 arrives as uint16 arrays of its bits or with a dtype of its own; numpy alone cannot compute with it.
"""

from __future__ import annotations

import numpy as np

from regauge.dtypes import DTYPES, kind, width

_BITS = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}


def narrower(a: str, b: str) -> str | None:
    """The dtype of two that the other can be cast to, or None where their kinds differ."""
    if a == b:
        return a
    if a not in DTYPES or b not in DTYPES or kind(a) != kind(b):
        return None
    return a if (width(a), a) < (width(b), b) else b


def bits(array: np.ndarray, dtype: str, wanted: str) -> np.ndarray:
    """The array cast from `dtype` to `wanted`, as unsigned integers of its bits, one an element."""
    if dtype != wanted:
        array = _cast(array, dtype, wanted)
    if array.dtype.itemsize == 16:  # complex128: no integer is that wide, the halves are mixed
        return array.real.copy().view(np.uint64) * np.uint64(0x9E3779B97F4A7C15) ^ array.imag.copy().view(np.uint64)
    return array.view(_BITS[array.dtype.itemsize])


def as_float64(array: np.ndarray, dtype: str) -> np.ndarray:
    """The values, for distances; complex ones by their absolute value."""
    if dtype == "bfloat16":
        return _widened(array).astype(np.float64)
    return np.abs(array).astype(np.float64) if array.dtype.kind == "c" else array.astype(np.float64)


def added(a: np.ndarray, b: np.ndarray, dtype: str) -> np.ndarray:
    """The sum in their own dtype; bfloat16 is added in float32 and rounded, as the frameworks do it."""
    if dtype != "bfloat16":
        return a + b
    return _rounded(_widened(a) + _widened(b)).view(a.dtype)


def _cast(array: np.ndarray, dtype: str, wanted: str) -> np.ndarray:
    if dtype == "bfloat16":
        array = _widened(array)
    if wanted == "bfloat16":
        return _rounded(array.astype(np.float32))
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(wanted)


def _widened(array: np.ndarray) -> np.ndarray:
    """float32 of the bits of bfloat16."""
    return (array.view(np.uint16).astype(np.uint32) << 16).view(np.float32)


def _rounded(array: np.ndarray) -> np.ndarray:
    """The bits of bfloat16 of a float32 array, rounded to nearest, ties to even."""
    found = np.ascontiguousarray(array).view(np.uint32)
    rounded = ((found + 0x7FFF + ((found >> 16) & 1)) >> 16).astype(np.uint16)
    return np.where(np.isnan(array), np.uint16(0x7FC0), rounded).reshape(array.shape)
