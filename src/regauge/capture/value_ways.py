"""What functions call that decide on values while they are traced, as `capture.branch_source` rewrites them.

Both ways of a condition become the bodies of one node, as those of `torch.cond`, and what they give is joined leaf by
leaf: tensors to what the node gives, numbers to tensors where they differ; anything else has to be the same in both.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from types import FunctionType
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from regauge.capture import known_values, mask_places, size_numbers
from regauge.capture.held_state import Assigned, Held
from regauge.capture.joined_values import DTYPES, Joined, Unset, as_tensor, not_joined
from regauge.capture.number_values import as_number, kind_of_number, standing_for
from regauge.capture.regions import Region, require_alike
from regauge.capture.source_lines import line_of_caller
from regauge.findings import Finding

_WHAT = "an `if` on values"


@dataclass(frozen=True)
class Run:
    """A capture that runs: what a person should know, the lines whose second way is traced first, steps left out."""

    findings: list[Finding]
    swapped: frozenset[str]
    left_out: list[tuple[Tensor, LookupError]] = field(default_factory=list)  # steps, by their condition


active: list[Run] = []  # the captures that run now


def is_value(condition: Any) -> bool:
    """Whether a condition is a tensor that has no value while the model is traced."""
    return isinstance(condition, Tensor) and condition.numel() == 1 and not known_values.is_known(condition)


counted = mask_places.counted  # what a condition asks, of sizes as of tensors
converted, each, numel = size_numbers.converted, size_numbers.each, size_numbers.numel


def length(value: Any) -> Any:
    """``len(value)``, which may depend on values."""
    return value.shape[0] if isinstance(value, Tensor) and value.ndim else len(value)


def negated(condition: Tensor) -> Tensor:
    """``not condition``."""
    return torch.logical_not(_truth(condition))


def both(first: Tensor, second: Any) -> Any:
    """The truth of ``first and second``; `second` is a tensor, or a bool of Python."""
    return torch.logical_and(_truth(first), _truth(second)) if is_value(second) else second and first


def either(first: Tensor, second: Any) -> Any:
    """The truth of ``first or second``; `second` is a tensor, or a bool of Python."""
    return torch.logical_or(_truth(first), _truth(second)) if is_value(second) else second or first


def number(kind: type, value: Tensor) -> Tensor:
    """``bool(value)``, ``int(value)`` or ``float(value)`` as a tensor without axes."""
    if kind is bool:
        return _truth(value)
    plain = as_number(value)
    return plain.to(torch.int64) if kind is int else plain if plain.is_floating_point() else plain.to(torch.float64)


def error_left_out(condition: Any) -> bool:
    """Whether a condition, one way of which is an error, has no value; then the other way is taken, and that said."""
    if not is_value(condition):
        return False
    text = (
        "The original raises an error here for some values; the converted model computes with them, because a compiled "
        "function cannot raise an error for a value."
    )
    active[-1].findings.append(Finding("C179", "info", line_of_caller(), text))
    return True


def way(
    condition: Any,
    when_true: FunctionType,
    when_false: FunctionType,
    scope: Mapping[str, Any],
    results: Sequence[str] = (),
) -> Any:
    """What one of two functions returns; both are traced where the condition is a tensor.

    Args:
        condition: bool of Python, or a tensor of one element.
        when_true: a function of the names that the two ways set.
        when_false: a function of the same names.
        scope: values by name; what is missing has no value yet.
        results: names of what the functions return in a tuple; none where it is what the person's function returns.

    Raises:
        CaptureError: the two give values that cannot be joined.
    """
    names = when_true.__code__.co_varnames[: when_true.__code__.co_argcount]
    values = [scope.get(name, Unset(name)) for name in names]
    if not isinstance(condition, Tensor):
        chosen = when_true if condition else when_false
        return chosen(*values)
    held = Held.of(scope)
    ways = (lambda: held.run(when_true, values), lambda: held.run(when_false, values))
    return _traced(condition, *ways, (when_true, when_false), scope, results)


def step(
    condition: Any,
    when_true: FunctionType,
    when_false: FunctionType,
    scope: Mapping[str, Any],
    results: Sequence[str] = (),
) -> Any:
    """`way` for a step of a loop over places, which is left out if an index of it is out of range.

    A mask may have more elements than can be True, as one for the experts and for no expert has.
    """
    try:
        return way(condition, when_true, when_false, scope, results)
    except LookupError as error:
        if not isinstance(condition, Tensor):
            raise
        text = (
            f"One step of this loop raises an error in the original ({type(error).__name__}: {error}); it is left out, "
            "because a compiled function cannot raise an error for a value."
        )
        active[-1].findings.append(Finding("C215", "warning", line_of_caller(), text))
        active[-1].left_out.append((condition, error))
        return way(False, when_true, when_false, scope, results)


def returned(condition: Any, when_true: FunctionType, when_false: FunctionType, scope: Mapping[str, Any]) -> Any:
    """`way` where both functions return what the person's function returns."""
    return way(condition, when_true, when_false, scope)


def chosen(
    condition: Tensor, when_true: Callable[[], Any], when_false: Callable[[], Any], scope: Mapping[str, Any]
) -> Any:
    """``when_true() if condition else when_false()`` for a tensor; neither may change a list that `scope` holds."""
    held = Held.of(scope)
    ways = (lambda: held.run(when_true, ()), lambda: held.run(when_false, ()))
    return _traced(condition, *ways, (when_true, when_false), scope)


def places(iterated: Any, numbers: bool = False) -> Iterator[tuple[Any, Any]]:
    """`mask_places.steps`.

    Raises:
        LookupError: of the last step, where one is raised in every step: then it is not that of a place that is no hit.
    """
    errors = []
    for item, hit in mask_places.steps(iterated, numbers):
        yield item, hit
        errors.append(next((error for condition, error in active[-1].left_out if condition is hit), None))
    if errors and all(errors):
        raise errors[-1] or AssertionError


def repeated(condition: FunctionType, step: FunctionType, scope: Mapping[str, Any]) -> Any:
    """``while condition(...): ... = step(...)``, of which the rest is traced as soon as the condition is a tensor.

    Args:
        condition: a function of the names that a step sets.
        step: a function of the same names, which returns their new values.
        scope: values by name; what is missing has no value yet.

    Raises:
        CaptureError: what is carried from step to step is no array of one shape and dtype.
    """
    names = step.__code__.co_varnames[: step.__code__.co_argcount]
    values = [scope.get(name, Unset(name)) for name in names]
    while not isinstance(truth := condition(*values), Tensor):
        if not truth:
            return values
        values = step(*values)
    text = "The code repeats a step as long as values ask for it: the model does so when it runs."
    active[-1].findings.append(Finding("C178", "info", line_of_caller(), text))
    carried = [place for place, value in enumerate(values) if isinstance(value, Tensor) or type(value) in DTYPES]
    before = [as_tensor(values[place]) for place in carried]
    held, region = Held.of(scope), Region("while_loop")

    def run(function: FunctionType) -> Any:
        arguments = region.enter(function, before, names=[names[place] for place in carried])
        given = list(values)
        for place, tensor in zip(carried, arguments, strict=True):
            given[place] = _marked_as(values[place], tensor)
        return held.unchanged_by(function, given)

    again = run(condition)
    region.bodies[-1].returns([_truth(again) if isinstance(again, Tensor) else torch.tensor(bool(again))])
    after = run(step)
    new = [as_tensor(after[place]) for place in carried]
    for place in range(len(values)):
        if place not in carried and not isinstance(values[place], Unset) and after[place] is not values[place]:
            raise not_joined(values[place], after[place])
    if strange := [leaf for leaf in new if not isinstance(leaf, Tensor)]:
        raise not_joined(before[0], strange[0])
    region.bodies[-1].returns(new)
    require_alike(new, before, "a loop on values")
    made = iter(region.leave([("carried", before)], before))
    return [_marked_as(value, next(made)) if place in carried else value for place, value in enumerate(values)]


def _marked_as(value: Any, tensor: Tensor) -> Tensor:
    kind = kind_of_number(value)
    return tensor if kind is None else standing_for(kind, tensor)


def _truth(condition: Tensor) -> Tensor:
    truth = condition if condition.dtype == torch.bool else condition != 0
    return truth.reshape(()) if truth.ndim else truth


def _traced(
    condition: Tensor,
    when_true: Callable[[], tuple[Any, Assigned]],
    when_false: Callable[[], tuple[Any, Assigned]],
    written: tuple[Callable[..., Any], Callable[..., Any]],
    scope: Mapping[str, Any],
    results: Sequence[str] = (),
) -> Any:
    """Both functions as bodies of one node, and their results joined."""
    place = line_of_caller()
    text = "The code decides on values here: both ways are converted, and the model chooses when it runs."
    active[-1].findings.append(Finding("C178", "info", place, text))
    truth, ways = _truth(condition), [when_true, when_false]
    swapped = place in active[-1].swapped
    if swapped:
        ways.reverse()
    region, versions = Region("cond"), _versions(scope)
    region.enter(written[swapped], ())
    with region.unless_left_out():
        result, assigned = ways[0]()
    first, spec = pytree.tree_flatten(result)
    made = [as_tensor(leaf) for leaf in first]
    region.enter(written[not swapped], ())
    with region.unless_left_out():
        other, assigned_too = ways[1]()
    second, other_spec = pytree.tree_flatten(other)
    if spec != other_spec:
        raise not_joined(str(spec), str(other_spec))
    buffers = list(dict.fromkeys((*assigned, *assigned_too)))
    kept = {(module, name): module._buffers[name] for module, name in buffers}
    new, new_too = ([{**kept, **given}[buffer] for buffer in buffers] for given in (assigned, assigned_too))
    leaves = zip([*first, *new], [*made, *new], [*second, *new_too], strict=True)
    joined = [Joined.of(*leaf, place, swapped) for leaf in leaves]
    for body, side in zip(region.bodies, ("first", "second"), strict=True):
        body.returns([getattr(item, side) for item in joined if item.first is not None])
    one, two = (body.left for body in region.bodies)
    require_alike(one, two, _WHAT)
    names = [*(_leaf_names(results, result) if results else [""] * len(first)), *(name for _, name in buffers)]
    named = [name for name, item in zip(names, joined, strict=True) if item.first is not None]
    changed = {name: scope[name] for name, version in _versions(scope).items() if version != versions[name]}
    groups = [("pred", [truth]), ("operands", []), ("changed", list(changed.values()))]
    made_of = iter(region.leave(groups, one, names=named, second_first=swapped, changed=list(changed)))
    values = [item.result(made_of) for item in joined]
    for (module, name), value in zip(buffers, values[len(first) :], strict=True):
        setattr(module, name, value)
    return pytree.tree_unflatten(values[: len(first)], spec)


def _versions(scope: Mapping[str, Any]) -> dict[str, int]:
    """How often each tensor was written to."""
    tensors = {name: value for name, value in scope.items() if isinstance(value, Tensor)}
    return {name: tensor._version for name, tensor in tensors.items() if not tensor.is_inference()}


def _leaf_names(names: Sequence[str], values: Sequence[Any]) -> list[str]:
    """For each leaf of some values the name of the value, where it is the whole of it, or an empty string."""
    found = []
    for name, value in zip(names, values, strict=True):
        count = len(pytree.tree_leaves(value))
        found += [name] if count == 1 else [""] * count
    return found
