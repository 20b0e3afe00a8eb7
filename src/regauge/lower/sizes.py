"""Symbolic sizes at the example's values."""

from __future__ import annotations

from collections.abc import Mapping

from regauge.ir.graph import Sym


def evaluate_size(size: int | Sym, hints: Mapping[str, int]) -> int:
    """A size at the example's values of the symbols."""
    if isinstance(size, int):
        return size
    return int(eval(size.text, {"__builtins__": {"max": max, "min": min, "abs": abs}}, dict(hints)))
