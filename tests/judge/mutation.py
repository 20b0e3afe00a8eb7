"""A mutant: the text of a base file with something changed, loaded as a module of its own."""

from __future__ import annotations

import importlib.util
import itertools
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

BASES = Path(__file__).parent / "bases"

_numbers = itertools.count()


@dataclass(frozen=True)
class At:
    """One base that a mutation is put into.

    Attributes:
        base: file of `bases`, without the ending.
        edits: pairs of texts, old and new; the old one must occur, and every occurrence is replaced.
        module: where the first difference is to be named, in the original's names; empty if the result need not name
            a module (a loss, an optimizer, a random mask).
        common: edits of both sides before: the base that the mistake needs.
    """

    base: str
    edits: tuple[tuple[str, str], ...]
    module: str = ""
    common: tuple[tuple[str, str], ...] = ()


def at(base: str, module: str, *edits: tuple[str, str], common: tuple[tuple[str, str], ...] = ()) -> At:
    """A base with its edits."""
    return At(base, edits, module, common)


@dataclass(frozen=True)
class Mutation:
    """One mistake, in several bases.

    Attributes:
        name: what it is.
        tier: the tier that must be *different*, by the beginning of its name.
        causes: keys of causes of which one must be among the first two; empty where the table of causes has none.
        places: bases with what is changed in each.
        whole: whether it takes the whole check with float32; the quick one in float64 alone otherwise.
        trains: whether training steps are judged too: they cost the most, and most mistakes do not need them.
        verdict: what the check must say; "refused" if it must raise.
    """

    name: str
    tier: str
    causes: tuple[str, ...]
    places: tuple[At, ...]
    whole: bool = False
    trains: bool = False
    verdict: str = "different"


def text_of(base: str) -> str:
    return (BASES / f"{base}.py").read_text(encoding="utf-8")


def edited(text: str, edits: tuple[tuple[str, str], ...]) -> str:
    """A text with every old part replaced by its new one.

    Raises:
        ValueError: an old part does not occur.
    """
    for old, new in edits:
        if old not in text:
            raise ValueError(f"{old!r} does not occur")
        text = text.replace(old, new)
    return text


def mutated(place: At) -> tuple[str, str, int]:
    """The texts of the original's file and of the mutant's, and the first line that differs (0 if none does)."""
    before = edited(text_of(place.base), place.common)
    after = edited(before, place.edits)
    lines = enumerate(zip(before.splitlines(), after.splitlines(), strict=False), start=1)
    return before, after, next((number for number, (one, other) in lines if one != other), 0)


def load(base: str, text: str, directory: Path) -> ModuleType:
    """The module of a text, in a file of its own, so that its lines can be named."""
    name = f"judge_{base}_{next(_numbers)}"
    path = directory / f"{name}.py"
    path.write_text(text, encoding="utf-8")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ValueError(f"{path} cannot be loaded")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module
