"""Verdict on dropout's own random numbers: rates, scale, independence and repetition of what nnx.Dropout draws."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from scipy.stats import binomtest, ks_2samp

from regauge.verify.evaluations import WIDE, Evaluations
from regauge.verify.onestep import describe
from regauge.verify.result import Distance, Tier, Verdict

ERROR_RATE = 1e-6  # how often a correct model fails: all shares of a check together, by their exact distribution


def randomness_tier(found: Evaluations, task: str, original_task: str) -> Tier:
    """Compare rates with the original's, call by call, and judge what one pass, the next and a repeated one drew."""
    name = "randomness"
    outcome = found.outcomes["C64"][task]
    if outcome.error:
        return Tier(name, "different", "train", 1, math.inf, why=f"the converted model raises: {outcome.error}")
    original = found.outcomes["M64"][original_task]
    if original.error:
        return Tier(name, "not checked", "train", 1, why=f"the original raises: {original.error}")
    keeps = [call["keep"] for call in original.info["calls"]]
    rates = outcome.info["rates"]
    if not keeps and not rates and original.info.get("draws"):
        why = "both sides were given the same random numbers; what they draw themselves was not looked at"
        return Tier(name, "not checked", "train", 1, why=why, seconds=outcome.seconds)
    if not keeps and not rates:
        return Tier(name, "equal", "train", 1, 0.0, why="the model draws no random numbers", seconds=outcome.seconds)
    alike = len(rates) == len(keeps) and all(math.isclose(1 - r, keep) for r, keep in zip(rates, keeps, strict=True))
    if outcome.info.get("decided") and not (alike and outcome.info["alike"]):
        why = "a condition on values decides what is dropped, and it did not decide alike in the passes of both sides"
        return Tier(name, "not checked", "train", 1, why=why, seconds=outcome.seconds)
    if len(keeps) != len(rates):
        why = f"the original drops {len(keeps)} times, the converted model {len(rates)} times"
        return Tier(name, "different", "train", 1, math.inf, why=why, seconds=outcome.seconds)
    arrays = outcome.arrays()
    distances = [
        distance
        for index, (keep, rate) in enumerate(zip(keeps, rates, strict=True))
        for distance in _call(index, keep, rate, arrays, len(keeps))
    ]
    shapes = outcome.info.get("shapes", ())
    apart = {*original.info.get("elementwise", ())} & {*outcome.info.get("elementwise", ())}
    for index, (call, shape) in enumerate(zip(original.info["calls"], shapes, strict=False)):
        distances.append(_draws(index, call["shape"], shape, index in apart))
    distances += _independence(len(rates), arrays)
    failed = [d for d in distances if not d.passed]
    verdict: Verdict = "different" if failed else "equal"
    bound = max(d.norm for d in distances)
    why = f"{len(keeps)} calls; a correct model fails once in {1 / ERROR_RATE:.0f} checks"
    if failed:
        why = describe(failed)
    return Tier(name, verdict, "train", 1, bound, None, why, tuple(distances), outcome.seconds)


def evaluation_tier(found: Evaluations, task: str) -> list[Tier]:
    """A difference if the two drop another number of times in evaluation, where most models drop nothing."""
    outcomes = [found.get(side, task) for side in WIDE]
    counts = [len(outcome.info["calls"]) for outcome in outcomes if outcome and "calls" in outcome.info]
    if len(counts) < 2 or counts[0] == counts[1]:
        return []
    why = f"the original drops {counts[0]} times, the converted model {counts[1]} times"
    return [Tier("randomness", "different", "eval", 1, math.inf, why=why)]


def _draws(index: int, original: Sequence[int], converted: Sequence[int], elementwise: bool) -> Distance:
    """One draw that several elements share makes them depend on each other, at the same rate.

    Where every element has its own on both sides, one may drop more of them: rows that the original does not select.
    """
    ours, theirs = math.prod(original), math.prod(converted)
    passed = ours == theirs or elementwise
    note = "" if passed else f"one pass draws {theirs} numbers, the original {ours}"
    return Distance(f"dropout call {index} draws", float(not passed), float(not passed), 0.0, passed, note=note)


def _call(index: int, keep: float, rate: float, arrays: Mapping[str, np.ndarray], calls: int) -> list[Distance]:
    first, second, again = (arrays[f"{part}.{index}"] for part in ("first", "second", "again"))
    label = f"dropout call {index}"
    off = abs(1 - rate - keep)
    distances = [Distance(f"{label} rate", off, off, 1e-12, off <= 1e-12, note=f"rate {rate:g}, original {1 - keep:g}")]
    independent = _independent(first)
    count, size = int(np.count_nonzero(independent)), independent.size
    chance = float(binomtest(count, size, keep).pvalue)
    # as orders of magnitude, so that larger is further away
    rarity, limit = -math.log10(max(chance, 1e-300)), -math.log10(ERROR_RATE / calls)
    note = f"keeps {count / size:.4f} of {size}, expected {keep:g}: chance {chance:.1g}"
    distances.append(Distance(f"{label} share", rarity, rarity, limit, rarity <= limit, note=note))
    kept = first[first != 0]
    scale = float(np.abs(kept * keep - 1).max(initial=0.0))
    distances.append(Distance(f"{label} scale", scale, scale, 1e-6, scale <= 1e-6))
    repeats = float(np.mean(first != again))
    distances.append(Distance(f"{label} repeated from the same state", repeats, repeats, 0.0, repeats == 0))
    distances.append(_unlike(f"{label} in the next step", first, second, keep))
    return distances


def _independent(factors: np.ndarray) -> np.ndarray:
    """Without the axes along which one draw is broadcast, which would count the same number many times."""
    for axis in range(factors.ndim):
        one = np.take(factors, [0], axis)
        if factors.shape[axis] > 1 and np.array_equal(np.broadcast_to(one, factors.shape), factors):
            factors = one
    return factors


def _unlike(label: str, one: np.ndarray, other: np.ndarray, keep: float) -> Distance:
    """Two masks must not repeat each other; so few elements that they may agree by chance cannot tell."""
    draws = _independent(one).size
    by_chance = (keep**2 + (1 - keep) ** 2) ** draws
    same = float(np.array_equal(one, other))
    return Distance(label, same, same, 0.0, same == 0 or by_chance > 1e-9, note="the same mask again" if same else "")


def _independence(calls: int, arrays: Mapping[str, np.ndarray]) -> Sequence[Distance]:
    """Calls of one shape must not share their mask."""
    distances = []
    for later in range(1, calls):
        one, other = arrays[f"first.{later - 1}"], arrays[f"first.{later}"]
        if one.shape == other.shape:
            keep = float(np.mean(other != 0))
            distances.append(_unlike(f"dropout calls {later - 1} and {later}", one != 0, other != 0, keep))
    return distances


def distribution_tier(found: Evaluations, task: str) -> Tier:
    """Whether two models that draw random numbers of their own have outputs of the same distribution.

    The numbers of two frameworks never match, so passes are compared as samples: the Kolmogorov-Smirnov test of two
    samples assumes nothing of their distribution, and passes are independent of each other.
    """
    name = "distribution"
    for side in WIDE:
        outcome = found.get(side, task)
        if outcome is None or outcome.error:
            return Tier(name, "not checked", "train", 1, why=outcome.error if outcome else "it was not run")
    ours, theirs = (found.outcomes[side][task].arrays() for side in WIDE)
    names = [name for name in ours if name in theirs]
    if not names:
        return Tier(name, "not checked", "train", 1, why="no output holds floating point numbers")
    limit = -math.log10(ERROR_RATE / len(names))
    distances = []
    for key in names:
        test = ks_2samp(ours[key], theirs[key])
        rarity = -math.log10(max(float(test.pvalue), 1e-300))
        note = f"mean {ours[key].mean():.4g} and {theirs[key].mean():.4g}, chance {test.pvalue:.1g}"
        distances.append(Distance(key, rarity, rarity, limit, rarity <= limit, note=note))
    failed = [d for d in distances if not d.passed]
    passes = len(next(iter(ours.values())))
    why = f"{passes} passes of each side; a correct model fails once in {1 / ERROR_RATE:.0f} checks"
    if failed:
        why = f"{failed[0].name}: {failed[0].note}"
    bound = max(d.norm for d in distances)
    verdict: Verdict = "different" if failed else "equal"
    return Tier(name, verdict, "train", 1, bound, limit, why, tuple(distances))
