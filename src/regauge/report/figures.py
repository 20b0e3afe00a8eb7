"""Figures derived from the raw launches of a document: what the tables and charts of both renderings show.

Every figure is a median over the launches of one variant; ratios and their verdicts come from `measure`, never
from here.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from regauge.measure.result import Measurement, MeasurementPlan

# Phases of a start that follow one another; what a framework does not report is left out.
START_PHASES = ("import", "build", "compile", "first_step")
COMPILE_PURPOSES = ("compile-cold", "compile-warm")


@dataclass(frozen=True)
class Launch:
    """The spread of the steps of one launch, in seconds."""

    variant: str
    block: int
    steps: int
    p5: float
    p25: float
    median: float
    p75: float
    p95: float
    failed: bool = False


@dataclass(frozen=True)
class StepTime:
    """One variant's step time: median of launch medians and the range of those, in seconds."""

    task: str
    variant: str
    launches: int
    failed: int
    median: float | None
    lowest: float | None
    highest: float | None


@dataclass(frozen=True)
class StartCost:
    """Seconds of each phase up to the end of the first step; medians over `launches` launches."""

    task: str
    variant: str
    purpose: str
    launches: int
    phases: tuple[tuple[str, float], ...]

    @property
    def total(self) -> float:
        return sum(seconds for _, seconds in self.phases)


@dataclass(frozen=True)
class MemoryUse:
    """Peak bytes of one variant; `device_peak` is None where the framework reports none."""

    task: str
    variant: str
    launches: int
    host_peak: int | None
    host_above_import: int | None
    device_peak: int | None


@dataclass(frozen=True)
class BreakEven:
    """Steps after which the slower start of `variant` has paid off against `reference`.

    `steps` is None when it never does (`never`) or when it is ahead from the first step.
    """

    task: str
    variant: str
    reference: str
    steps: int | None
    never: bool


def tasks_of(measurements: Iterable[Measurement]) -> tuple[str, ...]:
    """Tasks in the order of a project's life: training first, then inference, then others."""
    known = {"train": 0, "infer": 1}
    return tuple(sorted({m.task for m in measurements}, key=lambda task: (known.get(task, 2), task)))


def variants_of(measurements: Iterable[Measurement], plan: MeasurementPlan | None) -> tuple[str, ...]:
    """Variants in the plan's order, then those that only the measurements know."""
    planned = [variant.name for variant in plan.variants] if plan else []
    return tuple(dict.fromkeys([*planned, *sorted({m.variant for m in measurements})]))


def failures(measurements: Iterable[Measurement]) -> tuple[Measurement, ...]:
    """Launches that did not end well, in order."""
    return tuple(m for m in measurements if m.status != "ok")


def launches(measurements: Sequence[Measurement], task: str) -> tuple[Launch, ...]:
    """Spread of every timing launch of a task, by block; a failed one carries no times."""
    found = []
    for m in measurements:
        if m.task != task or m.purpose != "time":
            continue
        times = [sample for sample in m.samples if sample > 0 and math.isfinite(sample)]
        if m.status != "ok" or not times:
            found.append(Launch(m.variant, m.block, 0, math.nan, math.nan, math.nan, math.nan, math.nan, failed=True))
        else:
            p5, p25, p50, p75, p95 = (quantile(times, share) for share in (0.05, 0.25, 0.5, 0.75, 0.95))
            found.append(Launch(m.variant, m.block, len(times), p5, p25, p50, p75, p95))
    return tuple(sorted(found, key=lambda launch: (launch.block, launch.variant)))


def quantile(values: Sequence[float], share: float) -> float:
    """Linear interpolation between order statistics, as numpy's default."""
    ordered = sorted(values)
    position = share * (len(ordered) - 1)
    low = math.floor(position)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (position - low) * (ordered[high] - ordered[low])


def step_times(measurements: Sequence[Measurement], plan: MeasurementPlan | None) -> tuple[StepTime, ...]:
    """Step time of every task and variant that was launched for timing."""
    rows = []
    for task in tasks_of(measurements):
        spread = launches(measurements, task)
        for variant in variants_of(measurements, plan):
            own = [launch for launch in spread if launch.variant == variant]
            if not own:
                continue
            medians = [launch.median for launch in own if not launch.failed]
            rows.append(
                StepTime(
                    task,
                    variant,
                    len(medians),
                    len(own) - len(medians),
                    statistics.median(medians) if medians else None,
                    min(medians, default=None),
                    max(medians, default=None),
                )
            )
    return tuple(rows)


def start_costs(measurements: Sequence[Measurement], plan: MeasurementPlan | None) -> tuple[StartCost, ...]:
    """Cold and warm start of every task and variant, from the launches made for that purpose."""
    rows = []
    for task in tasks_of(measurements):
        for variant in variants_of(measurements, plan):
            for purpose in COMPILE_PURPOSES:
                own = _of(measurements, task, variant, purpose)
                phases = [(phase, _median(m.phases.get(phase) for m in own)) for phase in START_PHASES]
                known = tuple((phase, seconds) for phase, seconds in phases if seconds is not None)
                if known:
                    rows.append(StartCost(task, variant, purpose, len(own), known))
    return tuple(rows)


def memory_uses(measurements: Sequence[Measurement], plan: MeasurementPlan | None) -> tuple[MemoryUse, ...]:
    """Peak memory of every task and variant, from the launches made for that purpose."""
    rows = []
    for task in tasks_of(measurements):
        for variant in variants_of(measurements, plan):
            own = _of(measurements, task, variant, "memory")
            peaks = [
                _median(m.memory.get(name) for m in own) for name in ("host_peak", "host_above_import", "device_peak")
            ]
            if any(peak is not None for peak in peaks):
                rows.append(
                    MemoryUse(task, variant, len(own), *[None if peak is None else round(peak) for peak in peaks])
                )
    return tuple(rows)


def break_evens(measurements: Sequence[Measurement], plan: MeasurementPlan | None) -> tuple[BreakEven, ...]:
    """``N* = (C_variant - C_reference) / (t_reference - t_variant)`` with cold starts C and step times t."""
    if plan is None:
        return ()
    costs = {
        (cost.task, cost.variant): cost.total
        for cost in start_costs(measurements, plan)
        if cost.purpose == "compile-cold"
    }
    times = {(row.task, row.variant): row.median for row in step_times(measurements, plan)}
    rows = []
    for task, variant in costs:
        reference = plan.reference.name
        if variant == reference or (task, reference) not in costs:
            continue
        own, other = times.get((task, variant)), times.get((task, reference))
        if own is None or other is None:
            continue
        extra, gain = costs[task, variant] - costs[task, reference], other - own
        if extra <= 0 and gain < 0:
            continue  # ahead at the start, overtaken later: told from the other side only
        steps = math.ceil(extra / gain) if extra > 0 and gain > 0 else None
        rows.append(BreakEven(task, variant, reference, steps, never=extra > 0 and gain <= 0))
    return tuple(rows)


def _of(measurements: Sequence[Measurement], task: str, variant: str, purpose: str) -> list[Measurement]:
    return [
        m for m in measurements if m.task == task and m.variant == variant and m.purpose == purpose and m.status == "ok"
    ]


def _median(values: Iterable[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return statistics.median(known) if known else None
