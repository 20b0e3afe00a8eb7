"""Inputs of other sizes for two models of which nothing says which sizes are free: what the original takes, is."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regauge.verify.evaluations import Evaluations
from regauge.verify.result import Tier

Arrays = dict[str, np.ndarray]

SIZES = ("batch of 1", "another batch size", "odd length", "odd image")

_CHANNELS = 4  # an axis of an image this short or shorter holds its channels


def other_sizes(leaves: Mapping[str, np.ndarray]) -> dict[str, Arrays]:
    """Sets by name: one row, another number of rows, an odd length, an odd image; each cut out of the reference.

    Args:
        leaves: ``inputs.*`` and ``targets.*``.
    """
    found: list[Arrays | None] = [None, None, None, None]  # as SIZES
    rows = _rows(leaves)
    if rows > 1:
        found[0] = _cut(leaves, rows, 1, [0])
    if rows > 2:
        found[1] = _cut(leaves, rows, rows - 1, [0])
    length = _length(leaves)
    if length > 2:
        found[2] = _cut(leaves, length, _odd_below(length), _LATER)
    image = _image(leaves)
    if image:
        found[3] = _cut_images(leaves, *image)
    return {name: arrays for name, arrays in zip(SIZES, found, strict=True) if arrays is not None}


_LATER = range(1, 8)  # axes that may be a length: every one but that of the rows


def _rows(leaves: Mapping[str, np.ndarray]) -> int:
    """The size of the first axis if all arrays that have one share it, else 0."""
    sizes = {array.shape[0] for array in leaves.values() if array.ndim}
    return sizes.pop() if len(sizes) == 1 else 0


def _length(leaves: Mapping[str, np.ndarray]) -> int:
    """The second size of token ids, or of a float input of three axes; 0 if there is neither."""
    for name, array in leaves.items():
        if name.startswith("inputs") and array.ndim == 2 and array.dtype.kind in "iu":
            return array.shape[1]
    for name, array in leaves.items():
        if name.startswith("inputs") and array.ndim == 3 and array.dtype.kind == "f":
            return array.shape[1]
    return 0


def _cut(leaves: Mapping[str, np.ndarray], size: int, wanted: int, axes: Sequence[int]) -> Arrays:
    """Every array with its axes of a size shortened; of floats of three and more axes the first of them only."""
    found: Arrays = {}
    for name, array in leaves.items():
        fitting = [axis for axis in axes if axis < array.ndim and array.shape[axis] == size]
        if array.dtype.kind == "f" and array.ndim > 2 and not _is_table(array):
            fitting = fitting[:1]
        index: list[Any] = [slice(wanted) if axis in fitting else slice(None) for axis in range(array.ndim)]
        found[name] = array[tuple(index)].copy() if array.ndim else array
    return found


def _is_table(array: np.ndarray) -> bool:
    """Whether a float array holds a few values only, as an additive mask does: all its axes are lengths."""
    return len(np.unique(array)) <= 2


def _image(leaves: Mapping[str, np.ndarray]) -> tuple[int, ...]:
    """The axes of height and width of the first input that looks like images; empty if none does."""
    for name, array in leaves.items():
        if name.startswith("inputs") and array.ndim == 4 and array.dtype.kind == "f" and not _is_table(array):
            if array.shape[1] <= _CHANNELS < min(array.shape[2:]):
                return (2, 3)
            if array.shape[3] <= _CHANNELS < min(array.shape[1:3]):
                return (1, 2)
    return ()


def _cut_images(leaves: Mapping[str, np.ndarray], *axes: int) -> Arrays:
    images = [a for n, a in leaves.items() if n.startswith("inputs") and a.ndim == 4 and a.dtype.kind == "f"]
    first = next(array for array in images if not _is_table(array))
    sizes = [first.shape[axis] for axis in axes]
    found: Arrays = {}
    for name, array in leaves.items():
        same = array.ndim == 4 and [array.shape[axis] for axis in axes] == sizes
        index: list[Any] = [
            slice(_odd_below(array.shape[axis])) if same and axis in axes else slice(None) for axis in range(array.ndim)
        ]
        found[name] = array[tuple(index)].copy() if array.ndim else array
    return found


def sizes_tier(found: Evaluations, tasks: Mapping[str, Sequence[str]]) -> Tier | None:
    """Whether the converted side takes the sizes that the original takes; None if the original takes no other.

    Args:
        found: the evaluations.
        tasks: ids of the passes by the name of their set.
    """
    if not tasks:
        return None
    refused = {name: error for name, ids in tasks.items() if (error := _error(found, ids))}
    if not refused:
        return Tier("other sizes", "equal", "", len(tasks), why=f"both take {', '.join(tasks)}")
    shown = "; ".join(f"{name}: {error}" for name, error in refused.items())
    return Tier("other sizes", "different", "", len(tasks), math.inf, why=f"the converted model alone refuses {shown}")


def refused_sizes(found: Evaluations, tasks: Mapping[str, Sequence[str]]) -> set[str]:
    """Names of the sets that the converted side refuses."""
    return {name for name, ids in tasks.items() if _error(found, ids)}


def _error(found: Evaluations, ids: Sequence[str]) -> str:
    outcomes = [found.get("C64", task) for task in ids]
    return next((outcome.error for outcome in outcomes if outcome and outcome.error), "")


def _odd_below(size: int) -> int:
    """The largest odd number that is smaller."""
    return size - 1 if size % 2 == 0 else size - 2
