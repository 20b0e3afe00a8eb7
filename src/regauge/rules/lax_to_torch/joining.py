"""Parts of arrays at fixed places: concatenate, split, slice, rev, pad; sizes as arrays."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.joining")

Axes = tuple[int, ...]
Number = bool | int | float | complex


@TABLE.rule("lax.concatenate")
def concatenate(operands: tuple[Tensor, ...], dimension: int) -> Tensor:
    """concatenate(*operands, dimension)"""
    if len(operands) == 1:
        return operands[0]
    return torch.cat(operands, dimension)


@TABLE.rule("lax.stack")
def stack(
    operands: tuple[Tensor | Number, ...],
    axis: int,
    dtype: torch.dtype | None = None,
    device: torch.device | None = None,
) -> Tensor:
    """stack(*operands, axis); numbers among arrays without axes are arrays too"""
    if all(isinstance(x, Tensor) for x in operands):
        return torch.stack(operands, axis)  # type: ignore[arg-type]
    arrays = tuple(x for x in operands if isinstance(x, Tensor))
    if not arrays:
        return torch.tensor(operands, dtype=dtype, device=device)
    return torch.stack([x if isinstance(x, Tensor) else arrays[0].new_tensor(x) for x in operands])


@TABLE.rule("lax.tile")
def tile(x: Tensor, reps: Axes) -> Tensor:
    """tile(x, *, reps), one of them for every axis"""
    return x.tile(reps)


@TABLE.rule("lax.unstack")
def unstack(x: Tensor, axis: int) -> tuple[Tensor, ...]:
    """unstack(x, *, axis)"""
    return x.unbind(axis)


@TABLE.rule("lax.split")
def split(x: Tensor, sizes: Axes, axis: int) -> Tensor | tuple[Tensor, ...]:
    """split(x, *, sizes, axis)"""
    if len(sizes) == 1:
        return x
    return x.split(sizes, axis)  # type: ignore[no-any-return, no-untyped-call]


@TABLE.rule("lax.slice")
def slice_(x: Tensor, start_indices: Axes, limit_indices: Axes, strides: Axes | None = None) -> Tensor:
    """slice(x, *, start_indices, limit_indices, strides)"""
    steps = (1,) * len(start_indices) if strides is None else strides
    return x[tuple(slice(*bounds) for bounds in zip(start_indices, limit_indices, steps, strict=True))]


@TABLE.rule("lax.pad")
def pad(operand: Tensor, padding_value: Tensor | Number, padding_config: tuple[tuple[int, int, int], ...]) -> Tensor:
    """pad(operand, padding_value, *, padding_config)"""
    if not isinstance(padding_value, Tensor) and all(config[2] == 0 for config in padding_config):
        widths = tuple(width for config in reversed(padding_config) for width in config[:2])
        if not any(widths):
            return operand
        outer = min((at for at, config in enumerate(padding_config) if config[:2] != (0, 0)), default=operand.ndim)
        if padding_value == 0:
            return F.pad(operand, widths[: 2 * (operand.ndim - outer)])
        if isinstance(padding_value, complex):
            return padded(operand, padding_value, padding_config)
        return F.pad(operand, widths[: 2 * (operand.ndim - outer)], value=padding_value)
    return padded(operand, padding_value, padding_config)


def padded(operand: Tensor, padding_value: Tensor | Number, padding_config: tuple[tuple[int, int, int], ...]) -> Tensor:
    """An array with values around and between its elements; a negative width takes away what is there."""
    sizes = [
        max(size - 1, 0) * between + size + max(low, 0) + max(high, 0)
        for size, (low, high, between) in zip(operand.shape, padding_config, strict=True)
    ]
    if isinstance(padding_value, Tensor):
        made = padding_value.expand(sizes).clone()
    else:
        made = operand.new_full(sizes, padding_value)
    inner, outer = [], []
    for size, whole, (low, high, between) in zip(operand.shape, sizes, padding_config, strict=True):
        first = max(low, 0)
        inner.append(slice(first, first + max(size - 1, 0) * (between + 1) + min(size, 1), between + 1))
        outer.append(slice(min(max(-low, 0), whole), max(whole - max(-high, 0), 0)))
    made[tuple(inner)] = operand
    return made[tuple(outer)]


@TABLE.rule("lax.dim_as_value")
def dim_as_value(x: int, dtype: torch.dtype, device: torch.device | None = None) -> Tensor:
    """dim_as_value(*, dim): a symbolic size as an array"""
    return torch.full((), x, dtype=dtype, device=device)
