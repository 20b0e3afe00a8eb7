"""A person's torch scheduler as a schedule of `regauge.learning_rates`."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.optim import lr_scheduler

from regauge.capture.lr_lambda_text import NotReadable
from regauge.capture.lr_lambdas import formula_of
from regauge.formulas import BASE, STEP
from regauge.formulas import Formula as Expression
from regauge.learning_rates import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Formula,
    LinearWarmup,
    MultiStep,
    Schedule,
    Sequence,
    StepLR,
)


@dataclass(frozen=True)
class Read:
    """What a scheduler moves.

    Attributes:
        rate: the learning rate; None if it has no counterpart.
        momentum: `momentum` or the first of `betas`, None where it stays.
    """

    rate: Schedule | None = None
    momentum: Schedule | None = None


def read_scheduler(scheduler: Any, optimizer: torch.optim.Optimizer, problems: list[str]) -> Read:
    """The schedule of a scheduler that has not taken a step yet.

    Args:
        scheduler: of `torch.optim.lr_scheduler`.
        optimizer: whose parameters it is given for.
        problems: receives what has no counterpart.
    """
    name = type(scheduler).__qualname__
    if getattr(scheduler, "optimizer", optimizer) is not optimizer:
        problems.append(f"the scheduler {name} belongs to another optimizer")
    if getattr(scheduler, "last_epoch", 0) > 0:
        problems.append(f"the scheduler {name} has taken {scheduler.last_epoch} steps; give a new one")
    try:
        if type(scheduler) in WITH_MOMENTUM:
            return WITH_MOMENTUM[type(scheduler)](scheduler)
        return Read(_schedule(scheduler))
    except NotReadable as error:
        problems.append(error.what)
    return Read()


def _schedule(scheduler: Any) -> Schedule:
    """The schedule of a scheduler that moves the learning rate alone.

    Raises:
        NotReadable: it has no counterpart.
    """
    make = SCHEDULES.get(type(scheduler))
    if make is None:
        raise NotReadable(_refusal(type(scheduler)))
    return make(scheduler)


def _refusal(cls: type[Any]) -> str:
    name = cls.__qualname__
    if cls is lr_scheduler.ReduceLROnPlateau:
        return (
            "the scheduler ReduceLROnPlateau: it follows a measurement that a training step does not have; "
            "leave it out, and set the rate between steps with optax.inject_hyperparams"
        )
    if cls in WITH_MOMENTUM:
        return (
            f"the scheduler {name} inside another: it sets the rate and the momentum of the optimizer when it is made"
        )
    return f"the scheduler {name}: supported are {', '.join(one.__name__ for one in (*SCHEDULES, *WITH_MOMENTUM))}"


# the learning rate alone ----------------------------------------------------------------------------------------------


def _sequence(scheduler: Any) -> Schedule:
    return Sequence(tuple(_schedule(part) for part in scheduler._schedulers), tuple(scheduler._milestones))


def _chained(scheduler: Any) -> Schedule:
    factors = [_factor(_schedule(part), type(part).__name__) for part in scheduler._schedulers]
    return Formula("ChainedScheduler", functools.reduce(lambda a, b: ("*", a, b), factors))


def _factor(schedule: Schedule, name: str) -> Expression:
    """The factor by which a schedule moves any rate."""
    match schedule:
        case Constant(factor, total_iters):
            return ("where", ("<", STEP, total_iters), factor, 1.0)
        case StepLR(step_size, gamma):
            return ("**", gamma, ("//", STEP, step_size))
        case MultiStep(milestones, gamma):
            found: Expression = 1.0
            for milestone in milestones:
                found = ("*", found, ("where", (">=", STEP, milestone), gamma, 1.0))
            return found
        case Exponential(gamma):
            return ("**", gamma, STEP)
        case LinearWarmup(total_iters, start, end):
            return ("+", start, ("*", end - start, ("/", ("min", STEP, total_iters), total_iters)))
        case Formula("PolynomialLR", formula):
            return formula
    raise NotReadable(f"the scheduler {name} in a ChainedScheduler: it sets the rate, whatever the others made of it")


def _polynomial(scheduler: Any) -> Schedule:
    total = scheduler.total_iters
    left: Expression = ("-", 1.0, ("/", ("min", STEP, total), total))
    return Formula("PolynomialLR", left if scheduler.power == 1 else ("**", left, scheduler.power))


def _lambda(scheduler: Any) -> Schedule:
    functions = list(scheduler.lr_lambdas)
    found = [_read(function, "LambdaLR") for function in functions]
    if any(one != found[0] for one in found[1:]):
        raise NotReadable("the scheduler LambdaLR with a function of its own for each group: give all groups one")
    return Formula(_name(functions[0]), found[0])


def _multiplicative(scheduler: Any) -> Schedule:
    found = {_read(function, "MultiplicativeLR") for function in scheduler.lr_lambdas}
    factor = next(iter(found))
    if len(found) > 1 or not isinstance(factor, int | float):
        raise NotReadable(
            "the scheduler MultiplicativeLR with a factor that moves: its rate is a product over all steps before; "
            "write that product as the function of a LambdaLR"
        )
    return Exponential(float(factor))


def _read(function: Callable[[int], float], name: str) -> Expression:
    try:
        return formula_of(function)
    except NotReadable as error:
        raise NotReadable(f"the scheduler {name} with {_name(function)}: {error.what}") from error


def _name(function: Any) -> str:
    while isinstance(function, functools.partial):
        function = function.func
    name = getattr(function, "__name__", type(function).__name__)
    return "lr_lambda" if name == "<lambda>" else name


SCHEDULES: dict[type[Any], Callable[[Any], Schedule]] = {
    lr_scheduler.ConstantLR: lambda s: Constant(s.factor, s.total_iters),
    lr_scheduler.StepLR: lambda s: StepLR(s.step_size, s.gamma),
    lr_scheduler.MultiStepLR: lambda s: MultiStep(tuple(s.milestones.elements()), s.gamma),
    lr_scheduler.ExponentialLR: lambda s: Exponential(s.gamma),
    lr_scheduler.CosineAnnealingLR: lambda s: Cosine(s.T_max, s.eta_min),
    lr_scheduler.CosineAnnealingWarmRestarts: lambda s: CosineRestarts(s.T_0, s.T_mult, float(s.eta_min)),
    lr_scheduler.LinearLR: lambda s: LinearWarmup(s.total_iters, s.start_factor, s.end_factor),
    lr_scheduler.PolynomialLR: _polynomial,
    lr_scheduler.LambdaLR: _lambda,
    lr_scheduler.MultiplicativeLR: _multiplicative,
    lr_scheduler.SequentialLR: _sequence,
    lr_scheduler.ChainedScheduler: _chained,
}


# the momentum too -----------------------------------------------------------------------------------------------------


def _one_cycle(scheduler: Any) -> Read:
    groups = scheduler.optimizer.param_groups
    first = groups[0]
    ends: dict[str, Expression] = {
        "initial_lr": BASE,
        "max_lr": ("*", BASE, _ratio(first["max_lr"], first["initial_lr"])),
        "min_lr": ("/", BASE, _ratio(first["initial_lr"], first["min_lr"])),
    }
    rate = Formula("OneCycleLR", _phases(scheduler, ends, "lr"))
    if not scheduler.cycle_momentum:
        return Read(rate)
    moved = {name: _common(groups, name) for name in ("base_momentum", "max_momentum")}
    return Read(
        rate, Formula("OneCycleLR of the momentum", _phases(scheduler, {**moved, "max_momentum": BASE}, "momentum"))
    )


def _ratio(one: float, other: float) -> float:
    """The number that torch divided by, without the rounding of the division."""
    return float(f"{float(one) / float(other):.13g}")


def _phases(scheduler: Any, ends: dict[str, Expression], what: str) -> Expression:
    """One phase after the other, the last without an end."""
    begin, found = 0.0, []
    for phase in scheduler._schedule_phases:
        end = float(phase["end_step"])
        share: Expression = ("/", ("-", STEP, begin) if begin else STEP, end - begin) if end > begin else 1.0
        found.append((end, _between(scheduler, ends[phase[f"start_{what}"]], ends[phase[f"end_{what}"]], share)))
        begin = end
    expression = found[-1][1]
    for end, formula in reversed(found[:-1]):
        expression = ("where", ("<=", STEP, end), formula, expression)
    return expression


def _between(scheduler: Any, start: Expression, end: Expression, share: Expression) -> Expression:
    if start == end:
        return start
    if scheduler._anneal_func_type == "cos":
        cosine = ("+", ("cos", ("*", math.pi, share)), 1)
        return ("+", end, ("*", ("/", ("-", start, end), 2.0), cosine))
    return ("+", ("*", ("-", end, start), share), start)


def _cyclic(scheduler: Any) -> Read:
    if scheduler._scale_fn_custom is not None:
        raise NotReadable("the scheduler CyclicLR with a scale_fn of your own: use one of its modes, or LambdaLR")
    if len(set(scheduler.max_lrs)) > 1:
        raise NotReadable("the scheduler CyclicLR with another max_lr for each group: give all groups one")
    cycle: Expression = ("floor", ("+", 1, ("/", STEP, scheduler.total_size)))
    place: Expression = ("-", ("+", 1.0, ("/", STEP, scheduler.total_size)), cycle)
    ratio = scheduler.step_ratio
    height: Expression = ("/", place, ratio)
    if ratio < 1:
        height = ("where", ("<=", place, ratio), height, ("/", ("-", place, 1), ratio - 1))
    if scheduler.mode == "triangular2":
        height = ("*", height, ("/", 1, ("**", 2.0, ("-", cycle, 1))))
    elif scheduler.mode == "exp_range":
        height = ("*", height, ("**", scheduler.gamma, STEP))
    rate = Formula("CyclicLR", ("+", BASE, ("*", ("-", scheduler.max_lrs[0], BASE), height)))
    if not scheduler.cycle_momentum:
        return Read(rate)
    lowest = _common(scheduler.optimizer.param_groups, "base_momentum")
    return Read(rate, Formula("CyclicLR of the momentum", ("-", BASE, ("*", ("-", BASE, lowest), height))))


def _common(groups: list[dict[str, Any]], name: str) -> float:
    values = {group[name] for group in groups}
    if len(values) > 1:
        raise NotReadable(f"a scheduler with another {name} for each group: give all groups one")
    return float(next(iter(values)))


WITH_MOMENTUM: dict[type[Any], Callable[[Any], Read]] = {
    lr_scheduler.OneCycleLR: _one_cycle,
    lr_scheduler.CyclicLR: _cyclic,
}
