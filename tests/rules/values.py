"""Tensors for samples: random ones, and those that reach kinks, ties, bounds and non-finite values."""

from __future__ import annotations

import math
import zlib

import torch

INF, NAN = math.inf, math.nan


def normal(*shape: int, dtype: torch.dtype = torch.float32, key: str = "") -> torch.Tensor:
    """Standard normal values; the same for the same shape and key."""
    return torch.randn(shape, generator=_generator(shape, key)).to(dtype)


def uniform(*shape: int, low: float = 0.1, high: float = 0.9, key: str = "") -> torch.Tensor:
    """Uniform values between two bounds."""
    return low + (high - low) * torch.rand(shape, generator=_generator(shape, key))


def integers(
    *shape: int, low: int = -5, high: int = 6, dtype: torch.dtype = torch.int64, key: str = ""
) -> torch.Tensor:
    """Integers from low to high - 1."""
    return torch.randint(low, high, shape, generator=_generator(shape, key)).to(dtype)


def bools(*shape: int, key: str = "") -> torch.Tensor:
    return torch.rand(shape, generator=_generator(shape, key)) > 0.5


def floats(*values: float) -> torch.Tensor:
    """A vector of exactly these values."""
    return torch.tensor(values, dtype=torch.float32)


def ints(*values: int, dtype: torch.dtype = torch.int64) -> torch.Tensor:
    return torch.tensor(values, dtype=dtype)


def scalar(value: float, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """A 0-d tensor."""
    return torch.tensor(value, dtype=dtype)


def _generator(shape: tuple[int, ...], key: str) -> torch.Generator:
    return torch.Generator().manual_seed(zlib.crc32(f"{shape}{key}".encode()))
