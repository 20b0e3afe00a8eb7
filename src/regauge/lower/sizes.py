"""Symbolic sizes at the example's values."""

from __future__ import annotations

from collections.abc import Mapping

from regauge.ir.graph import Sym


def evaluate_size(size: int | Sym, hints: Mapping[str, int]) -> int:
    """A size at the example's values of the symbols."""
    return size if isinstance(size, int) else int(evaluate_number(size, hints))


def evaluate_number(number: Sym, hints: Mapping[str, int]) -> int | float:
    """The same of a number that code computes from sizes; a float stays one, for the dtype that it promotes to."""
    return eval(number.text, {"__builtins__": {"max": max, "min": min, "abs": abs, "float": float}}, dict(hints))
