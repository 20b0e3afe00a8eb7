"""Smaller and simpler inputs made of given ones: fewer rows, shorter axes, plainer values. Numpy only."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np

from regauge.verify.evaluations import Arrays

_MOST_LENGTHS = 3  # lengths of axes that are tried, the most frequent first


def size_of(arrays: Mapping[str, np.ndarray]) -> int:
    """Elements of all leaves together."""
    return sum(array.size for array in arrays.values())


def smaller(arrays: Arrays) -> Iterator[tuple[str, Arrays]]:
    """The same inputs with fewer rows, with shorter axes, and with both; a model may reject any of them."""
    rows = _rows(arrays)
    yield from rows.items()
    bases = {"": arrays, **{f"{label}, ": made for label, made in rows.items() if label in ("row 0", "two rows")}}
    for length in _lengths(arrays):
        for short in range(1, min(3, length)):
            for label, base in bases.items():
                yield f"{label}{length} to {short}", _shortened(base, length, short)


def plainer(arrays: Arrays) -> Iterator[tuple[str, Arrays]]:
    """Inputs of the same shapes with values that a person can read, the plainest first.

    Targets and masks stay as they are: their values have a meaning. Indices become the smallest one that occurs.
    """
    floats = [n for n, a in arrays.items() if n.startswith("inputs") and a.dtype.kind == "f" and a.size]
    plain = {
        n: np.full_like(a, a.min())
        for n, a in arrays.items()
        if n.startswith("inputs") and a.dtype.kind in "iu" and a.size
    }
    for label, change in _CHANGES.items() if floats else ():
        changed = {name: change(arrays[name]).astype(arrays[name].dtype) for name in floats}
        if plain:
            yield f"{label}, one index", {**arrays, **changed, **plain}
        yield label, {**arrays, **changed}
    if plain:
        yield "one index", {**arrays, **plain}


def _counting(array: np.ndarray) -> np.ndarray:
    """0, 1, 2, -1, 0, ...: neither constant nor symmetric."""
    return np.resize([0.0, 1.0, 2.0, -1.0], array.shape)


def _one_hot(array: np.ndarray) -> np.ndarray:
    """A single 1 among zeros."""
    return (np.arange(array.size) == 0).reshape(array.shape)


def _digit(array: np.ndarray) -> np.ndarray:
    """One significant digit, which keeps magnitudes: 1234 becomes 1000."""
    with np.errstate(divide="ignore", invalid="ignore"):
        scale = 10.0 ** np.floor(np.log10(np.abs(np.where(array == 0, 1, array), dtype=np.float64)))
    return np.round(array / scale) * scale


_CHANGES: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "zeros": np.zeros_like,
    "ones": np.ones_like,
    "one hot": _one_hot,
    "counting": _counting,
    "whole numbers": np.round,
    "halves": lambda array: np.round(2 * array) / 2,
    "one digit": _digit,
}


def _rows(arrays: Arrays) -> dict[str, Arrays]:
    """One or two rows of the axis that the leaves share, if they do."""
    batch = Counter(array.shape[0] for array in arrays.values() if array.ndim).most_common(1)
    if not batch or batch[0][0] < 2:
        return {}
    size = batch[0][0]
    wanted = {f"row {row}": [row] for row in sorted({0, 1, size // 2, size - 1})}
    wanted |= {"two rows": [0, 1]} if size > 2 else {}
    return {
        label: {n: a[rows] if a.ndim and a.shape[0] == size else a for n, a in arrays.items()}
        for label, rows in wanted.items()
    }


def _lengths(arrays: Arrays) -> list[int]:
    """Sizes of axes behind the first, the most frequent first; a model has its own about many of them."""
    inputs = [array for name, array in arrays.items() if name.startswith("inputs")]
    found = Counter(size for array in inputs for size in array.shape[1:] if size > 1)
    return [size for size, _ in found.most_common(_MOST_LENGTHS)]


def _shortened(arrays: Arrays, length: int, short: int) -> Arrays:
    return {
        name: array[tuple(slice(short) if axis and size == length else slice(None) for axis, size in _axes(array))]
        for name, array in arrays.items()
    }


def _axes(array: np.ndarray) -> list[tuple[int, int]]:
    return list(enumerate(array.shape))
