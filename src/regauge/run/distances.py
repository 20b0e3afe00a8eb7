"""How far tensors of one side are from those of the other: the norm of tier 1, for a search within a worker."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

_FAR = 1e300  # stands for infinity, which JSON has no word for


def distance_to(arrays: Mapping[str, np.ndarray], target: Mapping[str, np.ndarray]) -> dict[str, float]:
    """By name ``||x - t|| / ||t||``; 1e300 for tensors that are missing or have another shape or other places of NaN.

    A tensor that is zero beside the others of its kind is measured by their scale, as docs/equivalence.md section 2
    has it.
    """
    scales: dict[str, float] = {}
    for kind in {name.partition(".")[0] for name in target}:
        members = [array for name, array in target.items() if name.partition(".")[0] == kind]
        total = sum(float(np.vdot(_finite(a), _finite(a)).real) for a in members)
        scales[kind] = math.sqrt(total / max(1, sum(a.size for a in members)))
    return {
        name: _distance(arrays.get(name), expected, scales[name.partition(".")[0]]) for name, expected in target.items()
    }


def moves(arrays: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Of a trajectory: the parameters after the first and the last step without those at the start."""
    return {
        name: array - arrays[f"start.{name.partition('.')[2]}"]
        for name, array in arrays.items()
        if name.startswith(("first.", "last.")) and f"start.{name.partition('.')[2]}" in arrays
    }


def _distance(found: np.ndarray | None, expected: np.ndarray, scale: float) -> float:
    if found is None or found.shape != expected.shape:
        return _FAR
    if found.dtype.kind not in "fc":
        return 0.0 if np.array_equal(found, expected) else _FAR
    if not np.array_equal(np.isfinite(found), np.isfinite(expected)):
        return _FAR
    difference = float(np.linalg.norm((_finite(found) - _finite(expected)).ravel()))
    own = float(np.linalg.norm(_finite(expected).ravel()))
    least = 1e-10 * scale * math.sqrt(max(1, expected.size))
    size = own if own > least else scale * math.sqrt(max(1, expected.size))
    return 0.0 if difference == 0 else difference / size if size > 0 else _FAR


def _finite(array: np.ndarray) -> np.ndarray:
    return np.where(np.isfinite(array), array, 0)
