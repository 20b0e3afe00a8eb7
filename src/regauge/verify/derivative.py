"""Verdict on derivatives: central differences of each side's own loss along random directions, in float64."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from regauge.verify.evaluations import Evaluations, Mode
from regauge.verify.result import Distance, Tier, Verdict
from regauge.verify.tolerance import LIMITS

STEPS = (1e-5, 1e-6, 1e-7)  # a kink that the wide step crosses is out of the narrow one's way
DRAWS = 3


def derivative_tier(found: Evaluations, task: str, mode: Mode) -> Tier:
    """Whether each side's gradient is the derivative of its loss.

    A gradient that is by intention none (detach, a straight-through estimator) is off on both sides by the same
    amount: that is the original's own, and said.
    """
    name = "finite difference"
    ours, theirs = found.outcomes["M64"][task], found.outcomes["C64"][task]
    if theirs.error:
        why = f"the converted model raises: {theirs.error}"
        return Tier(name, "different", mode, 1, math.inf, LIMITS.derivative, why)
    seconds = ours.seconds + theirs.seconds
    pairs = list(zip(ours.info["directions"], theirs.info["directions"], strict=True))
    if not pairs:
        return Tier(name, "not checked", mode, 1, why="no direction in which the loss changes", seconds=seconds)
    distances, own = [], False
    for original, converted in pairs:
        error, own_error = _error(converted), _error(original)
        shared = abs(_numeric(converted) - _numeric(original)) / abs(original["slope"]) <= LIMITS.derivative
        same_slope = abs(converted["slope"] - original["slope"]) <= LIMITS.derivative * abs(original["slope"])
        own = own or own_error > LIMITS.derivative
        passed = error <= LIMITS.derivative or (own_error > LIMITS.derivative and shared and same_slope)
        label = f"direction {original['draw']}"
        distances.append(Distance(label, error, error, LIMITS.derivative, passed, own_error))
    bound = max(d.norm for d in distances)
    failed = [d for d in distances if not d.passed]
    why = "the original's gradient is not the derivative of its loss either, by the same amount" if own else ""
    if failed:
        why = f"the gradient is {bound:.2g} away from the derivative of the loss"
    verdict: Verdict = "different" if failed else "equal"
    return Tier(name, verdict, mode, 1, bound, LIMITS.derivative, why, tuple(distances), seconds)


def _error(direction: Mapping[str, Any]) -> float:
    difference = abs(_numeric(direction) - direction["slope"])
    return difference / abs(direction["slope"]) if direction["slope"] else (math.inf if difference else 0.0)


def _numeric(direction: Mapping[str, Any]) -> float:
    """The difference quotient nearest to the slope."""
    return min(direction["numeric"], key=lambda value: abs(value - direction["slope"]))
