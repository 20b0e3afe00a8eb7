"""Steps of an optimizer alone, on given parameters and gradients: what every step leaves in parameters and slots.

A slot is what an optimizer keeps for each parameter (``exp_avg``, ``mu``) or once (``count``). Plain functions
``update(params, grads, state) -> (params, state)`` are walked here, in numpy or with another framework's arrays; the
modules of the frameworks walk their own optimizers.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

Arrays = dict[str, np.ndarray]

ONCE = ""  # the name of a slot's array that belongs to no parameter
SLOT = "slot "  # before a slot's name in the arrays of a trajectory


@dataclass(frozen=True)
class Step:
    """After one step: float64 arrays.

    Attributes:
        params: by name.
        slots: by slot and by the parameter's name; `ONCE` for what is kept once.
    """

    params: Arrays
    slots: dict[str, Arrays]


def is_update(optimizer: Any) -> bool:
    """Whether something is a function of parameters, gradients and state, rather than one that makes an optimizer."""
    if isinstance(optimizer, type) or not callable(optimizer) or hasattr(optimizer, "param_groups"):
        return False
    kinds = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    found = inspect.signature(optimizer).parameters.values()
    return sum(p.kind in kinds and p.default is p.empty for p in found) == 3


def walk_function(
    update: Callable[[Any, Any, Any], tuple[Any, Any]],
    params: Mapping[str, Any],
    gradients: Sequence[Mapping[str, Any]],
    to_numpy: Callable[[Any], np.ndarray] = np.asarray,
) -> list[Step]:
    """The steps of a plain function, whose state is None before the first.

    Args:
        update: the function.
        params: by name, in the arrays that it takes.
        gradients: of each step, alike.
        to_numpy: makes a copy of such an array.
    """
    state: Any = None
    current: Any = dict(params)
    steps = []
    for gradient in gradients:
        current, state = update(current, dict(gradient), state)
        steps.append(
            Step({name: as_float64(to_numpy(current[name])) for name in params}, slots_of(state, to_numpy, params))
        )
    return steps


def slots_of(state: Any, to_numpy: Callable[[Any], np.ndarray], names: Mapping[str, Any]) -> dict[str, Arrays]:
    """The arrays of a state by slot: ``{"mu": {"w": ...}}``, ``{"w": {"mu": ...}}`` and named tuples are all read."""
    slots: dict[str, Arrays] = {}
    for path, leaf in _leaves(state, ()):
        owner = next((part for part in reversed(path) if part in names), ONCE)
        words = [part for part in path if part != owner and not part.isdigit()]
        slot = words[-1] if words else "state"
        number, free = 1, slot
        while owner in slots.get(free, {}):  # a second count, of a schedule
            number += 1
            free = f"{slot} {number}"
        slots.setdefault(free, {})[owner] = as_float64(to_numpy(leaf))
    return slots


def step_arrays(params: Arrays, slots: Mapping[str, Arrays], named: Callable[[str, Arrays], Arrays]) -> Arrays:
    """What a step of a trajectory left: ``parameters.w``, ``slot exp_avg.w``, and ``slot step.`` for what is kept once.

    A count that is the same for every parameter is kept once. What has another shape than its parameter (the rows and
    columns of a factored moment) has no place in the other side's layout: only its slot is named, by an empty array.

    Args:
        params: by this side's names.
        slots: as `slots_of` reads them.
        named: gives arrays of this side the original's names, with a prefix.
    """
    found = named("parameters.", params)
    for slot, arrays in slots.items():
        prefix = f"{SLOT}{slot}."
        values = list(arrays.values())
        if all(array.ndim == 0 for array in values) and len({float(array) for array in values}) == 1:
            found[f"{prefix}{ONCE}"] = values[0]
            continue
        alike = {name: array for name, array in arrays.items() if name in params and array.shape == params[name].shape}
        found |= named(prefix, alike) if alike else {f"{prefix}{ONCE}": np.empty(0)}
    return found


def _leaves(tree: Any, path: tuple[str, ...]) -> Iterator[tuple[tuple[str, ...], Any]]:
    if isinstance(tree, Mapping):
        items: Any = tree.items()
    elif isinstance(tree, tuple) and hasattr(tree, "_fields"):
        items = zip(tree._fields, tree, strict=True)
    elif is_dataclass(tree) and not isinstance(tree, type):
        items = [(field.name, getattr(tree, field.name)) for field in fields(tree)]
    elif isinstance(tree, tuple | list):
        items = enumerate(tree)
    else:
        if isinstance(tree, int | float) or hasattr(tree, "__array__"):
            yield path, tree
        return
    for key, item in items:
        yield from _leaves(item, (*path, str(key)))


def as_float64(array: np.ndarray) -> np.ndarray:
    """A copy in float64."""
    return np.array(array, np.float64)
