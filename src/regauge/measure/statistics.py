"""Effects from paired launches: Hodges-Lehmann ratio, signed-rank and t intervals, verdict against a margin.

One launch is one observation: the logarithm of the median step time of its samples. Launches of one block are paired,
``d_b = y_variant,b - y_reference,b``; every statistic here is on these differences.

Sources: Hollander, Wolfe and Chicken, Nonparametric Statistical Methods, section 3 (Walsh averages, the interval that
inverts the signed-rank test); Schuirmann, J. Pharmacokinet. Biopharm. 15 (1987) (two one-sided tests); Holm, Scand. J.
Statist. 6 (1979).
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from scipy import stats

from regauge.measure.result import Effect, EffectVerdict, Measurement, MeasurementPlan

SIGNED_RANK = "Hodges-Lehmann, signed-rank interval"
PAIRED_T = "paired t (preliminary)"
# The smallest number of pairs for which a 95 % signed-rank interval exists: 2 * 2**-6 <= 0.05 < 2 * 2**-5.
FEWEST_FOR_RANKS = 6
FEWEST_FOR_T = 3
# Between the sentences of a note.
NOTE_SEPARATOR = "; "
# Declared before any launch: a block whose CPU time the host gave to others beyond this share is left out.
MOST_STEAL = 0.10
# Load on each CPU above which a note says that the machine was busy with something else.
BUSY_LOAD = 1.5


@dataclass(frozen=True)
class Interval:
    """A location estimate with its interval, on whatever scale the differences have."""

    estimate: float
    low: float
    high: float


def walsh_averages(differences: Sequence[float]) -> np.ndarray:
    """Sorted ``(d_i + d_j) / 2`` for i <= j: float64[n (n + 1) / 2]."""
    d = np.asarray(differences, dtype=np.float64)
    rows, columns = np.triu_indices(len(d))
    return np.sort((d[rows] + d[columns]) / 2)


@lru_cache(maxsize=256)
def signed_rank_distribution(n: int) -> np.ndarray:
    """Exact null probabilities of the signed-rank statistic T+ for n pairs without ties: float64[n (n + 1) / 2 + 1].

    The generating function is the product of ``(1 + x**i) / 2`` for i from 1 to n.
    """
    probabilities = np.ones(1)
    for i in range(1, n + 1):
        longer = np.zeros(len(probabilities) + i)
        longer[: len(probabilities)] += probabilities / 2
        longer[i:] += probabilities / 2
        probabilities = longer
    return probabilities


@lru_cache(maxsize=256)
def signed_rank_index(n: int, level: float) -> int:
    """Which Walsh average from either end bounds the interval.

    The largest k with ``P(T+ <= k - 1) <= (1 - level) / 2``.

    Returns:
        0 when n is too small for the level.
    """
    cumulative = np.cumsum(signed_rank_distribution(n))
    return int(np.searchsorted(cumulative, (1 - level) / 2, side="right"))


def signed_rank_interval(differences: Sequence[float], level: float = 0.95) -> Interval | None:
    """Hodges-Lehmann estimate with the interval of the signed-rank test; None when there are too few pairs."""
    k = signed_rank_index(len(differences), level)
    if k == 0:
        return None
    averages = walsh_averages(differences)
    return Interval(float(np.median(averages)), float(averages[k - 1]), float(averages[-k]))


def t_interval(differences: Sequence[float], level: float = 0.95) -> Interval:
    """Mean with Student's interval; infinitely wide for fewer than two pairs."""
    d = np.asarray(differences, dtype=np.float64)
    if len(d) < 2:
        estimate = float(d.mean()) if len(d) else math.nan
        return Interval(estimate, -math.inf, math.inf)
    half = float(stats.t.ppf((1 + level) / 2, len(d) - 1)) * float(d.std(ddof=1)) / math.sqrt(len(d))
    return Interval(float(d.mean()), float(d.mean()) - half, float(d.mean()) + half)


def one_sided_p(differences: Sequence[float], bound: float) -> float:
    """P-value of "the location is at most `bound`" against "it is above".

    The exact signed-rank test from six pairs on, Student's t below.
    """
    shifted = np.asarray(differences, dtype=np.float64) - bound
    if len(shifted) < FEWEST_FOR_T:
        return 1.0
    if len(shifted) >= FEWEST_FOR_RANKS:
        ranks = stats.rankdata(np.abs(shifted))
        # a difference of exactly `bound` counts for the null hypothesis; half ranks round to the conservative side
        statistic = math.floor(float(ranks[shifted > 0].sum()))
        return float(signed_rank_distribution(len(shifted))[statistic:].sum())
    spread = float(shifted.std(ddof=1))
    if spread == 0:
        return 0.0 if shifted.mean() > 0 else 1.0
    return float(stats.t.sf(shifted.mean() / (spread / math.sqrt(len(shifted))), len(shifted) - 1))


def holm(p_values: Sequence[float], level: float = 0.05) -> list[bool]:
    """Which hypotheses Holm's step-down procedure rejects, in the order given."""
    rejected = [False] * len(p_values)
    order = sorted(range(len(p_values)), key=lambda i: p_values[i])
    for rank, index in enumerate(order):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def log_median(measurement: Measurement) -> float | None:
    """The observation of a launch: log of the median step time in seconds.

    None if the launch did not end well, or if the host of this virtual machine took more than `MOST_STEAL` of it.
    """
    times = np.asarray(measurement.samples, dtype=np.float64)
    if measurement.environment.get("steal", 0.0) > MOST_STEAL:
        return None
    if measurement.status != "ok" or not len(times) or not bool(np.all(np.isfinite(times) & (times > 0))):
        return None
    return math.log(float(np.median(times)))


def paired_differences(measurements: Iterable[Measurement], task: str, variant: str, reference: str) -> list[float]:
    """``log t_variant - log t_reference`` of every block in which both launches of the task ended well."""
    by_block: dict[int, dict[str, float]] = {}
    for m in measurements:
        observation = log_median(m) if m.task == task and m.purpose == "time" else None
        if observation is not None:
            by_block.setdefault(m.block, {})[m.variant] = observation
    blocks = sorted(b for b, found in by_block.items() if variant in found and reference in found)
    return [by_block[b][variant] - by_block[b][reference] for b in blocks]


def compute_effects(plan: MeasurementPlan, measurements: Iterable[Measurement]) -> tuple[Effect, ...]:
    """The ratio of every variant to the plan's reference, for each task, with its verdict.

    Verdicts "faster" and "slower" of one task hold together at 5 % (Holm over its variants); the intervals printed
    are those of each ratio alone.
    """
    stored = list(measurements)
    effects: list[Effect] = []
    for task in plan.tasks:
        others = [v.name for v in plan.variants if v != plan.reference]
        differences = {name: paired_differences(stored, task, name, plan.reference.name) for name in others}
        bound = math.log1p(plan.margin)
        p_values = [
            min(1.0, 2 * min(one_sided_p(d, bound), one_sided_p([-x for x in d], bound))) for d in differences.values()
        ]
        for name, significant in zip(others, holm(p_values), strict=True):
            effect = paired_effect(differences[name], plan.margin)
            effect = replace(effect, task=task, variant=name, reference=plan.reference.name)
            effect = _with_holm(effect, significant, len(others))
            effects.append(_with_load(_with_devices(effect, stored), stored))
    return tuple(effects)


def paired_effect(differences: Sequence[float], margin: float) -> Effect:
    """The effect of paired log differences; task and names are left empty.

    Args:
        differences: one per block, log of the variant's time minus log of the reference's.
        margin: the practical margin, 0.03 for 3 %.
    """
    n = len(differences)
    t95 = t_interval(differences)
    ranks, ranks90 = signed_rank_interval(differences), signed_rank_interval(differences, 0.90)
    if ranks is not None and ranks90 is not None:
        method, chosen, chosen90 = SIGNED_RANK, ranks, ranks90
    else:
        method, chosen, chosen90 = PAIRED_T, t95, t_interval(differences, 0.90)
    verdict = verdict_of(n, chosen, chosen90, margin)
    return Effect(
        task="",
        metric="step",
        variant="",
        reference="",
        ratio=math.exp(chosen.estimate),
        low=_exp(chosen.low),
        high=_exp(chosen.high),
        low90=_exp(chosen90.low),
        high90=_exp(chosen90.high),
        t_low=_exp(t95.low),
        t_high=_exp(t95.high),
        blocks=n,
        method=method,
        margin=margin,
        verdict=verdict,
        note=_note(differences, chosen, t95, verdict, margin),
    )


def verdict_of(n: int, interval: Interval, interval90: Interval, margin: float) -> EffectVerdict:
    """The verdict of n pairs from their 95 % and 90 % intervals on the log scale; the latter tests equivalence."""
    if n == 0:
        return "not comparable"
    bound = math.log1p(margin)
    if n < FEWEST_FOR_T:
        return "inconclusive"
    if interval.low > bound:
        return "slower"
    if interval.high < -bound:
        return "faster"
    return "equivalent" if -bound < interval90.low and interval90.high < bound else "inconclusive"


def _note(differences: Sequence[float], chosen: Interval, t95: Interval, verdict: EffectVerdict, margin: float) -> str:
    """Sentences for a reader, joined by `NOTE_SEPARATOR`; each is a message of its own for translation."""
    n = len(differences)
    notes = []
    if n == 0:
        note = "no block in which both variants ran to the end"
        notes.append(note)
    elif n < FEWEST_FOR_T:
        note = f"{n} blocks are too few for a verdict, at least {FEWEST_FOR_T} are needed"
        notes.append(note)
    elif n < FEWEST_FOR_RANKS:
        note = f"preliminary: {n} blocks give a wide interval, the signed-rank one needs {FEWEST_FOR_RANKS}"
        notes.append(note)
    if verdict == "inconclusive" and n >= FEWEST_FOR_T:
        note = f"about {blocks_needed(differences, margin)} blocks would be needed for a verdict"
        notes.append(note)
    widths = chosen.high - chosen.low, t95.high - t95.low
    if n >= FEWEST_FOR_RANKS and max(widths) > 1.5 * min(widths):
        note = "the paired-t interval and the signed-rank interval differ by more than 1.5 times in width"
        notes.append(note)
    outliers = tukey_outliers(differences)
    if outliers:
        note = f"{len(outliers)} of {n} blocks lie outside Tukey's fences and are kept"
        notes.append(note)
    return NOTE_SEPARATOR.join(notes)


def _with_holm(effect: Effect, significant: bool, family: int) -> Effect:
    if effect.verdict not in ("faster", "slower") or significant:
        return effect
    note = f"{effect.verdict} alone, but not together with the other variants (Holm, {family} comparisons)"
    return replace(effect, verdict="inconclusive", note=NOTE_SEPARATOR.join(filter(None, (effect.note, note))))


def _with_devices(effect: Effect, measurements: Iterable[Measurement]) -> Effect:
    """Not comparable if the two variants ran on devices of different kinds."""
    kinds: dict[str, set[str]] = {effect.variant: set(), effect.reference: set()}
    for m in measurements:
        if m.task == effect.task and m.purpose == "time" and m.status == "ok" and m.variant in kinds:
            kinds[m.variant].add(str(m.environment.get("device", {}).get("kind", "")))
    own, other = kinds[effect.variant], kinds[effect.reference]
    if own == other or not own or not other:
        return effect
    note = f"{effect.variant} ran on {'/'.join(sorted(own))}, {effect.reference} on {'/'.join(sorted(other))}"
    return replace(effect, verdict="not comparable", note=note)


def _with_load(effect: Effect, measurements: Iterable[Measurement]) -> Effect:
    """A note if other programs kept the machine busy: the launches themselves make a load of one a CPU at most."""
    timed = [m.environment for m in measurements if m.task == effect.task and m.purpose == "time" and m.status == "ok"]
    shares = [e["load"] / e["cpus"] for e in timed if e.get("load") is not None and e.get("cpus")]
    if not shares or float(np.median(shares)) <= BUSY_LOAD:
        return effect
    note = f"other programs kept the machine busy, with a load of {np.median(shares):.1f} on each CPU"
    return replace(effect, note=NOTE_SEPARATOR.join(filter(None, (effect.note, note))))


def blocks_needed(differences: Sequence[float], margin: float) -> int:
    """Blocks at which the 95 % interval should clear the nearest margin: ``B >= (t_{.975,B-1} s / h)**2``, iterated.

    h is the distance from the estimate to the nearer bound of the margin, the half-width that would give a verdict.
    """
    d = np.asarray(differences, dtype=np.float64)
    bound = math.log1p(margin)
    distance = max(min(abs(float(d.mean()) - bound), abs(float(d.mean()) + bound)), bound / 10)
    blocks = FEWEST_FOR_RANKS
    while blocks < 10_000:
        half = float(stats.t.ppf(0.975, blocks - 1)) * float(d.std(ddof=1)) / math.sqrt(blocks)
        if half <= distance and blocks > len(d):
            break
        blocks = max(blocks + 1, math.ceil(blocks * 1.05))
    return blocks


def tukey_outliers(differences: Sequence[float]) -> list[int]:
    """Positions beyond 1.5 interquartile ranges from the quartiles: labels for a reader, nothing is dropped."""
    if len(differences) < 4:
        return []
    low, high = np.quantile(differences, [0.25, 0.75])
    reach = 1.5 * (high - low)
    return [i for i, d in enumerate(differences) if not low - reach <= d <= high + reach]


def _exp(value: float) -> float:
    return math.inf if value == math.inf else math.exp(value)
