"""What the charts of a recommendation show, as positions in percent; drawn by templates/choice_charts.html.j2."""

from __future__ import annotations

import itertools
from dataclasses import dataclass

from regauge.decide.assess import FIRM
from regauge.decide.recommendation import Recommendation
from regauge.report.choice_view import name_of, percent
from regauge.report.scales import Axis, Tick

_SHARES = (0.0, 0.25, 0.5, 0.75, 1.0)


@dataclass(frozen=True)
class ShareBar:
    """One candidate: how often it ranks first, and the ranks after that, stacked; widths in percent of the track."""

    candidate: str
    label: str
    segments: tuple[tuple[int, float, float], ...]  # rank, start, width
    text: str


@dataclass(frozen=True)
class ShareChart:
    """Acceptability of every candidate that was compared; `firm` is where a firm choice begins."""

    axis: Axis
    firm: float
    bars: tuple[ShareBar, ...]


@dataclass(frozen=True)
class ShiftLine:
    """First-rank share of one candidate over the factor on a weight, as segments (x1, y1, x2, y2) in percent."""

    candidate: str
    label: str
    segments: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class ShiftPlot:
    """How the answer moves with the weight of one criterion."""

    criterion: str
    factors: Axis
    shares: Axis
    present: float
    firm: float
    lines: tuple[ShiftLine, ...]


def share_axis() -> Axis:
    """0 to 100 %."""
    axis = Axis(0.0, 1.0, log=False)
    return Axis(0.0, 1.0, False, tuple(Tick(axis.at(share), f"{share:.0%}") for share in _SHARES))


def share_chart(recommendation: Recommendation) -> ShareChart:
    """The acceptability chart; candidates with open needs have no bar."""
    axis = share_axis()
    bars = []
    for row in recommendation.ranking:
        reached, segments = 0.0, []
        for rank, share in enumerate(row.ranks, start=1):
            start = axis.at(reached)
            reached = min(1.0, reached + share)
            segments.append((rank, start, round(axis.at(reached) - start, 2)))
        text = percent(row.acceptability) if row.ranks else "–"
        bars.append(ShareBar(row.candidate, name_of(row.candidate), tuple(segments), text))
    return ShareChart(axis, axis.at(FIRM), tuple(bars))


def shift_plots(recommendation: Recommendation) -> tuple[ShiftPlot, ...]:
    """One plot for each criterion that has a weight; none where nobody is compared."""
    shares = share_axis()
    plots = []
    for shift in recommendation.shifts:
        ends = Axis(shift.factors[0], shift.factors[-1], log=True)
        ticks = tuple(Tick(ends.at(factor), label) for factor, label in _FACTORS if ends.contains(factor))
        factors = Axis(ends.low, ends.high, True, ticks)
        lines = tuple(
            ShiftLine(name, name_of(name), _segments(factors, shares, shift.factors, values))
            for name, values in shift.shares.items()
        )
        plots.append(ShiftPlot(shift.criterion, factors, shares, factors.at(1.0), _down(shares, FIRM), lines))
    return tuple(plots)


_FACTORS = ((1 / 16, "×1/16"), (1 / 4, "×1/4"), (1.0, "×1"), (4.0, "×4"), (16.0, "×16"))


def _segments(
    factors: Axis, shares: Axis, xs: tuple[float, ...], ys: tuple[float, ...]
) -> tuple[tuple[float, float, float, float], ...]:
    points = [(factors.at(x), _down(shares, y)) for x, y in zip(xs, ys, strict=True)]
    return tuple((*left, *right) for left, right in itertools.pairwise(points))


def _down(axis: Axis, share: float) -> float:
    """SVG counts from the top."""
    return round(100 - axis.at(share), 2)
