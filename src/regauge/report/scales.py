"""Axes of the charts: a value becomes a position in percent of the track's width, with ticks that read well.

Percentages instead of pixels let one drawing fit a phone and a wide screen while its text keeps its size.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

# Room on both sides, in percent of the width, so that marks and tick labels at the ends are not cut.
PADDING = 3.0


@dataclass(frozen=True)
class Tick:
    """One labelled place of an axis, `at` in percent."""

    at: float
    label: str


@dataclass(frozen=True)
class Axis:
    """Maps `low`..`high` linearly or by logarithm to ``PADDING``..``100 - PADDING`` percent."""

    low: float
    high: float
    log: bool
    ticks: tuple[Tick, ...] = ()

    def at(self, value: float) -> float:
        """Position in percent; values outside the axis are held at its ends (`contains` tells)."""
        low, high = self._scaled(self.low), self._scaled(self.high)
        held = min(max(value, self.low), self.high)
        share = (self._scaled(held) - low) / (high - low)
        return round(PADDING + share * (100 - 2 * PADDING), 2)

    def contains(self, value: float) -> bool:
        return self.low <= value <= self.high

    def _scaled(self, value: float) -> float:
        return math.log(value) if self.log else value


def ratio_axis(values: Iterable[float], label: Callable[[float], str]) -> Axis:
    """A logarithmic axis that holds 1 and all finite positive values, so that 2 and 1/2 lie equally far from 1."""
    known = [value for value in values if math.isfinite(value) and value > 0]
    low, high = min([1.0, *known]), max([1.0, *known])
    low, high = min(low / 1.03, 0.95), max(high * 1.03, 1.05)
    return _with_ticks(Axis(low, high, log=True), _ratio_steps(low, high), label)


def amount_axis(values: Iterable[float], label: Callable[[float], str], units: float = 1.0) -> Axis:
    """A linear axis from zero, for lengths that are compared as bars; `units` is the unit that ticks are round in."""
    highest = max((value for value in values if math.isfinite(value)), default=0.0) or units
    return _with_ticks(Axis(0.0, highest, log=False), _round_steps(0.0, highest, units), label)


def spread_axis(values: Iterable[float], label: Callable[[float], str]) -> Axis:
    """An axis for step times: linear while all lie within a factor of four, logarithmic beyond that."""
    known = [value for value in values if math.isfinite(value) and value > 0] or [1.0]
    low, high = min(known), max(known)
    if high > 4 * low:
        axis = Axis(low / 1.1, high * 1.1, log=True)
        return _with_ticks(axis, _decade_steps(axis.low, axis.high), label)
    margin = (high - low) * 0.04 or high * 0.05
    axis = Axis(max(low - margin, 0.0), high + margin, log=False)
    return _with_ticks(axis, _round_steps(axis.low, axis.high, 1.0), label)


def _with_ticks(axis: Axis, values: Iterable[float], label: Callable[[float], str]) -> Axis:
    ticks = tuple(Tick(axis.at(value), label(value)) for value in values if axis.contains(value))
    return Axis(axis.low, axis.high, axis.log, ticks)


def _round_steps(low: float, high: float, units: float, wanted: int = 4) -> list[float]:
    raw = (high - low) / units / wanted
    magnitude = 10.0 ** math.floor(math.log10(raw))
    step = next(factor * magnitude for factor in (1, 2, 2.5, 5, 10) if factor * magnitude >= raw * 0.999) * units
    return [index * step for index in range(math.ceil(low / step), math.floor(high / step) + 1)]


def _decade_steps(low: float, high: float) -> list[float]:
    decades = range(math.floor(math.log10(low)), math.ceil(math.log10(high)) + 1)
    for factors in ((1, 2, 5), (1, 3), (1,)):
        found = [factor * 10.0**decade for decade in decades for factor in factors]
        found = [value for value in found if low <= value <= high]
        if len(found) <= 6:
            return found
    return found[:: math.ceil(len(found) / 6)]


def _ratio_steps(low: float, high: float) -> list[float]:
    if high / low > 8:
        return sorted({1.0, *_decade_steps(low, high)})
    for step in (0.02, 0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0):
        found = [1 + index * step for index in range(math.ceil((low - 1) / step), math.floor((high - 1) / step) + 1)]
        found = [value for value in found if value > 0]
        if len(found) <= 6:
            return found
    return found


def exponent_axis(values: Iterable[float], least: float, label: Callable[[float], str]) -> Axis:
    """A logarithmic axis of whole decades for distances, which span many: finite values, none below `least`."""
    known = [value for value in values if math.isfinite(value) and value > least] or [least]
    low = math.floor(math.log10(max(min(known), least)) + 1e-9)
    high = max(math.ceil(math.log10(max(known)) - 1e-9), low + 1)
    step = max(1, math.ceil((high - low) / 8))
    powers = [10.0**exponent for exponent in range(low, high + 1) if (exponent - low) % step == 0]
    return _with_ticks(Axis(10.0**low, 10.0**high, log=True), powers, label)
