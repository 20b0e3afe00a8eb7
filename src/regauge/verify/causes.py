"""Causes of a difference, tried by substitution: the registry, and what a cause is told.

A cause is a small function that looks at one call of a side near the place where the difference begins and gives the
trials that would turn the call into what the other side may have written. Calls of both frameworks are described in
torch's words (`run.torch_trace`, `run.jax_calls`), so both share these causes; only how a trial is made differs. The
families are in `causes_*.py`; nothing here computes, so the parent process loads no framework.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

Edit = dict[str, Any]


@dataclass(frozen=True)
class Trial:
    """One substitution.

    Attributes:
        cause: key of the cause.
        what: what differs, in words (a message).
        edits: as `run.substitution` takes them.
        own_value: what the side that it is run on has, as text; empty where it is no value.
        other_value: what it was given in the trial: what the other side would have.
        call: number of the call, None where it concerns no call.
        module: that it concerns, where there is no call.
    """

    cause: str
    what: str
    edits: tuple[Edit, ...]
    own_value: str = ""
    other_value: str = ""
    call: int | None = None
    module: str = ""


@dataclass(frozen=True)
class Call:
    """One call of a function near the difference, in torch's words."""

    number: int
    function: str
    module: str
    arguments: Mapping[str, Any]

    def value(self, name: str, default: Any = None) -> Any:
        """A plain argument, or its default."""
        found = self.arguments.get(name, default)
        return default if isinstance(found, dict) else found

    def shape(self, name: str = "input") -> list[int]:
        found = self.arguments.get(name)
        return list(found["shape"]) if isinstance(found, dict) and "shape" in found else []

    def weight(self, name: str = "weight") -> str:
        found = self.arguments.get(name)
        return found["weight"] if isinstance(found, dict) and "weight" in found else ""


@dataclass(frozen=True)
class Situation:
    """What a cause may look at.

    Attributes:
        calls: all calls of the pass, by number.
        near: numbers of the calls near the difference, nearest first.
        constants: that the other side uses there, most likely first.
        weights: shapes by name.
        kinds: which tensors differ: outputs, loss, gradients, state.
        loss: number of the call that gives the loss, -1 for none.
    """

    calls: Sequence[Call]
    near: Sequence[int]
    constants: Sequence[float] = ()
    weights: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    kinds: frozenset[str] = frozenset()
    loss: int = -1

    @property
    def only_gradients(self) -> bool:
        return not self.kinds & {"outputs", "loss"} and bool(self.kinds & {"gradients", "input gradients"})

    def alike(self, call: Call) -> list[int]:
        """Numbers of all calls of the same function with the same plain arguments, this one among them."""

        def plain(other: Call) -> dict[str, Any]:
            return {n: v for n, v in other.arguments.items() if isinstance(v, bool | int | float | str)}

        return [c.number for c in self.calls if c.function == call.function and plain(c) == plain(call)]


Maker = Callable[[Call, Situation], Iterable[Trial]]


@dataclass(frozen=True)
class Cause:
    """One entry of the registry."""

    name: str
    functions: frozenset[str]
    make: Maker
    order: int
    backward: bool


REGISTRY: list[Cause] = []


def cause(
    name: str, functions: Iterable[str] = (), order: int = 50, backward: bool = False
) -> Callable[[Maker], Maker]:
    """Enter a cause: `functions` are the names of the torch functions that it looks at, all for none.

    Args:
        name: stable key.
        functions: names of functions of torch.
        order: smaller ones are tried first.
        backward: whether it leaves the forward pass as it is: those alone are tried where only gradients differ.
    """

    def enter(make: Maker) -> Maker:
        REGISTRY.append(Cause(name, frozenset(functions), make, order, backward))
        return make

    return enter


def argument(calls: Sequence[int], **values: Any) -> Edit:
    """An argument of some calls is another one."""
    return {"kind": "argument", "calls": list(calls), "values": values}


def replaced(calls: Sequence[int], how: str, **options: Any) -> Edit:
    """Some calls are computed in another way."""
    return {"kind": "replace", "calls": list(calls), "by": how, "options": options}


def weight(name: str, change: str, **options: Any) -> Edit:
    """A weight has other values."""
    return {"kind": "weight", "name": name, "how": change, "options": options}


def value_trials(
    name: str, what: str, call: Call, situation: Situation, argument_name: str, default: Any, values: Iterable[Any]
) -> Iterator[Trial]:
    """An argument with other values: at this call alone, then at all that are alike."""
    own = call.value(argument_name, default)
    for value in dict.fromkeys(values):
        if value == own:
            continue
        for calls in scopes(call, situation):
            edit = argument(calls, **{argument_name: value})
            yield Trial(name, what, (edit,), shown(own), shown(value), call.number)


def replacement_trials(
    name: str, what: str, call: Call, situation: Situation, how: str, **options: Any
) -> Iterator[Trial]:
    """Another computation: at this call alone, then at all that are alike."""
    for calls in scopes(call, situation):
        yield Trial(name, what, (replaced(calls, how, **options),), call=call.number)


def scopes(call: Call, situation: Situation) -> list[list[int]]:
    """This call alone; all that are alike, if there are others."""
    alike = situation.alike(call)
    return [[call.number], alike] if len(alike) > 1 else [[call.number]]


def same_named(name: str, situation: Situation) -> list[list[str]]:
    """A weight alone; those of all layers, whose names differ in numbers alone, if there are others."""
    form = re.sub(r"\d+", "#", name)
    shape = situation.weights.get(name)
    alike = [n for n, s in situation.weights.items() if s == shape and re.sub(r"\d+", "#", n) == form]
    return [[name], alike] if len(alike) > 1 else [[name]]


def shown(value: Any) -> str:
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def trials_for(situation: Situation) -> list[Trial]:
    """All trials of the registry: by the order of causes, then nearest calls first; none twice."""
    load_families()
    found: list[tuple[int, int, int, Trial]] = []
    for nearness, number in enumerate(situation.near):
        call = situation.calls[number]
        for entry in REGISTRY:
            if entry.functions and call.function not in entry.functions:
                continue
            if situation.only_gradients and not entry.backward:
                continue
            for trial in entry.make(call, situation):
                found.append((min(nearness, 6) * 10 + entry.order, nearness, len(found), trial))
    found.sort(key=lambda item: item[:3])
    seen: set[str] = set()
    kept = []
    for *_, trial in found:
        key = repr(trial.edits)
        if key not in seen:
            seen.add(key)
            kept.append(trial)
    return kept


def load_families() -> None:
    """Enter all causes; the families import this module, hence not at its head."""
    for family in ("norms", "elementwise", "attention", "layout", "spatial", "weights", "losses"):
        importlib.import_module(f"regauge.verify.causes_{family}")
