"""Correct pairs: the same function written in another way on one side or on both."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from judge.mutation import edited, load, text_of

Edits = tuple[tuple[str, str], ...]
Sides = Literal["torch-jax", "jax-torch", "torch-torch", "jax-jax"]


@dataclass(frozen=True)
class Pair:
    """Two sides that are the same function.

    Attributes:
        name: how they differ.
        base: what they are made of.
        make: the arguments of `regauge.check`; modules are written into the directory that it gets.
        options: of the check.
    """

    name: str
    base: str
    make: Callable[[Path], tuple[Any, ...]]
    options: dict[str, Any] = field(default_factory=dict)


def variant(
    name: str, base: str, *edits: tuple[str, str], sides: Sides = "torch-jax", original: Edits = (), **options: Any
) -> Pair:
    """A pair of a base of which one side is written in another way.

    Args:
        name: how it is written.
        base: file of `bases`.
        edits: of the file that the converted side comes from.
        sides: which side is the original. Of two sides of one framework the first is the base as it is.
        original: edits of the original's file.
        options: of the check.
    """

    def make(directory: Path) -> tuple[Any, Any]:
        plain = load(base, edited(text_of(base), original), directory)
        other = load(base, edited(text_of(base), edits), directory)
        case = plain.original()
        if sides == "torch-torch":
            return case, other.original()
        if sides == "jax-jax":
            return plain.port(case), other.port(case)
        port = other.port(case)
        return (port, case) if sides == "jax-torch" else (case, port)

    return Pair(name, base, make, options)
