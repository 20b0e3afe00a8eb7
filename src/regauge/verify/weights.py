"""Verdict on the weights themselves: every value, through the map, bit by bit."""

from __future__ import annotations

import math

import numpy as np

from regauge.verify.evaluations import Arrays, Evaluations, summed
from regauge.verify.onestep import describe
from regauge.verify.result import Distance, Tier, Verdict
from regauge.verify.tolerance import pieces
from regauge.weights.pair_map import merged_groups


def weights_tier(found: Evaluations, task: str) -> Tier:
    """Whether the converted model holds the original's weights, each in its own place."""
    theirs = found.outcomes["C64"][task]
    if theirs.error:
        return Tier("weights", "different", inputs=1, bound=math.inf, why=theirs.error)
    original = _expected(found, found.outcomes["M64"][task].arrays())
    converted = theirs.arrays()
    distances = []
    for name, array in original.items():
        candidate = converted.get(name)
        if candidate is None:
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note="missing in the converted model"))
            continue
        if candidate.shape != array.shape:
            note = f"shape {candidate.shape}, the original's is {array.shape}"
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note=note))
            continue
        same = all(np.array_equal(a, b) or _equal_with_nan(a, b) for a, b in pieces(candidate, array))
        away = 0.0 if same else float(np.abs(candidate.astype(np.float64) - array).max())
        distances.append(Distance(name, away, away, 0.0, same))
    for name in converted:
        if name not in original and name not in found.constants:
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note="missing in the original"))
    failed = [distance for distance in distances if not distance.passed]
    bound = max((distance.norm for distance in distances), default=0.0)
    verdict: Verdict = "different" if failed else "equal"
    return Tier("weights", verdict, "", 1, bound, 0.0, describe(failed), tuple(distances))


def _expected(found: Evaluations, arrays: Arrays) -> Arrays:
    """What the converted side must hold, by name: sums where it holds sums, nothing for what it has no place for."""
    gone = {*found.map.absent_sources, *found.map.tied_sources}
    expected = {name: array for name, array in arrays.items() if name not in gone}
    sums = {group: summed(parts, expected) for group, parts in merged_groups(found.map).items()}
    terms = set(found.map.merged_sources)
    return {name: array for name, array in expected.items() if name not in terms} | sums


def _equal_with_nan(one: np.ndarray, other: np.ndarray) -> bool:
    return np.array_equal(one, other, equal_nan=one.dtype.kind in "fc" and other.dtype.kind in "fc")
