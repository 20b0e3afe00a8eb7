"""Haiku's transforms, without Haiku: what one is, and which function of a person it was made of."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Any
from unittest import mock

from regauge.run.jax_trees import path_name


@dataclass(frozen=True)
class FunctionalDropout:
    """A call of `hk.dropout`, as the module that it would be.

    Attributes:
        rate: how much is dropped.
        function: `hk.dropout` itself.
    """

    rate: float
    function: Callable[..., Any]


def is_haiku(model: Any) -> bool:
    """Whether an object is a transform."""
    return hasattr(model, "init") and hasattr(model, "apply") and type(model).__name__.startswith("Transformed")


def haiku_function(apply: Any) -> Any:
    """The function that was transformed: Haiku keeps it in the closures of its own; None if it is not there."""
    seen: list[Any] = [apply]
    for function in seen:
        for cell in getattr(function, "__closure__", None) or ():
            content = cell.cell_contents
            if is_haiku(content):
                seen.append(content.apply)
            elif inspect.isfunction(content) and content not in seen:
                if not content.__module__.startswith("haiku."):
                    return content
                seen.append(content)
    return None


@contextmanager
def module_scopes(scope: Callable[[str, Any], Any]) -> Iterator[None]:
    """Within the block each call of a module of Haiku is a scope, by the path that its parameters have.

    Args:
        scope: makes the scope of a path and a module.
    """
    haiku = sys.modules.get("haiku")
    if haiku is None:
        yield
        return
    active: list[Any] = []

    def intercept(following: Callable[..., Any], args: Any, kwargs: Any, context: Any) -> Any:
        module = context.module
        if context.method_name != "__call__" or any(module is outer for outer in active):  # what a class inherits
            return following(*args, **kwargs)
        active.append(module)
        try:
            with scope(path_name((module.module_name,)), module):
                return following(*args, **kwargs)
        finally:
            active.pop()

    with haiku.intercept_methods(intercept):
        yield


@contextmanager
def dropout_scopes(scope: Callable[[str, Any], Any]) -> Iterator[None]:
    """Within the block each call of `hk.dropout` is a scope: Haiku has a function where others have a module.

    Args:
        scope: makes the scope of a path and a module.
    """
    haiku = sys.modules.get("haiku")
    if haiku is None:
        yield
        return
    own, numbers = haiku.dropout, count()

    def dropout(rng: Any, rate: Any, x: Any, broadcast_dims: Sequence[int] = ()) -> Any:
        number = next(numbers)  # of calls that drop nothing too, so that both modes count alike
        if not isinstance(rate, int | float) or broadcast_dims:
            return own(rng, rate, x, broadcast_dims)
        with scope(f"dropout_{number}" if number else "dropout", FunctionalDropout(float(rate), own)):
            return own(rng, rate, x)

    with mock.patch.object(haiku, "dropout", dropout):
        yield
