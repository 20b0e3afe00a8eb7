"""The layouts that one tensor can have in another library, and which of them the values confirm."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from functools import lru_cache

import numpy as np

from regauge.weights import casting
from regauge.weights import steps as moves
from regauge.weights.layout import Shape
from regauge.weights.steps import Steps
from regauge.weights.units import Unit

MAX_AXES = 5  # more than a three-dimensional convolution has is not searched
MAX_CHUNKS = 4  # gates of an LSTM
_SAMPLE = 48

# output, input, space... <-> space..., input, output; and of transposed convolutions (input, output, space...)
_CONVOLUTIONS = {
    3: ((2, 1, 0), (2, 0, 1)),
    4: ((2, 3, 1, 0), (3, 2, 0, 1), (2, 3, 0, 1)),
    5: ((2, 3, 4, 1, 0), (4, 3, 0, 1, 2), (2, 3, 4, 0, 1), (3, 4, 0, 1, 2)),
}


@lru_cache(maxsize=65536)
def usual(source: Shape, target: Shape) -> tuple[Steps, ...]:
    """The layouts between two shapes that libraries use, each once, the plainest first."""
    found: list[Steps] = []
    if source == target:
        found.append(())
    if len(source) == len(target) == 2:
        found.append((("permute", (1, 0)),))
    for axes in _CONVOLUTIONS.get(len(source), ()) if len(source) == len(target) else ():
        found.append((("permute", axes),))
    if len(source) != len(target):
        found += _regrouped(source, target)
    fitting = (steps for steps in found if _gives(steps, source, target))
    return tuple(dict.fromkeys(moves.simplified(steps, source) for steps in fitting))


@lru_cache(maxsize=65536)
def possible(source: Shape, target: Shape) -> bool:
    """Whether any layout leads from one shape to the other."""
    return bool(usual(source, target)) or next(every(source, target), None) is not None


def _regrouped(source: Shape, target: Shape) -> Iterator[Steps]:
    """Attention kernels with heads as an axis, convolutions of size one, axes of length one."""
    if _grouped(source, target):
        yield (("reshape", target),)
    if len(source) == 2 and len(target) > 2:
        yield (("permute", (1, 0)), ("reshape", target))
    if len(target) == 2 and len(source) > 2:
        yield (("reshape", (target[1], target[0])), ("permute", (1, 0)))
    if len(source) in _CONVOLUTIONS and len(target) == 2 and math.prod(source[2:]) == 1:
        yield (("permute", _CONVOLUTIONS[len(source)][0]), ("reshape", target))
    if len(target) in _CONVOLUTIONS and len(source) == 2 and math.prod(target[:-2]) == 1:
        axes = _CONVOLUTIONS[len(target)][0]
        before = tuple(target[axes.index(axis)] for axis in range(len(target)))
        yield (("reshape", before), ("permute", axes))


def _grouped(fine: Shape, coarse: Shape) -> bool:
    """Whether one shape splits or merges neighbouring axes of the other, so that a reshape keeps their meaning."""
    if len(fine) < len(coarse):
        fine, coarse = coarse, fine
    ends = set(itertools.accumulate(fine, lambda a, b: a * b))
    return math.prod(fine) == math.prod(coarse) and ends >= set(itertools.accumulate(coarse, lambda a, b: a * b))


def _gives(steps: Steps, source: Shape, target: Shape) -> bool:
    shape = source
    for kind, sizes in steps:
        if kind == "permute":
            shape = tuple(shape[axis] for axis in sizes)
        elif kind == "reshape":
            if math.prod(sizes) != math.prod(shape) or not _grouped(shape, sizes):
                return False
            shape = sizes
    return shape == target


def every(source: Shape, target: Shape) -> Iterator[Steps]:
    """All orders of the axes, with axes merged or split, and with the axes of a kernel flipped."""
    yield from usual(source, target)
    if max(len(source), len(target)) > MAX_AXES:
        return
    plain: list[Steps] = []
    for axes in itertools.permutations(range(len(source))):
        steps: Steps = (("permute", axes), ("reshape", target))
        if _gives(steps, source, target):
            plain.append(steps)
    if len(target) > len(source):
        for axes in itertools.permutations(range(len(target))):
            before = tuple(target[axes.index(axis)] for axis in range(len(target)))
            if _gives((("reshape", before), ("permute", axes)), source, target):
                plain.append((("reshape", before), ("permute", axes)))
    yield from plain
    if len(source) == len(target) >= 3:
        for steps in plain:
            for space in (tuple(range(len(source) - 2)), tuple(range(2, len(source)))):
                yield (*steps, ("flip", space))


def confirmed(source: Unit, target: Unit) -> list[Steps]:
    """The layouts under which the values are the same bits (after the narrower dtype's rounding), each once."""
    dtype = casting.narrower(source.info.dtype, target.info.dtype)
    if source.values is None or target.values is None or dtype is None or source.size != target.size:
        return []
    mine = casting.bits(source.values, source.info.dtype, dtype)
    other = casting.bits(target.values, target.info.dtype, dtype)
    found: list[Steps] = []
    for steps in every(source.shape, target.shape):
        steps = moves.simplified(steps, source.shape)
        if steps not in found and equal_bits(moves.apply(mine, steps), other):
            found.append(steps)
    return _different(found, source.shape)


def equal_bits(a: np.ndarray, b: np.ndarray) -> bool:
    """Whether two arrays are equal; a few elements are looked at first."""
    if a.shape != b.shape:
        return False
    if a.size > 4 * _SAMPLE:
        places = np.random.default_rng(0).integers(0, a.size, _SAMPLE)
        index = np.unravel_index(places, a.shape)
        if (a[index] != b[index]).any():
            return False
    return bool(np.array_equal(a, b))


def _different(found: Sequence[Steps], shape: Shape) -> list[Steps]:
    """Of layouts that move every element alike, the first."""
    if len(found) < 2:
        return list(found)
    places = np.arange(math.prod(shape)).reshape(shape)
    kept: list[tuple[Steps, np.ndarray]] = []
    for steps in found:
        moved = moves.apply(places, steps)
        if not any(np.array_equal(moved, other) for _, other in kept):
            kept.append((steps, moved))
    return [steps for steps, _ in kept]


def different(found: Sequence[Steps], shape: Shape) -> list[Steps]:
    """Of usual layouts that move every element alike, the first; judged on a small array."""
    small = {size: n + 2 for n, size in enumerate(sorted(set(shape) - {1}))} | {1: 1}
    if len(found) < 2 or any(kind == "reshape" for steps in found for kind, _ in steps):
        return _different(found, shape)
    return _different(found, tuple(small[size] for size in shape))


def distance(source: Unit, target: Unit, steps: Steps) -> float:
    """Norm of the difference over the larger norm, in float64."""
    if source.values is None or target.values is None:
        return math.nan
    mine = moves.apply(casting.as_float64(source.values, source.info.dtype), steps)
    other = casting.as_float64(target.values, target.info.dtype)
    scale = max(float(np.linalg.norm(mine)), float(np.linalg.norm(other)))
    return float(np.linalg.norm(mine - other)) / scale if scale else 0.0


def close(source: Unit, target: Unit, limit: float) -> bool:
    """Whether the values are within a distance under a usual layout; a few elements are looked at first."""
    if source.size != target.size or source.values is None or target.values is None:
        return False
    places = np.random.default_rng(0).integers(0, max(source.size, 1), min(source.size, 4 * _SAMPLE))
    other = target.values[np.unravel_index(places, target.shape)]
    for steps in usual(source.shape, target.shape):
        mine = moves.apply(source.values, steps)[np.unravel_index(places, target.shape)]
        a, b = casting.as_float64(mine, source.info.dtype), casting.as_float64(other, target.info.dtype)
        near = np.linalg.norm(a - b) <= 3 * limit * max(np.linalg.norm(a), np.linalg.norm(b))
        if near and distance(source, target, steps) < limit:
            return True
    return False


def reordered(source: Unit, target: Unit) -> tuple[Steps, int, tuple[int, ...]] | None:
    """(layout, axis of the target, order of equal chunks) if the values say that chunks changed places.

    The chunk `order[n]` of the source, counted along the axis after the layout, is chunk n of the target.
    """
    dtype = casting.narrower(source.info.dtype, target.info.dtype)
    if source.values is None or target.values is None or dtype is None:
        return None
    mine = casting.bits(source.values, source.info.dtype, dtype)
    other = casting.bits(target.values, target.info.dtype, dtype)
    for steps in usual(source.shape, target.shape):
        if any(kind == "reshape" for kind, _ in steps):
            continue
        moved = moves.apply(mine, steps)
        for axis, length in enumerate(moved.shape):
            for count in (count for count in range(2, MAX_CHUNKS + 1) if length % count == 0):
                order = _order(moved, other, axis, count)
                if order is not None and order != tuple(range(count)):
                    return steps, axis, order
    return None


def _order(a: np.ndarray, b: np.ndarray, axis: int, count: int) -> tuple[int, ...] | None:
    if a.shape != b.shape:
        return None
    mine, others = np.split(a, count, axis), np.split(b, count, axis)
    order: list[int] = []
    for other in others:
        found = [n for n, piece in enumerate(mine) if n not in order and equal_bits(piece, other)]
        if not found:
            return None
        order.append(found[0])
    return tuple(order)
