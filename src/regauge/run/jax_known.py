"""Calls of a converted model whose code holds the values of some inputs: other values are refused, not left out."""

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
    try:
        signature = inspect.signature(call)
        given = signature.bind(*args, **kwargs).arguments
    except TypeError:  # the call itself says what is wrong
        return
    names = list(signature.parameters)
    for place in dict.fromkeys(name.split(".")[1] for name in known):
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


def _shown(array: Any) -> str:
    return " ".join(np.array2string(np.asarray(array), separator=", ", threshold=16).split())
