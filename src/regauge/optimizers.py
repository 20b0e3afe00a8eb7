"""Optimizers and learning-rate schedules as data: torch's algorithms, arguments and defaults, no framework.

A spec is the one description that both sides are built from: `run/torch_optimizers.py` makes torch's own optimizer
of it, `emit/train.py` writes it as readable optax. Names, positions and defaults are those of `torch.optim`.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from regauge.errors import UnsupportedOptimizer

# Settings of torch that choose an implementation and leave the function as it is.
IGNORED_SETTINGS = ("foreach", "fused", "capturable", "differentiable")


def _require(holds: bool, name: str, received: Any, must: str) -> None:
    if not holds:
        raise UnsupportedOptimizer(f"{name} must be {must}", code="O110", received=repr(received))


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_finite(value: Any) -> bool:
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
                _require(_is_count(value), name, value, "a number of steps, 0 or more")
            elif item.type == "float":
                _require(_is_finite(value), name, value, "a finite number")
                _require(item.name != "gamma" or value >= 0, name, value, "0 or more")


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
        _require(self.step_size > 0, "StepLR.step_size", self.step_size, "at least 1")


@dataclass(frozen=True)
class MultiStep(Schedule):
    """``base * gamma ** (number of milestones <= step)`` (torch's MultiStepLR)."""

    milestones: tuple[int, ...]
    gamma: float = 0.1

    def __post_init__(self) -> None:
        super().__post_init__()
        object.__setattr__(self, "milestones", tuple(sorted(self.milestones)))
        counts = all(_is_count(step) for step in self.milestones)
        _require(counts, "MultiStep.milestones", self.milestones, "numbers of steps")


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
        _require(self.T_max > 0, "Cosine.T_max", self.T_max, "at least 1")


@dataclass(frozen=True)
class LinearWarmup(Schedule):
    """``base`` times a factor that goes from start to end over `total_iters` steps (torch's LinearLR)."""

    total_iters: int = 5
    start_factor: float = 1.0 / 3
    end_factor: float = 1.0

    def __post_init__(self) -> None:
        super().__post_init__()
        _require(self.total_iters > 0, "LinearWarmup.total_iters", self.total_iters, "at least 1")


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
        _require(longer, "WarmupCosine.total_steps", self.total_steps, "larger than warmup_steps")


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
        _require(known, "Sequence.schedules", self.schedules, "one or more schedules of regauge.optimizers")
        steps = self.milestones
        rising = all(_is_count(step) for step in steps) and list(steps) == sorted(set(steps))
        enough = len(steps) == len(self.schedules) - 1
        _require(rising and enough, "Sequence.milestones", steps, "rising, one fewer than the schedules")


SCHEDULES: dict[str, type[Schedule]] = {
    cls.__name__: cls
    for cls in (Constant, StepLR, MultiStep, Exponential, Cosine, LinearWarmup, WarmupCosine, Sequence)
}


@dataclass(frozen=True)
class Group:
    """Parameters with options of their own.

    Attributes:
        parameters: names of the original's parameters, or patterns such as ``*.bias`` (``*`` matches dots too).
        options: what differs from the optimizer's own fields: ``{"weight_decay": 0.0}``.
    """

    parameters: tuple[str, ...]
    options: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        names = (self.parameters,) if isinstance(self.parameters, str) else tuple(self.parameters)
        object.__setattr__(self, "parameters", names)

    def matches(self, name: str) -> bool:
        return _matches(name, self.parameters)


def _matches(name: str, patterns: Iterable[str]) -> bool:
    return any(name == pattern or fnmatchcase(name, pattern) for pattern in patterns)


@dataclass(frozen=True, kw_only=True)
class Optimizer:
    """What every optimizer has besides its own arguments.

    Attributes:
        schedule: the learning rate over time; constant when None.
        clip_norm: clip the gradients of all parameters together to this 2-norm before each step, as
            ``torch.nn.utils.clip_grad_norm_`` does; None for no clipping.
        groups: parameters with other options; the first group that matches a name counts.
        frozen: names or patterns of parameters that have a gradient and are not updated.
    """

    schedule: Schedule | None = None
    clip_norm: float | None = None
    groups: tuple[Group, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "frozen", tuple(self.frozen))
        known = self.schedule is None or isinstance(self.schedule, Schedule)
        _require(known, "schedule", self.schedule, "a schedule of regauge.optimizers")
        clips = self.clip_norm is None or (_is_finite(self.clip_norm) and self.clip_norm > 0)
        _require(clips, "clip_norm", self.clip_norm, "positive, or None")
        self._check()
        names = self.options()
        for group in self.groups:
            for name in group.options:
                must = f"one of {', '.join(names)}"
                _require(name in names, f"{type(self).__name__} group option", name, must)
            if group.options:
                self.for_group(group)._check()

    def _check(self) -> None:
        """Raise UnsupportedOptimizer if one of the algorithm's arguments is out of its range."""
        for item in fields(self):
            key = item.name
            value, name = getattr(self, key), f"{type(self).__name__}.{key}"
            if item.type == "bool":
                _require(isinstance(value, bool), name, value, "True or False")
            elif key == "betas":
                pair = isinstance(value, tuple) and len(value) == 2
                holds = pair and all(_is_finite(beta) and 0 <= beta < 1 for beta in value)
                _require(holds, name, value, "two numbers in [0, 1)")
            elif key == "dampening":
                _require(_is_finite(value), name, value, "a finite number")
            elif item.type == "float":
                _require(_is_finite(value) and value >= 0, name, value, "a number, 0 or more")

    def options(self) -> dict[str, Any]:
        """The arguments of the algorithm itself, by torch's names."""
        common = {item.name for item in fields(Optimizer)}
        return {item.name: getattr(self, item.name) for item in fields(self) if item.name not in common}

    def for_group(self, group: Group) -> Optimizer:
        """This optimizer as one group sees it: its options put in, without groups."""
        return dataclasses.replace(self, groups=(), **group.options)

    def assign(self, names: Iterable[str]) -> dict[str, int | None]:
        """Which group each parameter belongs to: an index of `groups`, -1 for none of them, None for frozen.

        Raises:
            UnsupportedOptimizer: a name or pattern of a group (or of `frozen`) matches no parameter.
        """
        names = list(names)
        patterns = [*self.frozen, *(pattern for group in self.groups for pattern in group.parameters)]
        for pattern in patterns:
            if not any(_matches(name, (pattern,)) for name in names):
                raise UnsupportedOptimizer(
                    f"no parameter is named {pattern!r}",
                    code="O120",
                    received=", ".join(names[:8]) + (", ..." if len(names) > 8 else ""),
                    next="patterns are matched against the names of named_parameters()",
                )
        assigned: dict[str, int | None] = {}
        for name in names:
            matching = (index for index, group in enumerate(self.groups) if group.matches(name))
            assigned[name] = None if _matches(name, self.frozen) else next(matching, -1)
        return assigned


@dataclass(frozen=True)
class SGD(Optimizer):
    lr: float = 1e-3
    momentum: float = 0.0
    dampening: float = 0.0
    weight_decay: float = 0.0
    nesterov: bool = False
    maximize: bool = False

    def _check(self) -> None:
        super()._check()
        holds = not self.nesterov or (self.momentum > 0 and self.dampening == 0)
        _require(holds, "SGD.nesterov", True, "used with momentum and without dampening")


@dataclass(frozen=True)
class Adam(Optimizer):
    lr: float = 1e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0  # L2, added to the gradient
    amsgrad: bool = False
    maximize: bool = False

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        super().__post_init__()


@dataclass(frozen=True)
class AdamW(Adam):
    weight_decay: float = 1e-2  # decoupled from the gradient


@dataclass(frozen=True)
class RMSprop(Optimizer):
    lr: float = 1e-2
    alpha: float = 0.99
    eps: float = 1e-8
    weight_decay: float = 0.0
    momentum: float = 0.0
    centered: bool = False
    maximize: bool = False


@dataclass(frozen=True)
class Adagrad(Optimizer):
    lr: float = 1e-2
    lr_decay: float = 0.0
    weight_decay: float = 0.0
    initial_accumulator_value: float = 0.0
    eps: float = 1e-10
    maximize: bool = False


OPTIMIZERS: dict[str, type[Optimizer]] = {cls.__name__: cls for cls in (SGD, Adam, AdamW, RMSprop, Adagrad)}


def to_json(spec: Optimizer | Schedule) -> dict[str, Any]:
    """The spec as JSON: ``{"type": "AdamW", "lr": 0.001, ..., "schedule": {"type": "Cosine", ...}}``."""
    data: dict[str, Any] = {"type": type(spec).__name__}
    for item in fields(spec):
        data[item.name] = _value_to_json(getattr(spec, item.name))
    return data


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Schedule):
        return to_json(value)
    if isinstance(value, Group):
        return {"parameters": list(value.parameters), "options": _value_to_json(value.options)}
    if isinstance(value, dict):
        return {key: _value_to_json(item) for key, item in value.items()}
    return [_value_to_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(data: Mapping[str, Any]) -> Optimizer:
    """The optimizer of `to_json`.

    Raises:
        UnsupportedOptimizer: unknown type or field, or a value out of its range; the text names the field.
    """
    values = _known_fields(data, OPTIMIZERS, "optimizer")
    for name in IGNORED_SETTINGS:
        values.pop(name, None)
    if values.get("schedule") is not None:
        values["schedule"] = _schedule_from_json(values["schedule"])
    groups = values.get("groups", ())
    values["groups"] = tuple(Group(tuple(g["parameters"]), _tuples(g["options"])) for g in groups)
    return OPTIMIZERS[data["type"]](**_tuples(values))


def _schedule_from_json(data: Mapping[str, Any]) -> Schedule:
    values = _known_fields(data, SCHEDULES, "schedule")
    if "schedules" in values:
        values["schedules"] = tuple(_schedule_from_json(item) for item in values["schedules"])
    return SCHEDULES[data["type"]](**_tuples(values))


def _known_fields(data: Mapping[str, Any], classes: Mapping[str, type], kind: str) -> dict[str, Any]:
    cls = classes.get(data.get("type", ""))
    if cls is None:
        raise UnsupportedOptimizer(
            f"there is no {kind} {data.get('type')!r}",
            received=repr(dict(data)),
            next=f"supported: {', '.join(classes)}",
        )
    known = {item.name for item in fields(cls)}
    unknown = [name for name in data if name not in known | {"type", *IGNORED_SETTINGS}]
    if unknown:
        raise UnsupportedOptimizer(
            f"{cls.__name__} has no argument {unknown[0]!r}",
            code="O110",
            received=", ".join(f"{name}={data[name]!r}" for name in unknown),
            next=f"it has: {', '.join(sorted(known))}",
        )
    missing = [item.name for item in fields(cls) if _is_required(item) and item.name not in data]
    if missing:
        raise UnsupportedOptimizer(
            f"{cls.__name__} needs the argument {missing[0]!r}", code="O110", received=repr(dict(data))
        )
    return {name: value for name, value in data.items() if name != "type"}


def _is_required(item: dataclasses.Field[Any]) -> bool:
    return item.default is dataclasses.MISSING and item.default_factory is dataclasses.MISSING


def _tuples(values: Mapping[str, Any]) -> dict[str, Any]:
    return {key: tuple(value) if isinstance(value, list) else value for key, value in values.items()}
