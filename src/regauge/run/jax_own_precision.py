"""A JAX function whose values keep float32 where its code makes them shorter: whether that rounding is what differs."""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import jax.numpy as jnp

from regauge.run.jax_equations import evaluated
from regauge.run.jax_rewriting import Rewriting, rewritten
from regauge.run.jax_trace import frame_of

_LOW = ("bfloat16", "float16")


class OwnPrecision(Rewriting):
    """Leaves values in float32 that the code narrows.

    Attributes:
        lines: at which they are left, ``file.py:12``; None for all.
        found: the lines that narrow, with the dtype, in order of the program.
    """

    def __init__(self, lines: Collection[str] | None = None) -> None:
        self.lines = lines
        self.found: dict[str, str] = {}

    @classmethod
    def asked(cls, task: Mapping[str, Any]) -> OwnPrecision | None:
        """As a task asks for it under ``keep``: at the lines of a list, or everywhere."""
        if "keep" not in task:
            return None
        return cls(task["keep"] if isinstance(task["keep"], list) else None)

    def plain(self, equation: Any, values: Sequence[Any]) -> list[Any]:
        file, line = frame_of(equation)
        where = f"{file}:{line}" if file else ""
        made = next((str(v.aval.dtype) for v in equation.outvars if _is_low(v.aval)), "")
        if made and not any(_is_low(atom.aval) for atom in equation.invars):
            self.found.setdefault(where, made)
        if self.lines is not None and where not in self.lines:
            return evaluated(equation, [self.entering(v, a.aval) for v, a in zip(values, equation.invars, strict=True)])
        if equation.primitive.name == "reduce_precision":
            return list(values)
        changes = {name: jnp.dtype("float32") for name, value in equation.params.items() if _is_low_dtype(value)}
        return evaluated(equation, [v.astype("float32") if _is_low(v) else v for v in values], changes)

    def entering(self, value: Any, aval: Any) -> Any:
        if self.lines is None:
            return value.astype("float32") if _is_low(value) else value
        return value.astype(aval.dtype) if _is_low(aval) and value.dtype != aval.dtype else value


def _is_low(value: Any) -> bool:
    return str(getattr(value, "dtype", "")) in _LOW


def _is_low_dtype(value: Any) -> bool:
    try:
        return str(jnp.dtype(value)) in _LOW
    except TypeError:
        return False


def in_own_precision(function: Callable[..., Any], rewriting: OwnPrecision) -> Callable[..., Any]:
    """The function with values left in float32; `rewriting` tells afterwards which lines narrow."""
    return rewritten(function, rewriting)
