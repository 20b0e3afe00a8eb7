"""What the charts of a check show, as positions in percent; drawn by templates/check_charts.html.j2."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from regauge.report.scales import Axis, Tick, exponent_axis
from regauge.report.view import tensor_rows
from regauge.report.wording import count_text, distance_text
from regauge.verify.result import Check, ModuleDistance, Tier
from regauge.verify.tolerance import LIMITS

# Below this a distance in float64 is rounding that says nothing; zero is drawn here.
_LEAST = 1e-18
_EPS = 2.0**-53  # the axis reaches down to the rounding of float64, so that zero lies far below the limit
_LEAST_SHARE, _MOST_SHARE = 1e-9, 1e9
_MOST_LABELS = 6

Arithmetic = Literal["float64", "float32"]


@dataclass(frozen=True)
class Mark:
    """One module: `x` from the first (left) to the last, `y` from the top, in percent; `text` for who does not see."""

    x: float
    y: float
    text: str
    passed: bool


@dataclass(frozen=True)
class Series:
    """The distances of one arithmetic, in order of the forward pass."""

    arithmetic: Arithmetic
    marks: tuple[Mark, ...]
    segments: tuple[tuple[float, float, float, float], ...]


@dataclass(frozen=True)
class DepthPlot:
    """How far apart the two models are along the depth of the network, on a logarithmic axis.

    Attributes:
        distances: the vertical axis.
        limit: height of the float64 limit, from the top.
        series: float64, and float32 where it was run.
        first: where the first module beyond the limit stands, None without one.
        label: its name.
        modules: names along the axis, at their places.
    """

    distances: Axis
    limit: float
    series: tuple[Series, ...]
    first: float | None
    label: str
    modules: tuple[Tick, ...]


@dataclass(frozen=True)
class Column:
    """Tensors whose distance over its limit lies in one decade; positions in percent, height from the bottom."""

    x: float
    width: float
    height: float
    text: str
    beyond: bool


@dataclass(frozen=True)
class Histogram:
    """How many tensors of one tier lie how far below or above their limits."""

    tier: str
    tensors: int
    shares: Axis
    limit: float
    columns: tuple[Column, ...]


def depth_plot(modules: Sequence[ModuleDistance]) -> DepthPlot | None:
    """The divergence along the network; None where no module was compared."""
    if not modules:
        return None
    values = [v for m in modules for v in (m.distance, m.distance32) if v is not None]
    top = LIMITS.same_norm if all(map(math.isfinite, values)) else 1.0  # what is not finite stands above the limit
    axis = exponent_axis([*values, top, LIMITS.same_norm, _EPS], _LEAST, _power)
    places = [_along(index, len(modules)) for index in range(len(modules))]
    series = [_series("float64", axis, places, modules, [m.distance for m in modules])]
    if any(module.distance32 is not None for module in modules):
        series.append(_series("float32", axis, places, modules, [m.distance32 for m in modules]))
    first = next((index for index, module in enumerate(modules) if not module.passed), None)
    return DepthPlot(
        axis,
        _down(axis, LIMITS.same_norm),
        tuple(series),
        None if first is None else places[first],
        "" if first is None else modules[first].module,
        _labels(places, modules),
    )


def histograms(check: Check) -> tuple[Histogram, ...]:
    """One for the float64 tiers and one for the tiers in the models' own precision, where tensors were compared."""
    found = (
        _histogram(group, [tier for tier in check.tiers if tier.name.startswith(group)])
        for group in ("tier 1", "tier 2")
    )
    return tuple(histogram for histogram in found if histogram is not None)


def _series(
    name: Arithmetic,
    axis: Axis,
    places: Sequence[float],
    modules: Sequence[ModuleDistance],
    values: Sequence[float | None],
) -> Series:
    marks = [
        Mark(x, _down(axis, value), f"{module.module or '()'}: {distance_text(value)}", module.passed)
        for x, module, value in zip(places, modules, values, strict=True)
        if value is not None
    ]
    pairs = itertools.pairwise(marks)
    return Series(name, tuple(marks), tuple((one.x, one.y, other.x, other.y) for one, other in pairs))


def _labels(places: Sequence[float], modules: Sequence[ModuleDistance]) -> tuple[Tick, ...]:
    """The first, the last and some module between."""
    step = max(1, math.ceil((len(modules) - 1) / (_MOST_LABELS - 1)))
    return tuple(Tick(places[i], str(i + 1)) for i in range(0, len(modules), step))


def _along(index: int, count: int) -> float:
    axis = Axis(0.0, max(1.0, float(count - 1)), log=False)
    return axis.at(float(index))


def _down(axis: Axis, value: float) -> float:
    """SVG counts from the top; what is not finite stands at the top, zero at the bottom."""
    held = value if math.isfinite(value) else axis.high
    return round(100 - axis.at(max(held, axis.low)), 2)


def _histogram(group: str, tiers: Iterable[Tier]) -> Histogram | None:
    rows = tensor_rows(tiers)
    if not rows:
        return None
    decades = Counter(_decade(row.share) for row in rows)
    low, high = min(*decades, -1), max(*decades, 0)
    axis = exponent_axis([10.0**low, 10.0 ** (high + 1)], _LEAST_SHARE, _power)
    tallest = max(decades.values())
    columns = []
    for decade, count in sorted(decades.items()):
        left, right = axis.at(10.0**decade), axis.at(10.0 ** (decade + 1))
        text = f"{_power(10.0**decade)} – {_power(10.0 ** (decade + 1))}: {count_text(count)}"
        columns.append(Column(left, round(right - left, 2), round(100 * count / tallest, 2), text, decade >= 0))
    return Histogram(group, len(rows), axis, axis.at(1.0), tuple(columns))


def _decade(share: float) -> int:
    """The exponent of the decade that a share lies in; zero and what is not finite are held at the ends."""
    if math.isnan(share):
        share = math.inf
    held = min(max(share, _LEAST_SHARE), _MOST_SHARE / 10)
    # a tensor that is exactly at its limit passes: it belongs below
    return math.ceil(math.log10(held) - 1e-12) - 1 if held > _LEAST_SHARE else round(math.log10(_LEAST_SHARE))


def _power(value: float) -> str:
    return f"1e{round(math.log10(value))}" if value != 1 else "1"
