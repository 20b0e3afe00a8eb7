"""What the charts show, as positions in percent: computed here, drawn as inline SVG by templates/charts.html.j2.

Hand-made SVG rather than a charting library: five small static charts do not need megabytes of script in a file that
is kept and mailed, and every mark can carry a text for readers who do not see it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from regauge.measure.result import Effect, MeasurementPlan
from regauge.report.document import Document
from regauge.report.figures import (
    COMPILE_PURPOSES,
    Launch,
    break_evens,
    launches,
    memory_uses,
    start_costs,
    step_times,
    tasks_of,
    variants_of,
)
from regauge.report.scales import Axis, amount_axis, ratio_axis, spread_axis
from regauge.report.wording import (
    bytes_text,
    bytes_tick,
    count_text,
    is_preliminary,
    ratio_text,
    ratio_tick,
    seconds_text,
    seconds_tick,
)

Parts = tuple[tuple[str, float], ...]


@dataclass(frozen=True)
class Interval:
    """One row of the ratio plot; positions in percent, `left` and `right` of the 95 % interval."""

    effect: Effect
    left: float
    right: float
    left90: float
    right90: float
    point: float
    text: str
    preliminary: bool


@dataclass(frozen=True)
class RatioPlot:
    """Time ratios against the reference on one logarithmic axis; the band is the practical margin."""

    reference: str
    axis: Axis
    one: float
    band: tuple[float, float]
    rows: tuple[Interval, ...]


@dataclass(frozen=True)
class LaunchMark:
    """One launch as whisker (5 % to 95 %), box (quartiles) and median; a failed one has no positions."""

    launch: Launch
    whisker: tuple[float, float] = (0.0, 0.0)
    box: tuple[float, float] = (0.0, 0.0)
    median: float = 0.0


@dataclass(frozen=True)
class Spread:
    """All timing launches of one variant, from the first block down to the last."""

    variant: str
    marks: tuple[LaunchMark, ...]
    median: float | None
    median_text: str


@dataclass(frozen=True)
class SpreadPlot:
    """Step times of one task."""

    task: str
    axis: Axis
    rows: tuple[Spread, ...]


@dataclass(frozen=True)
class Segment:
    """A part of a bar: from `start`, `width` wide, both in percent."""

    name: str
    start: float
    width: float
    text: str


@dataclass(frozen=True)
class Bar:
    """One bar with its parts in order and the text at its end."""

    label: str
    purpose: str
    segments: tuple[Segment, ...]
    text: str


@dataclass(frozen=True)
class BarChart:
    """Bars of one task on one axis from zero."""

    task: str
    axis: Axis
    bars: tuple[Bar, ...]


@dataclass(frozen=True)
class CostLine:
    """Total time of one variant: from the start cost at step 0 to `steps` steps; y in percent from the top."""

    variant: str
    start: float
    end: float
    text: str


@dataclass(frozen=True)
class BreakEvenPlot:
    """Total time over the number of steps; lines cross where a slower start has paid off."""

    task: str
    steps: int
    steps_axis: Axis
    seconds_axis: Axis
    lines: tuple[CostLine, ...]
    crossings: tuple[tuple[float, str], ...]


def ratio_plot(effects: Sequence[Effect], plan: MeasurementPlan | None) -> RatioPlot | None:
    """The ratio plot of all comparable effects; None when there is none."""
    shown = [effect for effect in effects if effect.verdict != "not comparable" and math.isfinite(effect.ratio)]
    if not shown:
        return None
    margin = max(effect.margin for effect in shown)
    ends = [end for e in shown for end in (e.low, e.high, e.ratio)]
    axis = ratio_axis([*ends, 1 / (1 + margin), 1 + margin], ratio_tick)
    rows = tuple(
        Interval(
            effect,
            left=_held(axis, effect.low),
            right=_held(axis, effect.high),
            left90=_held(axis, effect.low90),
            right90=_held(axis, effect.high90),
            point=_held(axis, effect.ratio),
            text=f"{ratio_text(effect.ratio)} [{ratio_text(effect.low)}, {ratio_text(effect.high)}]",
            preliminary=is_preliminary(effect, plan),
        )
        for effect in shown
    )
    reference = ", ".join(dict.fromkeys(effect.reference for effect in shown))
    return RatioPlot(reference, axis, axis.at(1.0), (axis.at(1 / (1 + margin)), axis.at(1 + margin)), rows)


def spread_plots(document: Document) -> tuple[SpreadPlot, ...]:
    """One plot of launches for every task that was timed."""
    plots = []
    for task in tasks_of(document.measurements):
        shown = launches(document.measurements, task)
        if not shown:
            continue
        axis = spread_axis([v for x in shown if not x.failed for v in (x.p5, x.p95)], seconds_tick)
        medians = {r.variant: r.median for r in step_times(document.measurements, document.plan) if r.task == task}
        rows = tuple(
            Spread(
                variant,
                tuple(_mark(launch, axis) for launch in shown if launch.variant == variant),
                None if medians[variant] is None else axis.at(medians[variant] or 0.0),
                seconds_text(medians[variant]),
            )
            for variant in variants_of(document.measurements, document.plan)
            if variant in medians
        )
        plots.append(SpreadPlot(task, axis, rows))
    return tuple(plots)


def start_charts(document: Document) -> tuple[BarChart, ...]:
    """Seconds to the end of the first step, cold and warm, in stacked phases."""
    costs = start_costs(document.measurements, document.plan)
    charts = []
    for task in dict.fromkeys(cost.task for cost in costs):
        own = [cost for cost in costs if cost.task == task]
        axis = amount_axis([cost.total for cost in own], seconds_tick)
        bars = tuple(
            Bar(cost.variant, cost.purpose, _stack(cost.phases, axis, seconds_text), seconds_text(cost.total))
            for cost in own
        )
        charts.append(BarChart(task, axis, bars))
    return tuple(charts)


def memory_charts(document: Document) -> tuple[BarChart, ...]:
    """Peak host memory, split at the import of the framework, and peak device memory where it is known."""
    uses = memory_uses(document.measurements, document.plan)
    charts = []
    for task in dict.fromkeys(use.task for use in uses):
        own = [use for use in uses if use.task == task]
        peaks = [peak for use in own for peak in (use.host_peak, use.host_above_import, use.device_peak) if peak]
        axis = amount_axis(peaks, bytes_tick, units=_unit(max(peaks, default=1)))
        bars = []
        for use in own:
            host = _host_parts(use.host_peak, use.host_above_import)
            if host:
                bars.append(Bar(use.variant, "host", _stack(host, axis, bytes_text), bytes_text(use.host_peak)))
            if use.device_peak is not None:
                device = (("device_peak", float(use.device_peak)),)
                bars.append(Bar(use.variant, "device", _stack(device, axis, bytes_text), bytes_text(use.device_peak)))
        charts.append(BarChart(task, axis, tuple(bars)))
    return tuple(charts)


def break_even_plots(document: Document) -> tuple[BreakEvenPlot, ...]:
    """One plot for every task in which the slower start of some variant pays off at a known number of steps."""
    points = [point for point in break_evens(document.measurements, document.plan) if point.steps]
    costs = {
        (c.task, c.variant): c.total
        for c in start_costs(document.measurements, document.plan)
        if c.purpose == COMPILE_PURPOSES[0]
    }
    times = {(r.task, r.variant): r.median for r in step_times(document.measurements, document.plan)}
    plots = []
    for task in dict.fromkeys(point.task for point in points):
        own = [point for point in points if point.task == task]
        steps = math.ceil(max(point.steps or 0 for point in own) * 1.6)
        totals = {
            variant: (start, start + steps * (times.get((task, variant)) or 0.0))
            for (owner, variant), start in costs.items()
            if owner == task and times.get((task, variant)) is not None
        }
        seconds_axis = amount_axis([end for _, end in totals.values()], seconds_tick, units=_time_unit(totals))
        steps_axis = amount_axis([float(steps)], lambda value: count_text(round(value)))
        lines = tuple(
            CostLine(variant, round(100 - seconds_axis.at(start), 2), round(100 - seconds_axis.at(end), 2), variant)
            for variant, (start, end) in totals.items()
        )
        crossings = tuple((steps_axis.at(point.steps or 0), point.variant) for point in own)
        plots.append(BreakEvenPlot(task, steps, steps_axis, seconds_axis, lines, crossings))
    return tuple(plots)


def _held(axis: Axis, value: float) -> float:
    return axis.at(value if math.isfinite(value) and value > 0 else (axis.low if value <= 0 else axis.high))


def _mark(launch: Launch, axis: Axis) -> LaunchMark:
    if launch.failed:
        return LaunchMark(launch)
    p5, p25, median, p75, p95 = (
        axis.at(value) for value in (launch.p5, launch.p25, launch.median, launch.p75, launch.p95)
    )
    return LaunchMark(launch, (p5, p95), (p25, p75), median)


def _stack(parts: Parts, axis: Axis, text: Callable[[float], str]) -> tuple[Segment, ...]:
    segments = []
    reached = 0.0
    for name, amount in parts:
        start = axis.at(reached)
        reached += amount
        segments.append(Segment(name, start, round(axis.at(reached) - start, 2), text(amount)))
    return tuple(segments)


def _host_parts(peak: int | None, above: int | None) -> Parts:
    if peak is None:
        return () if above is None else (("host_above_import", float(above)),)
    if above is None or above > peak:
        return (("host_peak", float(peak)),)
    return (("host_at_import", float(peak - above)), ("host_above_import", float(above)))


def _time_unit(totals: Mapping[str, tuple[float, float]]) -> float:
    """Ticks fall on whole minutes as soon as the axis is minutes long."""
    return 60.0 if max((end for _, end in totals.values()), default=0.0) > 300 else 1.0


def _unit(peak: float) -> float:
    return next((unit for unit in (2.0**30, 2.0**20, 2.0**10) if peak >= unit), 1.0)
