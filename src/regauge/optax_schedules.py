"""optax's schedules as data, without a framework: the formulas of `optax.schedules` (optax 0.2)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Curve:
    """A number as a function of the steps already taken, starting at 0: one of optax's schedules."""


@dataclass(frozen=True)
class Polynomial(Curve):
    """``(init_value - end_value) * (1 - n / transition_steps) ** power + end_value``, n from `transition_begin` on."""

    init_value: float
    end_value: float
    power: float
    transition_steps: float
    transition_begin: float = 0


@dataclass(frozen=True)
class PiecewiseConstant(Curve):
    """`init_value`, times a scale from each boundary on."""

    init_value: float
    boundaries: tuple[float, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True)
class PiecewiseInterpolate(Curve):
    """From value to value, in straight lines or half cosines; `values` are those at 0 and at every boundary."""

    kind: str  # "linear", "cosine"
    boundaries: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class ExponentialDecay(Curve):
    """``init_value * decay_rate ** (n / transition_steps)``, n from `transition_begin` on."""

    init_value: float
    transition_steps: float
    decay_rate: float
    transition_begin: float = 0
    staircase: bool = False
    end_value: float | None = None


@dataclass(frozen=True)
class CosineDecay(Curve):
    """Half a cosine from `init_value` to ``alpha * init_value``, then constant."""

    init_value: float
    decay_steps: float
    alpha: float = 0.0
    exponent: float = 1.0


@dataclass(frozen=True)
class Joined(Curve):
    """One schedule after the other; each counts from 0 at its boundary."""

    curves: tuple[float | Curve, ...]
    boundaries: tuple[float, ...]


@dataclass(frozen=True)
class Traced(Curve):
    """A function of a person's own, as a graph.

    Attributes:
        name: of the function.
        graph: JSON text of a `regauge.ir.graph.Graph` of the count.
        constants: JSON text of the arrays that it holds: ``{name: [dtype, nested list]}``.
    """

    name: str
    graph: str
    constants: str
