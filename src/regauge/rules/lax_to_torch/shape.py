"""Shapes and axes, and arrays that shapes make."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand
from regauge.rules.lax_to_torch.unsigned import SIGNED
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.shape")

Shape = tuple[int, ...]


@TABLE.rule("lax.reshape")
def reshape(
    operand: Operand,
    new_sizes: Shape,
    dimensions: Shape | None = None,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """reshape(operand, *, new_sizes, dimensions)"""
    if not isinstance(operand, Tensor):
        return torch.full(new_sizes, operand, dtype=dtype, device=device)
    if dimensions is not None:
        return operand.permute(dimensions).reshape(new_sizes)
    return operand.reshape(new_sizes)


@TABLE.rule("lax.broadcast_in_dim")
def broadcast_in_dim(
    operand: Operand,
    shape: Shape,
    broadcast_dimensions: Shape,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """broadcast_in_dim(operand, *, shape, broadcast_dimensions)"""
    if not isinstance(operand, Tensor):
        return torch.full(shape, operand, dtype=dtype, device=device)
    if broadcast_dimensions == tuple(range(len(shape) - operand.ndim, len(shape))):
        return operand.expand(shape)
    sizes = tuple(
        operand.shape[broadcast_dimensions.index(axis)] if axis in broadcast_dimensions else 1
        for axis in range(len(shape))
    )
    return operand.reshape(sizes).expand(shape)


@TABLE.rule("lax.transpose")
def transpose(x: Tensor, permutation: Shape) -> Tensor:
    """transpose(x, *, permutation)"""
    return x.permute(permutation)


@TABLE.rule("lax.squeeze")
def squeeze(x: Tensor, dimensions: Shape) -> Tensor:
    """squeeze(x, *, dimensions)"""
    return x.squeeze(dimensions)


@TABLE.rule("lax.rev")
def rev(x: Tensor, dimensions: Shape) -> Tensor:
    """rev(x, *, dimensions)"""
    if x.dtype in SIGNED:
        return x.view(SIGNED[x.dtype]).flip(dimensions).view(x.dtype)
    return x.flip(dimensions)


@TABLE.rule("lax.iota")
def iota(dtype: torch.dtype, shape: Shape, dimension: int, device: torch.device | None = None) -> Tensor:
    """iota(*, dtype, shape, dimension): counts from 0 along one axis"""
    if dtype in SIGNED or dtype.is_complex or dtype is torch.bool:
        return counts(torch.int64, shape, dimension, device).to(dtype)
    if len(shape) == 1:
        return torch.arange(shape[0], dtype=dtype, device=device)
    return counts(dtype, shape, dimension, device)


def counts(dtype: torch.dtype, shape: Shape, dimension: int, device: torch.device | None = None) -> Tensor:
    """Counts from 0 along one axis of an array."""
    sizes = [1] * len(shape)
    sizes[dimension] = shape[dimension]
    return torch.arange(shape[dimension], dtype=dtype, device=device).reshape(sizes).expand(shape)


@TABLE.rule("lax.iota_2x32_shape")
def iota_2x32_shape(shape: Shape, device: torch.device | None = None) -> tuple[Tensor, Tensor]:
    """iota_2x32_shape(*, shape): the upper and lower halves of 64-bit counts of all elements"""
    return halves(torch.arange(math.prod(shape), device=device).reshape(shape))


def halves(count: Tensor) -> tuple[Tensor, Tensor]:
    """The upper and lower 32 bits of 64-bit integers."""
    return (count >> 32).to(torch.uint32), count.to(torch.uint32)
