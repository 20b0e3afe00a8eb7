"""Calls of a converted model whose code holds some of what it is given: other values are refused, not left out.

These are inputs that were known at conversion, and what is no array: flags, numbers, texts and None. Sizes that are not
symbolic may be in the code too, but mostly are not: other ones get a warning.
"""

from __future__ import annotations

import inspect
import warnings
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import jax
import numpy as np

from regauge.errors import BadCase
from regauge.ir.graph import Graph, TensorSpec
from regauge.run.protocol import flatten_tree


def require_known(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], known: Mapping[str, np.ndarray]
) -> None:
    """Refuse a call whose known inputs have other values than the code was made for.

    Args:
        call: with the original's argument names.
        args: positional arguments.
        kwargs: keyword arguments.
        known: values by ``inputs.NAME`` or ``inputs.POSITION``, followed by the place in a container.

    Raises:
        BadCase: an array differs in shape or values; one that is being traced has none to compare.
    """
    names, given = _bound(call, args, kwargs)
    for place in dict.fromkeys(name.split(".")[1] for name in known) if names else ():
        argument = names[int(place)] if place.isdecimal() else place
        leaves = flatten_tree(given.get(argument), lambda leaf: hasattr(leaf, "shape"), f"inputs.{place}")[1]
        for name, leaf in leaves.items():
            if isinstance(leaf, jax.core.Tracer) or name not in known or np.array_equal(leaf, known[name]):
                continue
            raise BadCase(
                f"{argument} has other values than the model was converted for",
                code="C192",
                received=_shown(leaf),
                why=f"{argument} is a known input: its values {_shown(known[name])} are part of the code",
                next="convert the model again, with these values in the example inputs",
            )


def require_constants(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], inputs: Any) -> None:
    """Refuse a call with another flag, number or text than the code was made for, or with an array in place of None.

    Args:
        call: with the original's argument names.
        args: positional arguments.
        kwargs: keyword arguments.
        inputs: the skeleton of the example inputs.

    Raises:
        BadCase: something differs; what is being traced has no value to compare.
    """
    for part, given, place in _leaves(call, args, kwargs, inputs):
        _require(part, given, place)


def warn_of_sizes(call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], graph: Graph) -> None:
    """Warn of an array with another size than the code was made for, where that is not symbolic.

    Args:
        call: with the original's argument names.
        args: positional arguments.
        kwargs: keyword arguments.
        graph: the capture, which knows the sizes of its inputs.
    """
    specs = {value.name: value.spec for value in graph.inputs}
    for part, array, place in _leaves(call, args, kwargs, graph.in_tree):
        shape, spec = getattr(array, "shape", None), specs.get(part.get("leaf", ""))
        if shape is not None and spec is not None and not _fits(shape, spec):
            made_for = ", ".join(getattr(size, "text", str(size)) for size in spec.shape)
            warnings.warn(
                f"{place} has shape {list(shape)}, and the model was converted for [{made_for}]: sizes that are not "
                "symbolic may be numbers in its code, so nothing says that this is the same function. "
                "Convert it with dynamic=, which leaves sizes open, or with example inputs of this shape.",
                UserWarning,
                stacklevel=3,
            )


def _fits(shape: tuple[int, ...], spec: TensorSpec) -> bool:
    numbers = [(size, made_for) for size, made_for in zip(shape, spec.shape, strict=False) if isinstance(made_for, int)]
    return len(shape) == spec.ndim and all(size == made_for for size, made_for in numbers)


def _leaves(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any], skeleton: Any
) -> Iterator[tuple[Any, Any, str]]:
    """The parts of a skeleton of the inputs, with what a call gives for each, and where that is."""
    names, given = _bound(call, args, kwargs)
    trees = dict(skeleton["dict"]) if "dict" in skeleton else dict(zip(names, skeleton.get("tuple", ()), strict=False))
    for argument, tree in trees.items():
        if argument in given:
            yield from _parts(tree, given[argument], argument)


def _parts(tree: Any, given: Any, place: str) -> Iterator[tuple[Any, Any, str]]:
    parts = tree.get("dict", tree.get("tuple", tree.get("list")))
    if "record" in tree and given is not None:
        for key in tree["dict"]:
            yield from _parts(tree["dict"][key], getattr(given, key, None), f"{place}.{key}")
    elif parts is not None and isinstance(given, Mapping | list | tuple):
        items = parts.items() if isinstance(parts, dict) else enumerate(parts)
        for key, part in items:
            if key in given if isinstance(given, Mapping) else isinstance(key, int) and key < len(given):
                yield from _parts(part, given[key], f"{place}[{key!r}]")
    yield tree, given, place


def _require(tree: Any, given: Any, place: str) -> None:
    if not ("value" in tree or "none" in tree) or isinstance(given, jax.core.Tracer):
        return
    made_for = tree.get("value")
    if given is made_for or (given is not None and made_for is not None and np.array_equal(given, made_for)):
        return
    if isinstance(made_for, float) and getattr(given, "dtype", None) == np.float32 and given == np.float32(made_for):
        return
    raise BadCase(
        f"{place} has another value than the model was converted for",
        code="C192",
        received=repr(given) if given is None or isinstance(given, str | bool | int | float) else _shown(given),
        why=f"the code is made for {place}={made_for!r}, which is no array in the example inputs",
        next="convert the model again, with this value in the example inputs",
    )


def _bound(
    call: Callable[..., Any], args: tuple[Any, ...], kwargs: Mapping[str, Any]
) -> tuple[list[str], Mapping[str, Any]]:
    """The names of a call's arguments, and what they get; nothing where the call itself will say what is wrong."""
    try:
        signature = inspect.signature(call)
        return list(signature.parameters), signature.bind(*args, **kwargs).arguments
    except TypeError:
        return [], {}


def _shown(array: Any) -> str:
    return " ".join(np.array2string(np.asarray(array), separator=", ", threshold=16).split())
