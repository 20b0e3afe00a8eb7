"""torch's own optimizer of a spec, with clipping and the schedule, in a form that torch.compile can trace."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from functools import singledispatch
from typing import Any

import torch
from torch import Tensor, nn

from regauge import formulas
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import (
    Constant,
    Cosine,
    CosineRestarts,
    Exponential,
    Formula,
    LinearWarmup,
    MultiStep,
    Optimizer,
    Schedule,
    Sequence,
    StepLR,
    WarmupCosine,
)

_FUSED = ("SGD", "Adam", "AdamW", "Adagrad")
_CAPTURABLE = ("Adam", "AdamW", "RMSprop")


class TorchOptimizer:
    """A torch optimizer that clips, steps and advances its schedule in one call of `step`.

    With a schedule, the step count and the learning rates are 0-d float64 tensors on the CPU, so that a compiled
    step does not specialise on their values and is not compiled again at every step. They are replaced, never
    written in place: a compiled graph whose only result is a write to a 0-d float64 input can lose that write.

    Attributes:
        optimizer: the torch.optim.Optimizer underneath.
        parameters: every parameter that was given, in order: those whose gradients are clipped together.
    """

    def __init__(self, spec: Optimizer, optimizer: torch.optim.Optimizer, parameters: list[nn.Parameter]) -> None:
        self.spec = spec
        self.optimizer = optimizer
        self.parameters = parameters
        self._count = torch.zeros((), dtype=torch.float64)
        self._base = [float(group["base_lr"]) for group in optimizer.param_groups]

    def zero_grad(self) -> None:
        """Set the gradients of all parameters to None, as `torch.optim.Optimizer.zero_grad` does."""
        for parameter in self.parameters:
            parameter.grad = None

    def step(self) -> None:
        """Clip the gradients if the spec says so, update the parameters, advance the schedule."""
        if self.spec.clip_value is not None:
            nn.utils.clip_grad_value_(self.parameters, self.spec.clip_value)
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        self.optimizer.step()
        if self.spec.schedule is not None or self.spec.momentum_schedule is not None:
            self._count = self._count + 1
            self._set_moving()

    def state_dict(self) -> dict[str, Any]:
        """The optimizer's state and the number of steps taken; copies, so later steps do not change it."""
        return {"optimizer": _copied(self.optimizer.state_dict()), "count": int(self._count.item())}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go back to a state of `state_dict`."""
        self.optimizer.load_state_dict(_copied(state["optimizer"]))
        self._count = torch.tensor(state["count"], dtype=torch.float64)
        self._set_moving()

    def shift_schedule(self, steps: int) -> None:
        """Go on as if so many steps had been taken before, or were still to be taken before the first."""
        self._count = self._count + steps
        self._set_moving()

    def _set_moving(self) -> None:
        """Give the groups the learning rate and the momentum of this step, where they move."""
        if self.spec.schedule is not None:
            self._set_learning_rates(self.spec.schedule)
        if self.spec.momentum_schedule is None:
            return
        for group in self.optimizer.param_groups:
            value = learning_rate(self.spec.momentum_schedule, group["own_momentum"], self._count).item()
            if "betas" in group:  # torch takes no tensor here
                group["betas"] = (value, group["betas"][1])
            else:
                group["momentum"] = value

    def _set_learning_rates(self, schedule: Schedule) -> None:
        for group, base in zip(self.optimizer.param_groups, self._base, strict=True):
            group["lr"] = learning_rate(schedule, base, self._count)


def build(spec: Optimizer, named_parameters: Iterable[tuple[str, nn.Parameter]], fused: bool = False) -> TorchOptimizer:
    """torch's optimizer of a spec.

    Args:
        spec: of `regauge.optimizers`; its group patterns are matched against the names.
        named_parameters: of the model; tied parameters once. Those that need no gradient are left out.
        fused: take torch's fused kernel where there is one.

    Raises:
        UnsupportedOptimizer: a group names a parameter that does not exist, or no parameter is left to train.
    """
    every = dict(named_parameters)
    assigned = spec.assign(every)
    named = {name: parameter for name, parameter in every.items() if parameter.requires_grad}
    groups = _parameter_groups(spec, named, assigned)
    options = spec.options()
    on_accelerator = any(parameter.device.type != "cpu" for parameter in named.values())
    if spec.schedule is not None and on_accelerator and type(spec).__name__ in _CAPTURABLE:
        # with a tensor as learning rate torch's foreach kernels, the default on an accelerator, need this
        options["capturable"] = True
    for group in groups:
        group["base_lr"] = group["lr"]
        group["own_momentum"] = group["betas"][0] if "betas" in group else group.get("momentum")
        if spec.schedule is not None:
            group["lr"] = torch.tensor(group["lr"], dtype=torch.float64)
    if fused and spec.schedule is None and not on_accelerator and type(spec).__name__ in _FUSED:
        options["fused"] = True  # one pass over the memory in place of eight; the formula is the same
    optimizer = getattr(torch.optim, type(spec).__name__)(groups, **options)
    built = TorchOptimizer(spec, optimizer, list(named.values()))
    built._set_moving()
    return built


def at_rate(spec: Optimizer, factor: float) -> Optimizer:
    """The optimizer with every learning rate times a factor."""
    groups = [
        replace(g, options={**g.options, "lr": g.options["lr"] * factor}) if "lr" in g.options else g
        for g in spec.groups
    ]
    return replace(spec, lr=spec.options()["lr"] * factor, groups=tuple(groups))  # type: ignore[call-arg]


def _parameter_groups(
    spec: Optimizer, named: Mapping[str, nn.Parameter], assigned: Mapping[str, int | None]
) -> list[dict[str, Any]]:
    groups: list[dict[str, Any]] = []
    for index in range(-1, len(spec.groups)):
        members = [parameter for name, parameter in named.items() if assigned[name] == index]
        if members:
            changes = spec.groups[index].options if index >= 0 else {}
            groups.append({"params": members, **spec.options(), **changes})
    if not groups:
        raise UnsupportedOptimizer(
            "no parameter is left to train",
            received=f"{len(named)} parameters that need a gradient",
            next="check requires_grad of the parameters and the spec's frozen patterns",
        )
    return groups


def _copied(tree: Any) -> Any:
    if isinstance(tree, Tensor):
        return tree.detach().clone()
    if isinstance(tree, dict):
        return {key: _copied(item) for key, item in tree.items()}
    return [_copied(item) for item in tree] if isinstance(tree, list) else tree


@singledispatch
def learning_rate(schedule: Schedule, base: float, count: Tensor) -> Tensor:
    """The learning rate after `count` steps.

    Args:
        schedule: of `regauge.optimizers`.
        base: the `lr` of the group.
        count: float64[], the steps already taken.

    Returns:
        float64[].
    """
    raise UnsupportedOptimizer(f"there is no schedule {type(schedule).__name__!r}")


def _register(cls: type[Schedule]) -> Callable[[Callable[..., Tensor]], Callable[..., Tensor]]:
    return learning_rate.register(cls)


@_register(Constant)
def _constant(schedule: Constant, base: float, count: Tensor) -> Tensor:
    # torch.where of two Python numbers is float32
    full = torch.full_like(count, base)
    return torch.where(count < schedule.total_iters, full * schedule.factor, full)


@_register(StepLR)
def _step(schedule: StepLR, base: float, count: Tensor) -> Tensor:
    return base * schedule.gamma ** torch.floor(count / schedule.step_size)


@_register(MultiStep)
def _multi_step(schedule: MultiStep, base: float, count: Tensor) -> Tensor:
    passed = torch.zeros_like(count)
    for milestone in schedule.milestones:
        passed = passed + (count >= milestone)
    return base * schedule.gamma**passed


@_register(Exponential)
def _exponential(schedule: Exponential, base: float, count: Tensor) -> Tensor:
    return base * schedule.gamma**count


@_register(Cosine)
def _cosine(schedule: Cosine, base: float, count: Tensor) -> Tensor:
    eta_min = schedule.eta_min
    return eta_min + (base - eta_min) * (1 + torch.cos(math.pi * count / schedule.T_max)) / 2


@_register(LinearWarmup)
def _linear_warmup(schedule: LinearWarmup, base: float, count: Tensor) -> Tensor:
    progress = count.clamp(max=schedule.total_iters) / schedule.total_iters
    return base * (schedule.start_factor + (schedule.end_factor - schedule.start_factor) * progress)


@_register(WarmupCosine)
def _warmup_cosine(schedule: WarmupCosine, base: float, count: Tensor) -> Tensor:
    warmup, eta_min = schedule.warmup_steps, schedule.eta_min
    progress = ((count - warmup) / (schedule.total_steps - warmup)).clamp(0, 1)
    cosine = eta_min + (base - eta_min) * (1 + torch.cos(math.pi * progress)) / 2
    return torch.where(count < warmup, base * count / max(1, warmup), cosine)


@_register(Sequence)
def _sequence(schedule: Sequence, base: float, count: Tensor) -> Tensor:
    rate = learning_rate(schedule.schedules[0], base, count)
    for milestone, following in zip(schedule.milestones, schedule.schedules[1:], strict=True):
        # before its own start a schedule is asked at step 0: its value is not used there
        rate = torch.where(count < milestone, rate, learning_rate(following, base, (count - milestone).clamp(min=0)))
    return rate


@_register(CosineRestarts)
def _cosine_restarts(schedule: CosineRestarts, base: float, count: Tensor) -> Tensor:
    start = torch.zeros_like(count)
    for following in schedule.starts[1:]:
        start = torch.where(count >= following, float(following), start)
    length = start * (schedule.T_mult - 1) + schedule.T_0  # of the cosine that starts there
    progress = ((count - start) % length) / length
    return schedule.eta_min + (base - schedule.eta_min) * (1 + torch.cos(math.pi * progress)) / 2


@_register(Formula)
def _formula(schedule: Formula, base: float, count: Tensor) -> Tensor:
    full = torch.full_like(count, base)
    operators = {name: _of_tensors(name) for name in (*formulas.PYTHON, "where")}
    found: Tensor = formulas.value(schedule.formula, count, full, operators)
    return found if formulas.reads_base(schedule.formula) else full * found


_FUNCTIONS: dict[str, Callable[..., Tensor]] = {
    "and": torch.logical_and,
    "or": torch.logical_or,
    "not": torch.logical_not,
    "where": torch.where,
    "min": torch.minimum,
    "max": torch.maximum,
    "abs": torch.abs,
    "trunc": torch.trunc,
    "floor": torch.floor,
    "ceil": torch.ceil,
    "sin": torch.sin,
    "cos": torch.cos,
    "tanh": torch.tanh,
    "exp": torch.exp,
    "log": torch.log,
    "sqrt": torch.sqrt,
}


def _of_tensors(name: str) -> Callable[..., Tensor]:
    """An operator of formulas on float64 tensors and numbers, of which torch's functions would make float32."""
    if name not in _FUNCTIONS:
        return formulas.PYTHON[name]
    function = _FUNCTIONS[name]
    return lambda *values: function(*(v if isinstance(v, Tensor) else torch.tensor(v, dtype=_dtype(v)) for v in values))


def _dtype(value: Any) -> torch.dtype:
    return torch.bool if isinstance(value, bool) else torch.float64
