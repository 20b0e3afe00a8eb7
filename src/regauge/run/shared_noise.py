"""Random numbers, integers, orders and choices that two frameworks can share: by the order of drawing and the shape.

The random streams of two frameworks can never match, so the check gives both the same numbers: draw i of a pass,
of shape s, gets numbers that depend on (i, s) alone. The converted model may draw in another layout (channels last),
so the numbers do not depend on the order of the axes; axes of equal size cannot be told apart, so there the numbers
are symmetric.
"""

from __future__ import annotations

from itertools import groupby
from typing import Literal

import numpy as np

from regauge.run.evaluation import seeded

Kind = Literal["normal", "uniform"]


def numbers(kind: Kind, index: int, shape: tuple[int, ...]) -> np.ndarray:
    """float64[shape]: standard normal numbers, or uniform ones in [0, 1), of draw number `index`.

    For any permutation p of the axes, `numbers(kind, i, shape).transpose(p)` is `numbers(kind, i, permuted shape)`.
    """
    axes = sorted(range(len(shape)), key=lambda axis: shape[axis])
    generator = seeded(f"{kind} {index}", 0)
    ordered = tuple(shape[axis] for axis in axes)
    drawn = generator.standard_normal(ordered) if kind == "normal" else generator.random(ordered)
    groups = [list(group) for _, group in groupby(range(len(axes)), key=lambda position: ordered[position])]
    if any(len(group) > 1 and ordered[group[0]] > 1 for group in groups):
        places = np.indices(ordered, sparse=False)
        for group in groups:
            places[group] = np.sort(places[group], axis=0)
        drawn = drawn[tuple(places)]
    return drawn.transpose(np.argsort(axes)) if axes else drawn


def integers(index: int, shape: tuple[int, ...], low: int, high: int) -> np.ndarray:
    """int64[shape]: integers in [low, high), of draw number `index`."""
    return low + np.floor(numbers("uniform", index, shape) * (high - low)).astype(np.int64)


def order(index: int, count: int) -> np.ndarray:
    """int64[count]: a permutation of 0 to count - 1, of draw number `index`."""
    return np.argsort(numbers("uniform", index, (count,)))


def gumbel(index: int, shape: tuple[int, ...]) -> np.ndarray:
    """float64[shape]: added to logarithms of probabilities, they make the place of the largest a choice by these."""
    return -np.log(-np.log(np.maximum(numbers("uniform", index, shape), np.finfo(np.float64).tiny)))
