"""Dropout and random numbers in the functions of a `lax.cond` during a check: only the one that runs has them.

A condition is traced with both of its functions, so that what is drawn there would be counted for both. Which one runs
is known where nothing is traced, as under `jax.disable_jit`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unittest import mock

import jax

from regauge.run.dropout_masks import MasksDoNotFit


class Calls(Protocol):
    """What dropout does in a check; `setting`, "off" in particular, as `dropout_control` has it."""

    setting: str

    def calls(self) -> int:
        """How many have been noted."""

    def forget(self, since: int) -> None:
        """Leave out the calls from this number on."""


class DrawsByCondition(MasksDoNotFit):
    """How often a model draws depends on a condition, whose value is not known while the model is traced."""

    def __init__(self) -> None:
        super().__init__("which random numbers are drawn depends on a condition, whose value is not known in a trace")


@contextmanager
def conditions_by_value(dropouts: Calls, drawn: Callable[[], int] | None) -> Iterator[None]:
    """Within the block a condition whose value is known runs the function that it is for, and no other.

    Args:
        dropouts: of the check.
        drawn: how many other numbers have been drawn; None where both sides draw their own.

    Raises:
        DrawsByCondition: a function draws, and the value is not known. With "off", dropout is not noted instead.
    """
    drawn = drawn or (lambda: 0)
    own = jax.lax.cond

    def cond(pred: Any, true_fun: Any, false_fun: Any, *operands: Any, **options: Any) -> Any:
        decided = _value(pred)
        if decided is not None and not options:
            return (true_fun if decided else false_fun)(*operands)
        before, numbers, setting = dropouts.calls(), drawn(), dropouts.setting
        dropouts.setting = "off"
        try:
            result = own(pred, true_fun, false_fun, *operands, **options)
        finally:
            dropouts.setting = setting
        if drawn() > numbers or (dropouts.calls() > before and setting != "off"):
            raise DrawsByCondition
        dropouts.forget(before)
        return result

    with mock.patch.object(jax.lax, "cond", cond):
        yield


def by_value(function: Callable[..., Any], *args: Any) -> Any:
    """What a compiled function gives; run operator by operator, so that conditions have values, if draws need it."""
    try:
        return function(*args)
    except DrawsByCondition:
        with jax.disable_jit():
            return function(*args)


def _value(pred: Any) -> bool | None:
    try:
        return bool(pred)
    except jax.errors.ConcretizationTypeError:
        return None
