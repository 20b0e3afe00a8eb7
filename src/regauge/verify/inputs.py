"""Inputs that reach a model's branches, made from the reference inputs of a case: numpy only.

The values stay in the range that the case showed (integers between the smallest and the largest that occur, targets
permuted, masks still masks), because a model may rightly refuse anything else.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from regauge.verify.sizes import other_sizes

Arrays = dict[str, np.ndarray]

# what a set is for: typical values carry the rounding error of tier 2, special ones are compared with it
Purpose = Literal["typical", "special", "shape", "silent"]

# the reference, for weights of which half of the units are zero: activations inside a network reach their kinks
SILENT = "half of the units zero"

IGNORED_TARGET = -100
_LOW = -1e4  # an additive mask is at least this low where it masks


@dataclass(frozen=True)
class InputSet:
    """One set of inputs and targets, by leaf name (``inputs.*``, ``targets.*``)."""

    name: str
    purpose: Purpose
    arrays: Arrays


def make_input_sets(
    reference: Mapping[str, np.ndarray],
    symbols: list[dict[str, Any]] | None,
    quick: bool,
    known: Collection[str] = (),
) -> list[InputSet]:
    """The reference and what is derived from it.

    Args:
        reference: ``inputs.*`` and ``targets.*`` arrays of the case.
        symbols: symbolic sizes of conversion.json; None where nothing is known: then sizes are tried.
        quick: fewer sets, none with another shape.
        known: names of inputs that are the same in every set.
    """
    every = {name: np.array(array) for name, array in reference.items() if name.split(".")[0] in ("inputs", "targets")}
    leaves = {name: array for name, array in every.items() if name not in known}
    sets = [InputSet("reference", "typical", leaves)]
    sets += [InputSet(f"random {i}", "typical", _random(leaves, i)) for i in (1, 2)]
    changes = _changes(leaves, additive=symbols is None)
    for name in ("kinks and ties", "padding") if quick else changes:
        if name in changes:
            sets.append(InputSet(name, "special", changes[name]()))
    if not quick and symbols is not None:
        sets += _other_batches(leaves, symbols)
    elif not quick:
        sets += [InputSet(name, "shape", arrays) for name, arrays in other_sizes(leaves).items()]
    return [
        replace(item, arrays={name: item.arrays.get(name, array) for name, array in every.items()}) for item in sets
    ]


def silent_set(sets: list[InputSet]) -> InputSet:
    """The reference once more, to be taken with weights of which half of the units are zero."""
    return InputSet(SILENT, "silent", sets[0].arrays)


def _changes(leaves: Arrays, additive: bool = False) -> dict[str, Callable[[], Arrays]]:
    """By name, the special sets that make sense for these leaves; with `additive`, float masks are masks too."""
    changes: dict[str, Callable[[], Arrays]] = {}
    floats = [name for name in leaves if _is_data(name, leaves[name])]
    masks = [name for name in leaves if _is_mask(name, leaves) or (additive and _is_float_mask(name, leaves[name]))]
    integers = [name for name in leaves if _is_index(name, leaves)]
    if floats:
        changes["kinks and ties"] = lambda: _map(leaves, floats, lambda x: np.round(2 * x) / 2)
        changes["zeros"] = lambda: _map(leaves, floats, np.zeros_like)
        changes["large"] = lambda: _map(leaves, floats, lambda x: x * x.dtype.type(1e3))
        changes["small"] = lambda: _map(leaves, floats, lambda x: x * x.dtype.type(1e-3))
        changes["offset"] = lambda: _map(leaves, floats, lambda x: x + x.dtype.type(100 * max(float(np.std(x)), 1e-3)))
    if masks:
        changes["padding"] = lambda: _map(leaves, masks, _padded)
        changes["fully masked row"] = lambda: _map(leaves, masks, _masked_row)
    if integers:
        changes["repeated index"] = lambda: _map(leaves, integers, lambda x: np.full_like(x, x.max()))
        changes["smallest index"] = lambda: _map(leaves, integers, lambda x: np.full_like(x, x.min()))
    ignored = [name for name, x in leaves.items() if name.startswith("targets") and np.any(x == IGNORED_TARGET)]
    if ignored:
        changes["all targets ignored"] = lambda: _map(leaves, ignored, lambda x: np.full_like(x, IGNORED_TARGET))
    return changes


def _map(leaves: Arrays, names: list[str], change: Callable[[np.ndarray], np.ndarray]) -> Arrays:
    return {name: change(array).astype(array.dtype) if name in names else array for name, array in leaves.items()}


def _is_data(name: str, array: np.ndarray) -> bool:
    """Whether a leaf is a float input that may take any value: not a table of a few values such as a mask."""
    if not name.startswith("inputs") or not np.issubdtype(array.dtype, np.floating) or array.size == 0:
        return False
    return bool(np.all(np.isfinite(array))) and len(np.unique(array)) > 2


def _is_mask(name: str, leaves: Arrays) -> bool:
    array = leaves[name]
    if not name.startswith("inputs") or array.ndim < 2 or array.size == 0:
        return False
    if array.dtype == np.bool_:
        return True
    like_another = any(
        other != name and leaves[other].shape == array.shape and np.issubdtype(leaves[other].dtype, np.integer)
        for other in leaves
    )
    integer = np.issubdtype(array.dtype, np.integer)
    return integer and set(np.unique(array)) <= {0, 1} and 1 in array and ("mask" in name or like_another)


def _is_float_mask(name: str, array: np.ndarray) -> bool:
    if not name.startswith("inputs") or array.ndim < 2 or array.size == 0 or array.dtype.kind != "f":
        return False
    return _is_additive(array) or ("mask" in name and set(np.unique(array)) <= {0.0, 1.0} and 1 in array)


def _is_additive(array: np.ndarray) -> bool:
    """Whether a float array is added to scores as a mask: zeros, and one very low number."""
    values = np.unique(array)
    return len(values) == 2 and values[1] == 0 and bool(values[0] <= _LOW)


def _is_index(name: str, leaves: Arrays) -> bool:
    array = leaves[name]
    fits = name.startswith("inputs") and np.issubdtype(array.dtype, np.integer) and array.size > 0
    return fits and not _is_mask(name, leaves)


def _random(leaves: Arrays, seed: int) -> Arrays:
    """Other values with the mean, spread and range of the reference; targets in another order."""
    random = np.random.default_rng(seed)
    found: Arrays = {}
    for name, array in leaves.items():
        if name.startswith("targets"):
            found[name] = array[random.permutation(len(array))] if array.ndim else array
        elif _is_data(name, array):
            normal = random.standard_normal(array.shape) * float(np.std(array)) + float(np.mean(array))
            found[name] = normal.astype(array.dtype)
        elif _is_index(name, leaves):
            found[name] = random.integers(array.min(), array.max(), array.shape, array.dtype, endpoint=True)
        else:
            found[name] = array
    return found


def _padded(mask: np.ndarray) -> np.ndarray:
    """Rows of falling length, the first whole: the tail takes the value that masks."""
    padded = mask.copy()
    kept, masked = _mask_values(mask)
    length = mask.shape[-1]
    for row in range(mask.shape[0]):
        end = max(1, length - row * length // mask.shape[0])
        padded[row, ..., :end] = kept
        padded[row, ..., end:] = masked
    return padded


def _masked_row(mask: np.ndarray) -> np.ndarray:
    masked = mask.copy()
    masked[-1] = _mask_values(mask)[1]
    return masked


def _mask_values(mask: np.ndarray) -> tuple[Any, Any]:
    """The value that keeps an element and the one that masks it: 1 and 0, or for booleans the frequent and the rare."""
    if mask.dtype.kind == "f" and _is_additive(mask):
        return 0.0, mask.min()
    if mask.dtype != np.bool_:
        return 1, 0
    frequent = bool(mask.mean() >= 0.5)
    return frequent, not frequent


def _other_batches(leaves: Arrays, symbols: list[dict[str, Any]]) -> list[InputSet]:
    """A batch of one and an odd batch, if the first axis of every leaf is one symbolic size."""
    sizes = {array.shape[0] for array in leaves.values() if array.ndim}
    symbol = next((s for s in symbols if sizes == {s["hint"]}), None)
    if symbol is None:
        return []
    size = symbol["hint"]
    low, high = symbol["low"] or 1, symbol["high"] or size + 1
    wanted = {1: "batch of 1", (size - 1) | 1 if size > 2 else size + 1: "another batch size"}
    sets = []
    for other, name in wanted.items():
        if low <= other <= high and other != size:
            rows = np.arange(other) % size
            sets.append(InputSet(name, "shape", {n: a[rows] if a.ndim else a for n, a in leaves.items()}))
    return sets
