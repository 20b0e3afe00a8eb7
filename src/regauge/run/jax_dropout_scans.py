"""Dropout in the function of a `lax.scan` during a check: each step has masks of its own.

A scan traces its function once for all steps, so that what dropout notes and is given there would be that of one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, Protocol
from unittest import mock

import jax
import jax.numpy as jnp
from flax.core import axes_scan


class Dropouts(Protocol):
    """What dropout does in a check; `setting`, "off" in particular, as `dropout_control` has it."""

    setting: str
    quiet: bool

    def calls(self) -> int:
        """How many have been noted."""

    def forget(self, since: int) -> None:
        """Leave out the calls from this number on."""

    def repeat(self, since: int, times: int) -> None:
        """Note the calls from this number on so many times in all."""


@contextmanager
def scans_step_by_step(dropouts: Dropouts) -> Iterator[None]:
    """Within the block a scan whose function drops is the loop that it stands for where masks count.

    With "off" it stays the scan that it is, and its trace is noted once for each step.
    """
    own = jax.lax.scan

    def scan(f: Any, init: Any, xs: Any = None, length: Any = None, reverse: bool = False, **options: Any) -> Any:
        if dropouts.quiet:
            return own(f, init, xs, length, reverse, **options)
        before, setting = dropouts.calls(), dropouts.setting
        dropouts.setting = "off"
        try:
            result = own(f, init, xs, length, reverse, **options)
        finally:
            dropouts.setting = setting
        if dropouts.calls() == before:
            return result
        count = int(jax.tree.leaves(xs)[0].shape[0]) if length is None else int(length)
        if setting == "off":
            dropouts.repeat(before, count)
            return result
        dropouts.forget(before)
        return _loop(f, init, xs, count, reverse)

    tracing = _Quiet(axes_scan.pe, dropouts)
    with mock.patch.object(jax.lax, "scan", scan), mock.patch.object(axes_scan, "pe", tracing):
        yield


def _loop(f: Callable[[Any, Any], Any], carry: Any, xs: Any, count: int, reverse: bool) -> Any:
    made: list[Any] = [None] * count
    for index in reversed(range(count)) if reverse else range(count):
        carry, made[index] = f(carry, jax.tree.map(lambda array, index=index: array[index], xs))
    return carry, jax.tree.map(lambda *rows: jnp.stack(rows), *made)


class _Quiet:
    """The module that Flax traces a scan's function with once more, to see what no step changes; that notes nothing."""

    def __init__(self, module: Any, dropouts: Dropouts) -> None:
        self._module, self._dropouts = module, dropouts

    def __getattr__(self, name: str) -> Any:
        return getattr(self._module, name)

    def trace_to_jaxpr_nounits(self, *args: Any, **options: Any) -> Any:
        """As in the module; dropout does nothing meanwhile."""
        before, self._dropouts.quiet = self._dropouts.quiet, True
        try:
            return self._module.trace_to_jaxpr_nounits(*args, **options)
        finally:
            self._dropouts.quiet = before
