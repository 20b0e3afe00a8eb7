"""Where the windows of gather and scatter lie in their operand."""

from __future__ import annotations

import math

import torch
from torch import Tensor

Axes = tuple[int, ...]


def starts_of(indices: Tensor, count: int) -> tuple[Tensor, ...]:
    """The columns of an array of index vectors, which stand along its last axis."""
    wide = indices.to(torch.int64)
    return tuple(wide[..., column] for column in range(count))


def inside(starts: tuple[Tensor, ...], highest: Axes) -> Tensor:
    """Which windows lie inside of the operand with all they cover; `highest` are the last starts that do."""
    valid = torch.ones_like(starts[0], dtype=torch.bool)
    for start, last in zip(starts, highest, strict=True):
        valid = valid & (start >= 0) & (start <= last)
    return valid


def along(values: Tensor, axis: int, rank: int) -> Tensor:
    """A vector along one axis of an array of this rank; the other axes have size 1."""
    return values.reshape(tuple(values.shape[0] if at == axis else 1 for at in range(rank)))


def positions(
    shape: Axes,
    starts: tuple[Tensor, ...],
    batch: Axes,
    indexed: Axes,
    batching: Axes,
    batching_of_indices: Axes,
    window: Axes,
    sizes: Axes,
) -> dict[int, Tensor]:
    """The position along each axis of the operand, for axes that a window does not cover from end to end.

    Args:
        shape: of the operand.
        starts: the first position of every window along each of the axes `indexed`, of the shape `batch`.
        batch: axes of the index vectors.
        indexed: axes of the operand that `starts` are about.
        batching: axes of the operand that run together with the axes `batching_of_indices` of the index vectors.
        batching_of_indices: see `batching`.
        window: axes of the operand that the windows keep.
        sizes: of the windows along all axes of the operand.

    Returns:
        By axis of the operand, positions that broadcast to `batch` and then the axes of `window` that are not whole.
    """
    device = starts[0].device if starts else torch.device("cpu")
    partial = tuple(axis for axis in window if not whole(axis, shape, indexed, sizes))
    rank = len(batch) + len(partial)
    found: dict[int, Tensor] = {}
    for axis in range(len(shape)):
        if axis in batching:
            steps = torch.arange(shape[axis], device=device)
            found[axis] = along(steps, batching_of_indices[batching.index(axis)], rank)
            continue
        if axis in window and axis not in partial:
            continue
        offsets = torch.arange(sizes[axis], device=device)
        place = len(batch) + partial.index(axis) if axis in partial else rank
        found[axis] = along(offsets, place, rank) if axis in partial else offsets.reshape((1,) * rank)
        if axis in indexed:
            start = starts[indexed.index(axis)]
            found[axis] = start.reshape((*start.shape, *(1 for _ in partial))) + found[axis]
    return found


def whole(axis: int, shape: Axes, indexed: Axes, sizes: Axes) -> bool:
    """Whether windows cover an axis from end to end, wherever they start."""
    return axis not in indexed and sizes[axis] == shape[axis]


def linear(shape: Axes, found: dict[int, Tensor], window: Axes, batch: Axes) -> Tensor:
    """Positions in the flattened operand, of the shape `batch` and then all axes of `window`."""
    partial = [axis for axis in window if axis in found]
    rank = len(batch) + len(window)
    device = next(iter(found.values())).device if found else torch.device("cpu")
    total = torch.zeros((1,) * rank, dtype=torch.int64, device=device)
    for axis, size in enumerate(shape):
        if axis in found:
            spread = found[axis]
            sizes = list(spread.shape[: len(batch)])
            sizes += [spread.shape[len(batch) + partial.index(at)] if at in partial else 1 for at in window]
            steps = spread.reshape(sizes)
        else:
            steps = along(torch.arange(size, device=device), len(batch) + window.index(axis), rank)
        total = total + steps * math.prod(shape[axis + 1 :])
    return total
