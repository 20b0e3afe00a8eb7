"""Verdict on the weights themselves: every value, through the map, bit by bit."""

from __future__ import annotations

import math

import numpy as np

from regauge.verify.evaluations import Evaluations
from regauge.verify.onestep import describe
from regauge.verify.result import Distance, Tier, Verdict


def weights_tier(found: Evaluations, task: str) -> Tier:
    """Whether the converted model holds the original's weights, each in its own place."""
    names = found.names
    theirs = found.outcomes["C64"][task]
    if theirs.error:
        return Tier("weights", "different", inputs=1, bound=math.inf, why=theirs.error)
    original = found.outcomes["M64"][task].arrays()
    converted = theirs.arrays()
    constants = {entry.source for entry in names.entries if entry.role == "constant"}
    distances = []
    for name, array in original.items():
        if name in names.unused or name in names.tied:
            continue
        candidate = converted.get(name)
        if candidate is None:
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note="missing in the converted model"))
            continue
        if candidate.shape != array.shape:
            note = f"shape {candidate.shape}, the original's is {array.shape}"
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note=note))
            continue
        same = np.array_equal(candidate, array, equal_nan=array.dtype.kind in "fc")
        away = 0.0 if same else float(np.abs(candidate.astype(np.float64) - array).max())
        distances.append(Distance(name, away, away, 0.0, same))
    for name in converted:
        if name not in original and name not in constants:
            distances.append(Distance(name, math.inf, math.inf, 0.0, False, note="missing in the original"))
    failed = [distance for distance in distances if not distance.passed]
    bound = max((distance.norm for distance in distances), default=0.0)
    verdict: Verdict = "different" if failed else "equal"
    return Tier("weights", verdict, "", 1, bound, 0.0, describe(failed), tuple(distances))
