"""Learning-rate schedules as data: torch's, by its names and defaults, no framework."""

from __future__ import annotations

import math
from dataclasses import dataclass, fields
from typing import Any

from regauge import formulas
from regauge.errors import UnsupportedOptimizer


def require(holds: bool, name: str, received: Any, must: str) -> None:
    """Raise UnsupportedOptimizer if an argument is out of its range."""
    if not holds:
        raise UnsupportedOptimizer(f"{name} must be {must}", code="O110", received=repr(received))


def is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def is_finite(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


@dataclass(frozen=True)
class Schedule:
    """The learning rate as a function of the number of optimizer steps already taken, starting at 0.

    A schedule advances once after every optimizer step. `base` below is the `lr` of the optimizer or of the
    parameter group, so one schedule serves groups of different rates, as torch's schedulers do.
    """

    def __post_init__(self) -> None:
        for item in fields(self):
            value = getattr(self, item.name)
            name = f"{type(self).__name__}.{item.name}"
            if item.type == "int":
                require(is_count(value), name, value, "a number of steps, 0 or more")
            elif item.type == "float":
                require(is_finite(value), name, value, "a finite number")
                require(item.name != "gamma" or value >= 0, name, value, "0 or more")


@dataclass(frozen=True)
class Constant(Schedule):
    """``base * factor`` for the first `total_iters` steps, ``base`` after them (torch's ConstantLR)."""

    factor: float = 1.0
    total_iters: int = 0


@dataclass(frozen=True)
class StepLR(Schedule):
    """``base * gamma ** (step // step_size)``."""

    step_size: int
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.step_size > 0, "StepLR.step_size", self.step_size, "at least 1")


@dataclass(frozen=True)
class MultiStep(Schedule):
    """``base * gamma ** (number of milestones <= step)`` (torch's MultiStepLR)."""

    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "milestones", tuple(sorted(self.milestones)))
        counts = all(is_count(step) for step in self.milestones)
        require(counts, "MultiStep.milestones", self.milestones, "numbers of steps")


@dataclass(frozen=True)
class Exponential(Schedule):
    """``base * gamma ** step`` (torch's ExponentialLR)."""

    gamma: float


@dataclass(frozen=True)
class Cosine(Schedule):
    """``eta_min + (base - eta_min) * (1 + cos(pi * step / T_max)) / 2`` (torch's CosineAnnealingLR)."""

    T_max: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.T_max > 0, "Cosine.T_max", self.T_max, "at least 1")


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """``base`` times a factor that goes from start to end over `total_iters` steps (torch's LinearLR)."""

    total_iters: int = 5
    start_factor: float = 1.0 / 3
    end_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.total_iters > 0, "LinearWarmup.total_iters", self.total_iters, "at least 1")


@dataclass(frozen=True)
class WarmupCosine(Schedule):
    """Linear from 0 over `warmup_steps`, then half a cosine down to `eta_min` at `total_steps`, then constant.

    Step 0 has rate 0, as in Hugging Face's ``get_cosine_schedule_with_warmup``.
    """

    warmup_steps: int
    total_steps: int
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        longer = self.total_steps > self.warmup_steps
        require(longer, "WarmupCosine.total_steps", self.total_steps, "larger than warmup_steps")


@dataclass(frozen=True)
class Sequence(Schedule):
    """One schedule after the other (torch's SequentialLR).

    Schedule i + 1 takes over at step ``milestones[i]`` and counts from 0 there.
    """

    schedules: tuple[Schedule, ...]
    milestones: tuple[int, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "schedules", tuple(self.schedules))
        object.__setattr__(self, "milestones", tuple(self.milestones))
        known = bool(self.schedules) and all(isinstance(item, Schedule) for item in self.schedules)
        require(known, "Sequence.schedules", self.schedules, "one or more schedules of regauge.optimizers")
        steps = self.milestones
        rising = all(is_count(step) for step in steps) and list(steps) == sorted(set(steps))
        enough = len(steps) == len(self.schedules) - 1
        require(rising and enough, "Sequence.milestones", steps, "rising, one fewer than the schedules")


@dataclass(frozen=True)
class CosineRestarts(Schedule):
    """Half a cosine from ``base`` to `eta_min` again and again, each time over `T_mult` times as many steps as before.

    torch's CosineAnnealingWarmRestarts.
    """

    T_0: int
    T_mult: int = 1
    eta_min: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        require(self.T_0 > 0, "CosineRestarts.T_0", self.T_0, "at least 1")
        require(self.T_mult > 0, "CosineRestarts.T_mult", self.T_mult, "at least 1")

    @property
    def starts(self) -> tuple[int, ...]:
        """The steps at which the cosine starts, up to a billion; where each is as long as the other, the first."""
        found, length = [0], self.T_0
        while self.T_mult > 1 and found[-1] < 10**9:
            found.append(found[-1] + length)
            length *= self.T_mult
        return tuple(found)


@dataclass(frozen=True)
class Formula(Schedule):
    """What a formula gives (LambdaLR, OneCycleLR, CyclicLR, PolynomialLR, ChainedScheduler of torch).

    Attributes:
        name: of what it is: ``OneCycleLR``, or the function of a person's own.
        formula: of `regauge.formulas`: a factor of ``base``, or, where it names ``base``, the learning rate.
    """

    name: str
    formula: Any

    def __post_init__(self) -> None:
        object.__setattr__(self, "formula", formulas.from_json(self.formula))


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (
        Constant,
        StepLR,
        MultiStep,
        Exponential,
        Cosine,
        LinearWarmup,
        WarmupCosine,
        Sequence,
        CosineRestarts,
        Formula,
    )
}
