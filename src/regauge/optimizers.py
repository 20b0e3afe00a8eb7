"""Optimizers and learning-rate schedules as data: torch's algorithms, arguments and defaults, no framework.

A spec is the one description that both sides are built from: `run/torch_optimizers.py` makes torch's own optimizer
of it, `emit/train.py` writes it as readable optax. Names, positions and defaults are those of `torch.optim`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields
from fnmatch import fnmatchcase
from typing import Any

from regauge.errors import UnsupportedOptimizer
from regauge.learning_rates import (
    SCHEDULES,
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
    WarmupCosine,
    is_finite,
    require,
)

__all__ = [
    "IGNORED_SETTINGS",
    "OPTIMIZERS",
    "SCHEDULES",
    "SGD",
    "Adadelta",
    "Adagrad",
    "Adam",
    "AdamW",
    "Adamax",
    "Constant",
    "Cosine",
    "CosineRestarts",
    "Exponential",
    "Formula",
    "Group",
    "LinearWarmup",
    "MultiStep",
    "NAdam",
    "Optimizer",
    "RAdam",
    "RMSprop",
    "Schedule",
    "Sequence",
    "StepLR",
    "WarmupCosine",
    "from_json",
    "to_json",
]

# Settings of torch that choose an implementation and leave the function as it is.
IGNORED_SETTINGS = ("foreach", "fused", "capturable", "differentiable")


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
        momentum_schedule: `momentum` of SGD, or the first of `betas` of Adam and AdamW, over time, as OneCycleLR and
            CyclicLR move it; ``base`` is the optimizer's own value.
        clip_value: clip every element of the gradients to this before anything else, as
            ``torch.nn.utils.clip_grad_value_`` does; None for no clipping.
        clip_norm: clip the gradients of all parameters together to this 2-norm before each step, as
            ``torch.nn.utils.clip_grad_norm_`` does; None for no clipping.
        groups: parameters with other options; the first group that matches a name counts.
        frozen: names or patterns of parameters that have a gradient and are not updated.
    """

    schedule: Schedule | None = None
    momentum_schedule: Schedule | None = None
    clip_value: float | None = None
    clip_norm: float | None = None
    groups: tuple[Group, ...] = ()
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "groups", tuple(self.groups))
        object.__setattr__(self, "frozen", tuple(self.frozen))
        for name in ("schedule", "momentum_schedule"):
            given = getattr(self, name)
            require(given is None or isinstance(given, Schedule), name, given, "a schedule of regauge.optimizers")
        moves = (
            isinstance(self, SGD | Adam) and not getattr(self, "amsgrad", False) and not getattr(self, "dampening", 0)
        )
        must = "of SGD without dampening, or of Adam without amsgrad; let the scheduler have cycle_momentum=False"
        require(self.momentum_schedule is None or moves, "momentum_schedule", type(self).__name__, must)
        for name in ("clip_norm", "clip_value"):
            limit = getattr(self, name)
            require(limit is None or (is_finite(limit) and limit > 0), name, limit, "positive, or None")
        self._check()
        names = self.options()
        for group in self.groups:
            for name in group.options:
                must = f"one of {', '.join(names)}"
                require(name in names, f"{type(self).__name__} group option", name, must)
            if group.options:
                self.for_group(group)._check()

    def _check(self) -> None:
        """Raise UnsupportedOptimizer if one of the algorithm's arguments is out of its range."""
        for item in fields(self):
            key = item.name
            value, name = getattr(self, key), f"{type(self).__name__}.{key}"
            if item.type == "bool":
                require(isinstance(value, bool), name, value, "True or False")
            elif key == "betas":
                pair = isinstance(value, tuple) and len(value) == 2
                holds = pair and all(is_finite(beta) and 0 <= beta < 1 for beta in value)
                require(holds, name, value, "two numbers in [0, 1)")
            elif key == "dampening":
                require(is_finite(value), name, value, "a finite number")
            elif item.type == "float":
                require(is_finite(value) and value >= 0, name, value, "a number, 0 or more")

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
        require(holds, "SGD.nesterov", True, "used with momentum and without dampening")


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


@dataclass(frozen=True)
class _WithBetas(Optimizer):
    lr: float = 2e-3
    betas: tuple[float, float] = (0.9, 0.999)
    eps: float = 1e-8
    weight_decay: float = 0.0

    def __post_init__(self) -> None:
        object.__setattr__(self, "betas", tuple(self.betas))
        super().__post_init__()


@dataclass(frozen=True)
class NAdam(_WithBetas):
    momentum_decay: float = 4e-3
    decoupled_weight_decay: bool = False
    maximize: bool = False


@dataclass(frozen=True)
class RAdam(_WithBetas):
    lr: float = 1e-3
    decoupled_weight_decay: bool = False
    maximize: bool = False


@dataclass(frozen=True)
class Adamax(_WithBetas):
    maximize: bool = False


@dataclass(frozen=True)
class Adadelta(Optimizer):
    lr: float = 1.0
    rho: float = 0.9
    eps: float = 1e-6
    weight_decay: float = 0.0
    maximize: bool = False


OPTIMIZERS: dict[str, type[Optimizer]] = {
    cls.__name__: cls for cls in (SGD, Adam, AdamW, RMSprop, Adagrad, NAdam, RAdam, Adamax, Adadelta)
}


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
    for name in ("schedule", "momentum_schedule"):
        if values.get(name) is not None:
            values[name] = _schedule_from_json(values[name])
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
