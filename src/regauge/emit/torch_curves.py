"""Schedules of optax as functions of torch: a float64 count of steps in, the rate at it out."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from regauge.emit.expressions import Helpers
from regauge.emit.functions import emit_function
from regauge.emit.schedules import number
from regauge.emit.target import target
from regauge.ir.serial import graph_from_json
from regauge.optax_schedules import (
    CosineDecay,
    Curve,
    ExponentialDecay,
    Joined,
    PiecewiseConstant,
    PiecewiseInterpolate,
    Polynomial,
    Traced,
)


class CurveTexts:
    """Functions of a file, one for each different schedule.

    Args:
        helpers: receives the functions that `ops.py` must hold.

    Attributes:
        texts: of the functions, by name.
    """

    def __init__(self, helpers: Helpers) -> None:
        self.texts: dict[str, str] = {}
        self._helpers = helpers
        self._known: list[tuple[Curve, str]] = []

    def call(self, curve: Curve, name: str, step: str) -> str:
        """A call of the curve's function.

        Args:
            curve: the schedule.
            name: what to call its function, if the file has none of this curve yet.
            step: expression of the count, a float64 tensor.
        """
        if isinstance(curve, Traced):
            step = f"{step}.to(torch.int32)"  # as optax counts
        return f"{self._function(curve, name)}({step})"

    def _function(self, curve: Curve, name: str) -> str:
        known = next((known for one, known in self._known if one == curve), None)
        if known is not None:
            return known
        free, number_of = name, 1
        while free in self.texts:
            number_of += 1
            free = f"{name}_{number_of}"
        self._known.append((curve, free))
        self.texts[free] = ""  # keeps its place before the functions that it calls
        self.texts[free] = self._traced(curve, free) if isinstance(curve, Traced) else _Body(self).text(curve, free)
        return free

    def _traced(self, curve: Traced, name: str) -> str:
        graph = graph_from_json(json.loads(curve.graph))
        held = {key: np.array(values, dtype) for key, (dtype, values) in json.loads(curve.constants).items()}
        return emit_function(graph, target().table(), held, name, ("count",), self._helpers)


class _Body:
    """The body of one function."""

    def __init__(self, functions: CurveTexts) -> None:
        self._functions = functions
        self._lines: list[str] = []
        self._used: dict[str, int] = {}

    def text(self, curve: Curve, name: str) -> str:
        result = self._of(curve, "step")
        shown = f'"""{_title(curve)}"""'
        return "\n    ".join([f"def {name}(step):", shown, *self._lines, f"return {result}"])

    def _let(self, name: str, expression: str) -> str:
        self._used[name] = self._used.get(name, 0) + 1
        free = name if self._used[name] == 1 else f"{name}_{self._used[name]}"
        self._lines.append(f"{free} = {expression}")
        return free

    def _of(self, curve: float | Curve, step: str) -> str:
        """An expression of the rate at `step`, the name of a float64 tensor."""
        if not isinstance(curve, Curve):
            return f"torch.full_like({step}, {number(curve)})"
        if isinstance(curve, Traced):
            return self._functions.call(curve, "schedule", step)
        writers: Mapping[type, Any] = {
            Polynomial: self._polynomial,
            PiecewiseConstant: self._piecewise_constant,
            PiecewiseInterpolate: self._piecewise_interpolate,
            ExponentialDecay: self._exponential,
            CosineDecay: self._cosine,
            Joined: self._joined,
        }
        text: str = writers[type(curve)](curve, step)
        return text

    def _polynomial(self, curve: Polynomial, step: str) -> str:
        start, end = number(curve.init_value), number(curve.end_value)
        passed = f"torch.clamp({_since(step, curve.transition_begin)}, 0, {number(curve.transition_steps)})"
        share = f"{passed} / {number(curve.transition_steps)}"
        if curve.power == 1 and curve.init_value == 0:
            return f"{end} * {share}"
        if curve.power == 1:
            return f"{start} + ({end} - {start}) * {share}"
        fall = f"{start} * " if curve.end_value == 0 else f"{end} + ({start} - {end}) * "
        return f"{fall}(1 - {share}) ** {number(curve.power)}"

    def _piecewise_constant(self, curve: PiecewiseConstant, step: str) -> str:
        rate = self._let("rate", f"torch.full_like({step}, {number(curve.init_value)})")
        for boundary, scale in zip(curve.boundaries, curve.scales, strict=True):
            self._lines.append(f"{rate} = torch.where({step} < {number(boundary)}, {rate}, {rate} * {number(scale)})")
        return rate

    def _piecewise_interpolate(self, curve: PiecewiseInterpolate, step: str) -> str:
        bounds = (0, *curve.boundaries)
        rate = self._let("rate", f"torch.full_like({step}, {number(curve.values[-1])})")
        for index in reversed(range(len(bounds) - 1)):
            low, high = bounds[index], bounds[index + 1]
            one, other = number(curve.values[index]), number(curve.values[index + 1])
            since = _since(step, low)
            since = f"({since})" if low else since
            share = f"{since} / {number(max(high - low, 1))}"
            if curve.kind == "linear":
                between = f"{one} + ({other} - {one}) * {share}"
            else:
                between = f"{other} + ({one} - {other}) / 2 * (1 + torch.cos(math.pi * {share}))"
            self._lines.append(f"{rate} = torch.where({step} < {number(high)}, {between}, {rate})")
        return rate

    def _exponential(self, curve: ExponentialDecay, step: str) -> str:
        passed = _since(step, curve.transition_begin)
        since = passed if passed == step else f"({passed})"
        share = f"{since} / {number(curve.transition_steps)}"
        share = f"torch.floor({share})" if curve.staircase else share
        start = number(curve.init_value)
        decayed = f"{start} * {number(curve.decay_rate)} ** ({share})"
        if curve.transition_begin:
            decayed = f"torch.where({passed} <= 0, {start}, {decayed})"
        if curve.end_value is None:
            return decayed
        side = "min" if curve.decay_rate < 1 else "max"
        return f"torch.clamp({decayed}, {side}={number(curve.end_value)})"

    def _cosine(self, curve: CosineDecay, step: str) -> str:
        steps = number(curve.decay_steps)
        half = f"(1 + torch.cos(math.pi * torch.clamp({step}, max={steps}) / {steps})) / 2"
        if curve.exponent != 1:
            half = f"({half}) ** {number(curve.exponent)}"
        if curve.alpha == 0:
            return f"{number(curve.init_value)} * {half}"
        alpha = number(curve.alpha)
        return f"{number(curve.init_value)} * ({alpha} + (1 - {alpha}) * {half})"

    def _joined(self, curve: Joined, step: str) -> str:
        rate = self._let("rate", self._of(curve.curves[0], step))
        for boundary, following in zip(curve.boundaries, curve.curves[1:], strict=True):
            since = self._let("since", f"{step} - {number(boundary)}")
            later = self._of(following, since)
            self._lines.append(f"{rate} = torch.where({step} < {number(boundary)}, {rate}, {later})")
        return rate


def _since(step: str, begin: float) -> str:
    return f"{step} - {number(begin)}" if begin else step


_TITLES: dict[type, str] = {
    Polynomial: "optax.polynomial_schedule",
    PiecewiseConstant: "optax.piecewise_constant_schedule",
    PiecewiseInterpolate: "optax.piecewise_interpolate_schedule",
    ExponentialDecay: "optax.exponential_decay",
    CosineDecay: "optax.cosine_decay_schedule",
    Joined: "optax.join_schedules",
}


def _title(curve: Curve) -> str:
    name = _TITLES[type(curve)]
    if isinstance(curve, Polynomial) and curve.power == 1:
        name = "optax.linear_schedule"
    return f"{name}: the value after `step` steps."
