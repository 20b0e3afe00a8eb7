"""Dropout in the functions of a `lax.cond` during a check: only the one that runs has masks.

A condition is traced with both of its functions, so that what dropout notes and is given there would be that of both.
Which one runs is known where nothing is traced, as under `jax.disable_jit`.
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


class DropsByCondition(MasksDoNotFit):
    """How often a model drops depends on a condition, whose value is not known while the model is traced."""

    def __init__(self) -> None:
        super().__init__("which elements are dropped depends on a condition, whose value is not known in a trace")


@contextmanager
def conditions_by_value(dropouts: Calls) -> Iterator[None]:
    """Within the block a condition whose value is known runs the function that it is for, and no other.

    Raises:
        DropsByCondition: a function drops, and the value is not known. With "off" such calls are not noted.
    """
    own = jax.lax.cond

    def cond(pred: Any, true_fun: Any, false_fun: Any, *operands: Any, **options: Any) -> Any:
        decided = _value(pred)
        if decided is not None and not options:
            return (true_fun if decided else false_fun)(*operands)
        before, setting = dropouts.calls(), dropouts.setting
        dropouts.setting = "off"
        try:
            result = own(pred, true_fun, false_fun, *operands, **options)
        finally:
            dropouts.setting = setting
        if dropouts.calls() > before:
            if setting != "off":
                raise DropsByCondition
            dropouts.forget(before)
        return result

    with mock.patch.object(jax.lax, "cond", cond):
        yield


def by_value(function: Callable[..., Any], *args: Any) -> Any:
    """What a compiled function gives; run operator by operator, so that conditions have values, if dropout needs it."""
    try:
        return function(*args)
    except DropsByCondition:
        with jax.disable_jit():
            return function(*args)


def _value(pred: Any) -> bool | None:
    try:
        return bool(pred)
    except jax.errors.ConcretizationTypeError:
        return None
