"""Windows of an array at positions that are computed: gather, dynamic_slice."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.unsigned import SIGNED, signed, unsigned
from regauge.rules.lax_to_torch.windows_of_indices import inside, positions, starts_of
from regauge.rules.table import RuleTable, called

TABLE = RuleTable("lax_to_torch.gathering")

Axes = tuple[int, ...]
Number = bool | int | float | complex


@TABLE.rule("lax.gather")
@called
def gather(
    operand: Tensor,
    indices: Tensor,
    start_index_map: Axes,
    slice_sizes: Axes,
    offset_dims: Axes = (),
    collapsed_slice_dims: Axes = (),
    operand_batching_dims: Axes = (),
    start_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    fill_value: Number | None = None,
    in_bounds: bool | None = None,
) -> Tensor:
    """gather(operand, indices, *, dimension_numbers, fill_value, mode, slice_sizes, ...)"""
    batch = tuple(indices.shape[:-1])
    removed = (*collapsed_slice_dims, *operand_batching_dims)
    window = tuple(axis for axis in range(operand.ndim) if axis not in removed)
    highest = tuple(operand.shape[axis] - slice_sizes[axis] for axis in start_index_map)
    starts = starts_of(indices, len(start_index_map))
    valid = None
    if not in_bounds:
        if mode == "FILL_OR_DROP" and starts:
            valid = inside(starts, highest)
        starts = tuple(start.clamp(0, last) for start, last in zip(starts, highest, strict=True))
    where = positions(
        tuple(operand.shape), starts, batch, start_index_map, operand_batching_dims, start_indices_batching_dims,
        window, slice_sizes,
    )  # fmt: skip
    rest = tuple(axis for axis in range(operand.ndim) if axis not in where)
    source = operand.permute((*where, *rest))
    if where and next(iter(where.values())).ndim == 0:  # an index without axes would be read as a number
        found = source[tuple(place.reshape(1) for place in where.values())].squeeze(0)
    else:
        found = source[tuple(where.values())] if where else operand
    if not starts:
        found = found.expand((*batch, *found.shape[found.ndim - len(window) :]))
    if valid is not None:
        outside = missing(operand.dtype) if fill_value is None else fill_value
        filled = torch.full((), outside, dtype=operand.dtype, device=operand.device)
        found = torch.where(valid.reshape((*batch, *(1 for _ in window))), found, filled)
    order = (*(axis for axis in window if axis in where), *rest)
    places = [len(batch) + order.index(axis) for axis in window]
    others = iter(range(len(batch)))
    axes = range(found.ndim)
    return found.permute([places[offset_dims.index(at)] if at in offset_dims else next(others) for at in axes])


def missing(dtype: torch.dtype) -> Number:
    """What JAX gives for elements outside of an array: NaN, the least signed and the largest unsigned integer."""
    if dtype.is_floating_point or dtype.is_complex:
        return float("nan")
    if dtype is torch.bool:
        return True
    limits = torch.iinfo(dtype)
    return limits.max if limits.min == 0 else limits.min


@TABLE.rule("lax.dynamic_slice")
def dynamic_slice(operand: Tensor, starts: tuple[Tensor | int, ...], slice_sizes: Axes) -> Tensor:
    """dynamic_slice(operand, *starts, slice_sizes)"""
    moving = tuple(axis for axis in range(operand.ndim) if slice_sizes[axis] != operand.shape[axis])
    if not moving:
        return operand
    if len(moving) == 1 and isinstance(starts[moving[0]], Tensor):
        if operand.dtype in SIGNED:
            return dynamic_slice(operand.view(SIGNED[operand.dtype]), starts, slice_sizes).view(operand.dtype)
        if slice_sizes[moving[0]] == 1:
            return operand.index_select(moving[0], clamped(starts[moving[0]], operand.shape[moving[0]] - 1))
        first = clamped(starts[moving[0]], operand.shape[moving[0]] - slice_sizes[moving[0]])
        return operand.index_select(moving[0], first + torch.arange(slice_sizes[moving[0]], device=operand.device))
    return dynamic_slices(operand, starts, slice_sizes)


def dynamic_slices(operand: Tensor, starts: tuple[Tensor | int, ...], slice_sizes: Axes) -> Tensor:
    """A block of an array whose start is computed along several axes; it is moved to lie inside."""
    dtype, operand = operand.dtype, signed(operand)
    for axis, (start, size) in enumerate(zip(starts, slice_sizes, strict=True)):
        last = operand.shape[axis] - size
        if isinstance(start, Tensor):
            steps = torch.arange(size, device=operand.device)
            operand = operand.index_select(axis, clamped(start, last) + steps)
        else:
            operand = operand.narrow(axis, min(max(start, 0), last), size)
    return unsigned(operand, dtype)


def clamped(start: Any, last: int) -> Tensor:
    """A start as JAX takes it: moved into the array."""
    return start.to(torch.int64).clamp(0, last)  # type: ignore[no-any-return]
