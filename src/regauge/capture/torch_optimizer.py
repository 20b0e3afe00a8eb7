"""A person's torch optimizer and scheduler as a spec, or a list of everything in them that has no exact counterpart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import nn

from regauge.capture.torch_schedules import Read, read_scheduler
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import IGNORED_SETTINGS, OPTIMIZERS, Group, Optimizer

_KNOWN: dict[type[torch.optim.Optimizer], str] = {
    getattr(torch.optim, name): name for name in OPTIMIZERS if hasattr(torch.optim, name)
}

# Keys of a parameter group that are not arguments of the algorithm.
_BOOKKEEPING = {"params", "param_names", "initial_lr", *IGNORED_SETTINGS}

# What some schedulers keep in the groups.
_BOOKKEEPING |= {"max_lr", "min_lr", "max_momentum", "base_momentum"}


def from_torch(
    optimizer: torch.optim.Optimizer,
    named_parameters: Iterable[tuple[str, nn.Parameter]],
    scheduler: Any = None,
) -> Optimizer:
    """The spec of a torch optimizer that has not taken a step yet.

    The first group with trainable parameters gives the spec its arguments; every further group becomes a `Group`
    with what differs. Parameters that need a gradient and that the optimizer does not have become `frozen`.

    Args:
        optimizer: of `torch.optim`, one of those that `regauge.optimizers.OPTIMIZERS` names.
        named_parameters: of the model.
        scheduler: of `torch.optim.lr_scheduler`; it is taken to advance once after every optimizer step.

    Raises:
        UnsupportedOptimizer: everything in the two that has no exact counterpart, at once.
    """
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise UnsupportedOptimizer(
            "the optimizer must be a torch.optim.Optimizer or a spec of regauge.optimizers",
            received=repr(optimizer),
            next="write optimizer=regauge.optimizers.AdamW(lr=1e-3), or optimizer=(optimizer, scheduler)",
        )
    problems: list[str] = []
    kind = _KNOWN.get(type(optimizer))
    if kind is None:
        problems.append(_refusal_reason(type(optimizer)))
    problems += _progress(optimizer, scheduler)
    schedule = Read() if scheduler is None else read_scheduler(scheduler, optimizer, problems)
    names = {id(parameter): name for name, parameter in named_parameters if parameter.requires_grad}
    groups = _groups(optimizer, names, problems) if kind is not None else []
    if problems or kind is None:
        raise UnsupportedOptimizer(
            "the optimizer cannot be written for JAX as it is",
            details=problems,
            why="another optimizer would train another model",
            next="give the case a spec such as regauge.optimizers.AdamW(lr=1e-3), or a supported optimizer",
        )
    return _spec(kind, groups, names, schedule)


def _refusal_reason(cls: type[torch.optim.Optimizer]) -> str:
    if cls is torch.optim.LBFGS:
        return "the optimizer LBFGS: it calls the loss several times in a step, which a training step cannot"
    if cls is torch.optim.SparseAdam:
        return "the optimizer SparseAdam: it takes sparse gradients, and those of JAX are dense; use Adam"
    if cls.__name__ == "Muon" and cls.__module__.startswith("torch."):
        return "the optimizer Muon: it makes matrices orthogonal in bfloat16, and optax.contrib.muon does not round"
    if cls.__name__ == "Adafactor" and cls.__module__.startswith("torch."):
        return "the optimizer Adafactor: it averages over rows and columns, which JAX's layout of weights has elsewhere"
    if cls in (torch.optim.ASGD, torch.optim.Rprop):
        return f"the optimizer {cls.__name__}: optax has no transformation that makes its steps"
    return f"the optimizer {cls.__qualname__}: supported are {', '.join(OPTIMIZERS)} of torch.optim"


def _spec(
    kind: str,
    groups: list[tuple[list[str], dict[str, Any]]],
    names: Mapping[int, str],
    schedule: Read,
) -> Optimizer:
    if not groups:
        raise UnsupportedOptimizer(
            "no parameter is left to train",
            received="an optimizer without a parameter that has requires_grad=True",
            next="set requires_grad, or leave out the case's optimizer",
        )
    common = groups[0][1]
    kind = "AdamW" if kind == "Adam" and common.pop("decoupled_weight_decay", False) else kind
    further = tuple(
        Group(tuple(members), {key: value for key, value in options.items() if common.get(key, value) != value})
        for members, options in groups[1:]
    )
    trained = {name for members, _ in groups for name in members}
    frozen = tuple(name for name in names.values() if name not in trained)
    own = OPTIMIZERS[kind]().options()
    known = OPTIMIZERS[kind](**{key: value for key, value in common.items() if key in own})
    return type(known)(
        **known.options(),
        schedule=schedule.rate,
        momentum_schedule=schedule.momentum,
        groups=tuple(group for group in further if group.options),
        frozen=frozen,
    )


def _groups(
    optimizer: torch.optim.Optimizer, names: Mapping[int, str], problems: list[str]
) -> list[tuple[list[str], dict[str, Any]]]:
    """(names, arguments) of every group that has trainable parameters; adds to `problems` what has no counterpart."""
    name = type(optimizer).__name__
    known = {*OPTIMIZERS[_KNOWN[type(optimizer)]]().options()}
    groups: list[tuple[list[str], dict[str, Any]]] = []
    for index, group in enumerate(optimizer.param_groups):
        foreign = [p for p in group["params"] if p.requires_grad and id(p) not in names]
        if foreign:
            shapes = ", ".join(str(list(parameter.shape)) for parameter in foreign[:4])
            problems.append(f"group {index} holds {len(foreign)} parameters that the model does not have: {shapes}")
        extra = [key for key in group if key not in known | _BOOKKEEPING | {"decoupled_weight_decay"}]
        problems += [
            f"group {index} has the argument {key}={group[key]!r}, which {name} does not read" for key in extra
        ]
        members = [names[id(p)] for p in group["params"] if id(p) in names]
        if members:
            groups.append((members, _arguments(group, known)))
    decoupled = {options.get("decoupled_weight_decay", False) for _, options in groups}
    if len(decoupled) > 1 and "decoupled_weight_decay" not in known:
        problems.append("decoupled_weight_decay differs between groups: use two optimizers, or one kind of decay")
    return groups


def _arguments(group: Mapping[str, Any], known: set[str]) -> dict[str, Any]:
    """The algorithm's arguments of a group as Python numbers; lr is that of step 0 before any schedule."""
    found = {key: _python(group[key]) for key in (*known, "decoupled_weight_decay") if key in group}
    found["lr"] = _python(group.get("initial_lr", group["lr"]))
    return found


def _python(value: Any) -> Any:
    if isinstance(value, torch.Tensor):
        return value.item()
    return tuple(_python(item) for item in value) if isinstance(value, tuple | list) else value


def _progress(optimizer: torch.optim.Optimizer, scheduler: Any) -> list[str]:
    """What the optimizer has besides its arguments: steps taken, hooks, a scheduler that was not given."""
    problems: list[str] = []
    if any(_steps_taken(state) for state in optimizer.state.values()):
        problems.append("the optimizer has taken steps: its state is not carried over; give a new one")
    hooks = (*optimizer._optimizer_step_pre_hooks.values(), *optimizer._optimizer_step_post_hooks.values())
    problems += [
        f"the step hook {getattr(hook, '__qualname__', repr(hook))}: regauge cannot read what it does" for hook in hooks
    ]
    if scheduler is None and any("initial_lr" in group for group in optimizer.param_groups):
        problems.append("a scheduler that was not given: write optimizer=(optimizer, scheduler)")
    return problems


def _steps_taken(state: Mapping[str, Any]) -> bool:
    # Adagrad fills its state when it is made, with step 0; SGD has no step count but a buffer after its first step
    return bool(state["step"] > 0) if "step" in state else any(value is not None for value in state.values())
