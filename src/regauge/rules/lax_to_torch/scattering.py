"""Writing at positions that are computed: the scatter primitives, dynamic_update_slice."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.gathering import clamped
from regauge.rules.lax_to_torch.sorting import lexical_order
from regauge.rules.lax_to_torch.unsigned import from_ordered, ordered, signed, unsigned
from regauge.rules.lax_to_torch.windows_of_indices import along, inside, linear, positions, starts_of
from regauge.rules.table import RuleTable, called

TABLE = RuleTable("lax_to_torch.scattering")

Axes = tuple[int, ...]


def targets(
    operand: Tensor, indices: Tensor, updates: Tensor, numbers: tuple[Axes, Axes, Axes, Axes, Axes], checked: str
) -> tuple[Tensor, Tensor]:
    """The positions in the flattened operand that updates are for, and the updates in that order, both flat.

    Args:
        operand: the array.
        indices: vectors of starts along the last axis.
        updates: windows of values.
        numbers: update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
            scatter_indices_batching_dims.
        checked: "DROP" sends windows that are not inside to the position after the last one, "CLIP" moves them
            inside, "" knows that they are inside.
    """
    update_window, inserted, indexed, batching, batching_of_indices = numbers
    batch = tuple(indices.shape[:-1])
    window = tuple(axis for axis in range(operand.ndim) if axis not in (*inserted, *batching))
    sizes = [1] * operand.ndim
    for axis, at in zip(window, update_window, strict=True):
        sizes[axis] = updates.shape[at]
    highest = tuple(operand.shape[axis] - sizes[axis] for axis in indexed)
    starts = starts_of(indices, len(indexed))
    valid = inside(starts, highest) if checked == "DROP" and starts else None
    if checked:
        starts = tuple(start.clamp(0, max(last, 0)) for start, last in zip(starts, highest, strict=True))
    shape = tuple(operand.shape)
    found = positions(shape, starts, batch, indexed, batching, batching_of_indices, window, tuple(sizes))
    places = linear(shape, found, window, batch)
    if valid is not None:
        places = torch.where(valid.reshape((*batch, *(1 for _ in window))), places, operand.numel())
    others = [axis for axis in range(updates.ndim) if axis not in update_window]
    values = updates.permute((*others, *update_window))
    return places.expand(values.shape).reshape(-1), values.reshape(-1)


def checking(mode: str, in_bounds: bool | None) -> str:
    """What has to be done about windows outside of the operand; see `targets`. A broken promise drops them."""
    if in_bounds:
        return ""
    return "CLIP" if mode == "CLIP" else "DROP"


def written(operand: Tensor, places: Tensor, updates: Tensor, how: str, unique: bool) -> Tensor:
    """An array with updates put in, added, multiplied, ... at places of the flattened array.

    Places that are the number of its elements drop their updates. Of several updates of one element the last one is
    put in, and it alone has a gradient; of the largest or least ones that are equal all share it.

    Args:
        operand: the array.
        places: one for each update, flat.
        updates: flat.
        how: "set", "add", "sub", "mul", "max" or "min".
        unique: no place is named twice.
    """
    if how in ("max", "min"):
        extremes = extreme(spare(ordered(operand)), places, ordered(updates), "amax" if how == "max" else "amin")
        return from_ordered(extremes[:-1].reshape(operand.shape), operand.dtype)
    flat, values = spare(signed(operand)), signed(updates)
    if how == "set":
        if not unique:
            turn = torch.arange(places.shape[0], device=places.device)
            last = turn.new_full(flat.shape, -1).scatter_reduce(0, places, turn, "amax")
            places = torch.where(last[places] == turn, places, operand.numel())
        found = flat.scatter(0, places, values)
    elif how == "mul" and unique:
        found = flat.scatter(0, places, flat.gather(0, places) * values)
    elif how == "mul":
        found = flat * torch.ones_like(flat).scatter_reduce(0, places, values, "prod")
    else:
        found = flat.scatter_add(0, places, -values if how == "sub" else values)
    return unsigned(found[:-1].reshape(operand.shape), operand.dtype)


def spare(x: Tensor) -> Tensor:
    """The flattened array and one more element, for what is dropped."""
    return torch.cat([x.reshape(-1), x.new_zeros(1)])


def extreme(flat: Tensor, places: Tensor, values: Tensor, reduce: str) -> Tensor:
    """The largest or least of an element and all updates of it."""
    if not flat.is_complex():
        return flat.scatter_reduce(0, places, values, reduce)
    both = torch.cat([flat, values])  # ordered by real, then by imaginary part: the places in that order are compared
    order = lexical_order((both,), 0)
    rank = torch.empty_like(order).scatter(0, order, torch.arange(order.shape[0], device=order.device))
    best = rank[: flat.shape[0]].scatter_reduce(0, places, rank[flat.shape[0] :], reduce)
    return both[order][best]


@TABLE.rule("lax.scatter")
@called
def scatter(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "set", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.scatter_add")
@called
def scatter_add(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter_add(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "add", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.scatter_sub")
@called
def scatter_sub(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter_sub(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "sub", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.scatter_mul")
@called
def scatter_mul(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter_mul(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "mul", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.scatter_max")
@called
def scatter_max(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter_max(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "max", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.scatter_min")
@called
def scatter_min(
    operand: Tensor,
    indices: Tensor,
    updates: Tensor,
    update_window_dims: Axes,
    inserted_window_dims: Axes,
    scatter_dims_to_operand_dims: Axes,
    operand_batching_dims: Axes = (),
    scatter_indices_batching_dims: Axes = (),
    mode: str = "FILL_OR_DROP",
    unique_indices: bool = False,
    in_bounds: bool | None = None,
) -> Tensor:
    """scatter_min(operand, indices, updates, *, dimension_numbers, indices_are_sorted, mode, unique_indices, ...)"""
    numbers = (
        update_window_dims, inserted_window_dims, scatter_dims_to_operand_dims, operand_batching_dims,
        scatter_indices_batching_dims,
    )  # fmt: skip
    places = targets(operand, indices, updates, numbers, checking(mode, in_bounds))
    return written(operand, *places, "min", unique_indices or indices.ndim == 1)


@TABLE.rule("lax.dynamic_update_slice")
def dynamic_update_slice(operand: Tensor, update: Tensor, starts: tuple[Tensor | int, ...]) -> Tensor:
    """dynamic_update_slice(operand, update, *starts)"""
    moving = tuple(axis for axis in range(operand.ndim) if update.shape[axis] != operand.shape[axis])
    if not moving:
        return update
    # torch has no derivative of slice_scatter for complex numbers.
    if len(moving) == 1 and not isinstance(starts[moving[0]], Tensor) and not operand.dtype.is_complex:
        axis = moving[0]
        first = min(max(starts[axis], 0), operand.shape[axis] - update.shape[axis])
        return operand.slice_scatter(update, axis, first, first + update.shape[axis])  # type: ignore[arg-type]
    return update_slice(operand, update, starts)


def update_slice(operand: Tensor, update: Tensor, starts: tuple[Tensor | int, ...]) -> Tensor:
    """An array with a block of it replaced; the block is moved to lie inside."""
    whole, part = signed(operand), signed(update)
    index = []
    for axis, (start, size, width) in enumerate(zip(starts, operand.shape, update.shape, strict=True)):
        steps = torch.arange(width, device=operand.device)
        if isinstance(start, Tensor):
            places = clamped(start, size - width) + steps
        else:
            places = steps + min(max(start, 0), size - width)
        index.append(along(places, axis, operand.ndim))
    return unsigned(whole.index_put(tuple(index), part), operand.dtype)
