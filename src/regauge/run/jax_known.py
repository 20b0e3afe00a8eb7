"""Calls of a converted model whose code holds some of what it is given: other values are refused, not left out.

These are inputs that were known at conversion, and what is no array: flags, numbers, texts and None.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np

from regauge.errors import BadCase
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
    names, given = _bound(call, args, kwargs)
    trees = dict(inputs["dict"]) if "dict" in inputs else dict(zip(names, inputs.get("tuple", ()), strict=False))
    for argument, tree in trees.items():
        if argument in given:
            _require(tree, given[argument], argument)


def _require(tree: Any, given: Any, place: str) -> None:
    parts = tree.get("dict", tree.get("tuple", tree.get("list")))
    if "record" in tree and given is not None:
        for key in tree["dict"]:
            _require(tree["dict"][key], getattr(given, key, None), f"{place}.{key}")
    elif parts is not None and isinstance(given, Mapping | list | tuple):
        items = parts.items() if isinstance(parts, dict) else enumerate(parts)
        for key, part in items:
            if key in given if isinstance(given, Mapping) else isinstance(key, int) and key < len(given):
                _require(part, given[key], f"{place}[{key!r}]")
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
