"""The self-test: one variant against itself, so that the interval's claims are tested on the machine in use.

Every launch is a real one of the same variant, so the true ratio of any two is 1. Windows of consecutive launches are
drawn from the sequence; neighbours are paired as in a block, a coin decides which of the two is called "variant", and
the interval and the verdict are computed as for a real comparison. Windows overlap: what is tested is the interval on
launches of this machine with their drift, not the carry-over between two different variants.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from regauge.errors import WorkerFailed
from regauge.measure.plan import Launch
from regauge.measure.result import Measurement, MeasurementPlan, Variant
from regauge.measure.runner import Progress, run_launches
from regauge.measure.statistics import (
    FEWEST_FOR_RANKS,
    NOTE_SEPARATOR,
    Interval,
    log_median,
    signed_rank_interval,
    t_interval,
    verdict_of,
)
from regauge.measure.store import Store
from regauge.run.launch import Interpreters

DRAWS = 2000
LAUNCHES = 40
QUICK_LAUNCHES = 24
LOWEST_COVERAGE = 0.92


@dataclass(frozen=True)
class SelfTest:
    """What the interval achieved where the truth is known.

    Attributes:
        variant: the variant that was compared with itself; `task` is what it ran.
        launches: real launches that ended well.
        blocks: pairs in one trial, as in the comparison that this stands for.
        trials: windows drawn from the launches; they overlap, so they are not independent.
        coverage: share of trials whose 95 % interval holds the true ratio 1.
        false_verdicts: share of trials with the verdict faster or slower.
        resolution: median half-width of the intervals as a ratio minus 1: the smallest effect that can be seen.
        carry_over: ratio of the second to the first launch of neighbouring pairs, with its 95 % interval.
        passed: whether coverage is at least 0.92 and the carry-over interval holds 1.
    """

    task: str
    variant: str
    launches: int
    blocks: int
    trials: int
    coverage: float
    false_verdicts: float
    resolution: float
    carry_over: float
    carry_over_low: float
    carry_over_high: float
    passed: bool
    note: str = ""

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def self_test(
    plan: MeasurementPlan,
    case: str,
    folder: Path,
    store: Store,
    *,
    variant: Variant | None = None,
    task: str | None = None,
    launches: int | None = None,
    interpreters: Interpreters | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> SelfTest:
    """Launch one variant many times and test the interval on it.

    Args:
        plan: gives threads, precision, steps, the margin and the number of blocks of one trial.
        variant: the plan's reference when None; `task` is the plan's first when None.
        launches: 40 when None, 24 for a quick plan.
        options: for `runner.run_launches`.

    Raises:
        WorkerFailed: fewer launches ended well than one trial needs.
        RegaugeError: as `run_plan`.
    """
    chosen, wanted = variant or plan.reference, task or plan.tasks[0]
    count = launches or (QUICK_LAUNCHES if plan.quick else LAUNCHES)
    items = [Launch(chosen, (wanted,), ("self-test",), number, 0) for number in range(count)]
    plan = replace(plan, tasks=(wanted,), variants=(chosen,), reference=chosen)
    measurements = run_launches(
        plan, items, case, folder, store, interpreters=interpreters, progress=progress, **options
    )
    own = [m for m in measurements if m.purpose == "self-test" and m.block < count]
    return evaluate(own, blocks=max(plan.blocks, FEWEST_FOR_RANKS), margin=plan.margin, seed=plan.seed)


def evaluate(measurements: Sequence[Measurement], *, blocks: int, margin: float, seed: int) -> SelfTest:
    """The self-test of launches that were made one after the other.

    Args:
        blocks: pairs in one trial; at most half of the launches are used for one.
        margin: of the verdict.
        seed: of the draws.
    """
    found = [log_median(m) for m in sorted(measurements, key=lambda m: m.block)]
    observations = np.array([y for y in found if y is not None])
    blocks = min(blocks, len(observations) // 2)
    if blocks < FEWEST_FOR_RANKS:
        raise WorkerFailed(
            f"the self-test needs {2 * FEWEST_FOR_RANKS} launches that end well",
            received=f"{len(observations)} of {len(found)}",
            details=[m.error["what"] for m in measurements if m.error][:3],
            next="the stored launches say what failed",
        )
    source = np.random.default_rng(seed)
    trials = [_trial(observations, blocks, margin, source) for _ in range(DRAWS)]
    carry_over = _carry_over(observations)
    coverage = float(np.mean([covered for covered, _, _ in trials]))
    passed = coverage >= LOWEST_COVERAGE and carry_over.low <= 0 <= carry_over.high
    return SelfTest(
        task=measurements[0].task,
        variant=measurements[0].variant,
        launches=len(observations),
        blocks=blocks,
        trials=DRAWS,
        coverage=coverage,
        false_verdicts=float(np.mean([wrong for _, wrong, _ in trials])),
        resolution=math.expm1(float(np.median([half for _, _, half in trials]))),
        carry_over=math.exp(carry_over.estimate),
        carry_over_low=math.exp(carry_over.low),
        carry_over_high=math.exp(carry_over.high),
        passed=passed,
        note=_note(coverage, carry_over, len(observations), blocks),
    )


def _trial(
    observations: np.ndarray, blocks: int, margin: float, source: np.random.Generator
) -> tuple[bool, bool, float]:
    """Whether the interval holds 0, whether the verdict is wrong, and half the interval's width, of one window."""
    start = int(source.integers(0, len(observations) - 2 * blocks + 1))
    pairs = observations[start : start + 2 * blocks].reshape(blocks, 2)
    differences = ((pairs[:, 1] - pairs[:, 0]) * source.choice((-1.0, 1.0), blocks)).tolist()
    interval = signed_rank_interval(differences) or t_interval(differences)
    interval90 = signed_rank_interval(differences, 0.90) or t_interval(differences, 0.90)
    verdict = verdict_of(blocks, interval, interval90, margin)
    covered = interval.low <= 0 <= interval.high
    return covered, verdict in ("faster", "slower"), (interval.high - interval.low) / 2


def _carry_over(observations: np.ndarray) -> Interval:
    pairs = observations[: len(observations) // 2 * 2].reshape(-1, 2)
    differences = (pairs[:, 1] - pairs[:, 0]).tolist()
    return signed_rank_interval(differences) or t_interval(differences)


def _note(coverage: float, carry_over: Interval, launches: int, blocks: int) -> str:
    note = f"windows of {2 * blocks} neighbouring launches out of {launches}, labels by coin"
    notes = [note]
    if coverage < LOWEST_COVERAGE:
        note = "the interval is too narrow on this machine: more blocks or a quieter machine are needed"
        notes.append(note)
    if not carry_over.low <= 0 <= carry_over.high:
        note = "the second launch of a pair differs from the first: the machine drifts while a block lasts"
        notes.append(note)
    separate = launches // (2 * blocks)
    if separate < 10:
        note = f"{separate} windows fit without overlap, so the coverage is a rough figure"
        notes.append(note)
    return NOTE_SEPARATOR.join(notes)
