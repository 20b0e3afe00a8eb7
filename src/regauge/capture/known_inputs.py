"""Inputs whose values are part of the converted code: rows and columns of images, lengths of texts.

A model that makes sizes of an input (``for t, h, w in grid_thw.tolist()``) is another sequence of operators for other
values. Where the values are the same in every call, or few, a person names the input, and the model is converted for
them: it stays an argument, and nothing reads it.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor, nn
from torch.utils import _pytree as pytree

from regauge.capture.containers import forward_replaced
from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.run.protocol import flatten_tree

Inputs = tuple[Any, ...] | dict[str, Any]
Place = int | str  # of an argument among the inputs: its position or its name
_SHOWN = 16  # numbers of a tensor that a message shows


def places_of(model: nn.Module, inputs: Inputs, names: Collection[str]) -> tuple[Place, ...]:
    """Where the arguments of these names stand among the inputs.

    Args:
        model: whose forward has the names.
        inputs: tuple of positional or dict of keyword arguments.
        names: of arguments that hold tensors of integers or booleans.

    Raises:
        BadCase: one is no such argument.
    """
    every = _by_name(model, inputs)
    for name in names:
        leaves = pytree.tree_leaves(inputs[every[name]]) if name in every else []  # type: ignore[index]
        tensors = [leaf for leaf in leaves if isinstance(leaf, Tensor)]
        floating = any(tensor.is_floating_point() or tensor.is_complex() for tensor in tensors)
        if tensors and not floating:
            continue
        fitting = [n for n, place in every.items() if n not in names and _is_whole(inputs[place])]  # type: ignore[index]
        raise BadCase(
            f"{name} is no input of which the values can be known",
            code="C190",
            received="an input of floats" if floating else "no tensor" if name in every else "no input of this name",
            why="what sizes and loops are made of are tensors of integers or booleans, under the names of forward",
            next=f"name one of: {', '.join(fitting)}" if fitting else "leave known= out",
        )
    return tuple(every[name] for name in names)


def _by_name(model: nn.Module, inputs: Inputs) -> dict[str, Place]:
    """The places of the inputs by the names of forward's parameters."""
    if isinstance(inputs, dict):
        return {name: name for name in inputs}
    try:
        parameters = inspect.signature(model.forward).parameters.values()
    except (TypeError, ValueError):  # it has no signature
        return {}
    positional = [p.name for p in parameters if p.kind in (p.POSITIONAL_ONLY, p.POSITIONAL_OR_KEYWORD)]
    return {name: place for place, name in enumerate(positional[: len(inputs)])}


def _is_whole(argument: Any) -> bool:
    """Whether an argument is a tensor of integers or booleans."""
    return isinstance(argument, Tensor) and not argument.is_floating_point() and not argument.is_complex()


def tensors_at(inputs: Inputs, places: Sequence[Place]) -> dict[str, Tensor]:
    """The tensors of the arguments at these places, by the names that a flattened tree of the inputs gives them."""
    found: dict[str, Tensor] = {}
    for place in places:
        argument = inputs[place]  # type: ignore[index]
        found |= flatten_tree(argument, lambda leaf: isinstance(leaf, Tensor), f"inputs.{place}")[1]
    return found


def split(inputs: Inputs, places: Sequence[Place]) -> tuple[Inputs, dict[Place, Any]]:
    """The inputs that are data, and those at these places by place."""
    known = {place: inputs[place] for place in places}  # type: ignore[index]
    if isinstance(inputs, dict):
        return {name: item for name, item in inputs.items() if name not in known}, known
    return tuple(item for place, item in enumerate(inputs) if place not in known), known


def joined(data: Inputs, known: Mapping[Place, Any]) -> Inputs:
    """The inputs again that `split` took apart, those by name in another order."""
    if isinstance(data, dict):
        return {**data, **{str(place): item for place, item in known.items()}}
    rest = iter(data)
    return tuple(known[place] if place in known else next(rest) for place in range(len(data) + len(known)))


@contextmanager
def given(model: nn.Module, inputs: Inputs, places: Sequence[Place]) -> Iterator[None]:
    """Within the block forward gets the values of these inputs, whatever it is called with: a trace then has constants.

    Args:
        model: that is going to be traced.
        inputs: with which it is called.
        places: of known inputs.
    """
    if not places:
        yield
        return
    values = {place: _copied(inputs[place]) for place in places}  # type: ignore[index]

    def around(forward: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(forward)
        def with_values(*args: Any, **kwargs: Any) -> Any:
            by_place = [values.get(place, item) for place, item in enumerate(args)]
            return forward(*by_place, **{name: values.get(name, item) for name, item in kwargs.items()})

        return with_values

    with forward_replaced(model, around):
        yield


def _copied(argument: Any) -> Any:
    """An argument that a trace may write to."""
    return pytree.tree_map_only(Tensor, lambda tensor: tensor.detach().clone(), argument)


def findings(inputs: Inputs, places: Sequence[Place], names: Sequence[str]) -> list[Finding]:
    """What a person has to know about known inputs: for which values the model was converted."""
    found = []
    for place, name in zip(places, names, strict=True):
        tensors = list(tensors_at(inputs, [place]).values())
        shown = [str(t.tolist()) if t.numel() <= _SHOWN else f"{tuple(t.shape)} numbers as given" for t in tensors]
        text = f"The model is converted for {name} = {', '.join(shown)}: for other values, convert it again."
        found.append(Finding("C191", "info", name, text))
    return found
