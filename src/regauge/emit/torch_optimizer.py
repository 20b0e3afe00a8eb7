"""optax's transformations as the text of an optimizer for torch.

torch.optim's own class where it is the same algorithm with the same numbers, else a `torch.optim.Optimizer` of the
file's own; around it a class `Optimizer` where gradients are clipped, a schedule moves a number, or several optimizers
share the parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from regauge.emit.expressions import Helpers
from regauge.emit.optax_normal import Parts, groups_by, take_apart, with_decay
from regauge.emit.schedules import number
from regauge.emit.torch_algorithms import DEFAULTS, algorithm
from regauge.emit.torch_curves import CurveTexts
from regauge.emit.torch_gradients import preparation
from regauge.emit.torch_optimizer_class import Group, Inner, OptimizerClass, Preparation, group_texts, label_all
from regauge.emit.torch_updates import written
from regauge.errors import UnsupportedOptimizer
from regauge.optax_schedules import Curve
from regauge.optax_specs import AddDecayedWeights, OptaxOptimizer, Scale

_LEARNING_RATE = {"lr": "learning_rate"}


@dataclass(frozen=True)
class _Update:
    """What one parameter goes through, as a class with its options.

    Attributes:
        name: of the class.
        text: of a class of the file's own, with ``{name}`` for its name; empty for those of torch.optim.
        options: values by name.
    """

    name: str
    text: str
    options: dict[str, Any]


def optimizer_text(
    spec: OptaxOptimizer,
    targets: Mapping[str, str],
    unused: set[str],
    without_gradient: set[str],
    at_times: set[str],
    helpers: Helpers,
) -> list[str]:
    """The functions and classes whose last is ``make_optimizer(named_parameters)``.

    Args:
        spec: of the original.
        targets: name in the module of every parameter that trains, by its name in the original.
        unused: parameters of the original that the module does not hold.
        without_gradient: parameters of the original that the loss does not depend on. optax gives them a gradient of
            zero, by which a decay of the weights still acts; torch gives them none and leaves them.
        at_times: those that only some calls read. In the others optax has a gradient of zero, with which momentum and
            averages go on too.
        helpers: receives the functions that ops.py must hold.

    Raises:
        UnsupportedOptimizer: nothing is left to train, or a part has no counterpart.
    """
    taken = take_apart(spec, [*targets, *sorted(unused)])
    own = {name: taken.updates[name] for name in targets}
    moved = {name: parts for name, parts in own.items() if parts is not None}
    if not moved:
        raise UnsupportedOptimizer(
            "no parameter is left to train",
            received=f"{len(own)} parameters, all set to zero updates",
            next="check the masks and labels of the optimizer, or leave it out of the case",
        )
    unified = with_decay(moved.values())
    updates = {name: _update(unified[parts]) for name, parts in moved.items()}
    prepared = [(*preparation(one.part), {n for n in one.parameters if n in targets}) for one in taken.preparations]
    fills = any(
        (name in without_gradient and _decays(parts)) or (name in at_times and not _rests_without_slope(parts))
        for name, parts in moved.items()
    )
    keys = {name: (updates.get(name), tuple(name in members for *_, members in prepared)) for name in targets}
    groups = [
        Group(update, [targets[name] for name in members], set(members)) for (update, _), members in groups_by(keys)
    ]
    curves = CurveTexts(helpers)
    inner = _inner(groups, curves)
    label_all(groups, inner)
    calls = [Preparation(call, _members(groups, names)) for call, _, names in prepared if names]
    made = OptimizerClass(spec.name, groups, inner, calls, fills, spec.wrappers)
    helper = list(dict.fromkeys(text for _, text, names in prepared if text and names))
    classes = [one.text for one in inner if one.text]
    return [*curves.texts.values(), *helper, *classes, *group_texts(groups), *made.texts()]


def _decays(parts: Parts) -> bool:
    return any(isinstance(part, AddDecayedWeights) for part in parts)


def _rests_without_slope(parts: Parts) -> bool:
    """Whether a gradient of zero moves nothing and is remembered by nothing."""
    return all(isinstance(part, Scale) for part in parts)


def _update(parts: Parts) -> _Update:
    found = algorithm(parts)
    if found is not None:
        return _Update(found.name, "", {"lr": found.options["lr"], **DEFAULTS[found.name], **found.options})
    own = written(parts)
    return _Update(own.name, own.text, own.options)


def _members(groups: Sequence[Group], names: set[str]) -> list[Group]:
    """The groups whose gradients are prepared; a group is prepared as a whole or not at all."""
    return [group for group in groups if group.sources <= names]


def _inner(groups: Sequence[Group], curves: CurveTexts) -> list[Inner]:
    """One optimizer for each class, with the groups that it serves."""
    found: list[Inner] = []
    taken: dict[str, int] = {}
    for group in groups:
        update = group.update
        if update is None:
            continue
        one = next((one for one in found if (one.kind, one.template) == (update.name, update.text)), None)
        if one is None:
            taken[update.name] = taken.get(update.name, 0) + bool(update.text)
            name = update.name + (str(taken[update.name]) if taken[update.name] > 1 else "")
            own = update.text.replace("{name}", name)
            one = Inner(update.name, update.text, name if own else f"torch.optim.{name}", own)
            found.append(one)
        one.groups.append(group)
        for option, value in update.options.items():
            group.options[option] = _constant(value)
            expression = _moving(option, value, curves)
            if expression:
                group.moving[option] = expression
    return found


def _constant(value: Any) -> Any:
    """The number of an option; 0 for what a schedule gives before every step."""
    if isinstance(value, Scale):
        return 0.0 if value.curves else value.factor
    return 0.0 if isinstance(value, Curve) else value


def _moving(option: str, value: Any, curves: CurveTexts) -> str:
    """The expression that an option is set to before every step; empty for a constant."""
    name = _LEARNING_RATE.get(option, option)
    if isinstance(value, Curve):
        return curves.call(value, name, "self.steps")
    if not isinstance(value, Scale) or not value.curves:
        return ""
    factors = [curves.call(curve, name, "self.steps") for curve in value.curves]
    return " * ".join([*([number(value.factor)] if value.factor != 1 else []), *factors])
