"""Shapes and axes."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.shape")

Shape = tuple[int, ...]


@TABLE.rule("lax.reshape")
def reshape(operand: Tensor, new_sizes: Shape, dimensions: Shape | None = None) -> Tensor:
    """reshape(operand, *, new_sizes, dimensions)"""
    if dimensions is not None:
        return operand.permute(dimensions).reshape(new_sizes)
    return operand.reshape(new_sizes)


@TABLE.rule("lax.broadcast_in_dim")
def broadcast_in_dim(
    operand: Tensor | float, shape: Shape, broadcast_dimensions: Shape, dtype: torch.dtype | None = None
) -> Tensor:
    """broadcast_in_dim(operand, *, shape, broadcast_dimensions)"""
    if not isinstance(operand, Tensor):
        return torch.full(shape, operand, dtype=dtype)
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
