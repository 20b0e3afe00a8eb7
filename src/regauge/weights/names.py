"""Paths of tensors, read: words by their synonyms, numbers as positions, what kind of tensor the last word names."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache, lru_cache

from regauge.weights import synonyms

_LEAF_AFFIX = re.compile(r"^(weight|bias)_(.+)$|^(.+)_(weight|bias|kernel|scale)$")
_NUMBERED_LEAF = re.compile(r"^(weight|bias|kernel|w|b)_?(\d+)$")


ROOT = "."  # the module of a path that has none


@dataclass(frozen=True)
class Name:
    """A path, read.

    Attributes:
        raw: as it was given.
        kind: weight, bias, mean, variance, count, or empty where the last word names none of them.
        leaf: the last word as it was written, lower case.
        words: the canonical words of the module, without numbers.
        numbers: the numbers in the path that no phrase has swallowed, each with its place in it.
        pattern: the words as written with `#` for each such number: equal for the members of one family.
        prefixes: every beginning of the module's path, from the shortest to the whole.
    """

    raw: str
    kind: str
    leaf: str
    words: tuple[str, ...]
    numbers: tuple[tuple[int, int], ...]
    pattern: str
    prefixes: tuple[str, ...]

    @property
    def around(self) -> tuple[str, ...]:
        """The prefixes; a tensor of the root has the root."""
        return self.prefixes or (ROOT,)

    @property
    def module(self) -> str:
        return self.around[-1]


@lru_cache(maxsize=65536)
def read(raw: str) -> Name:
    """A path such as ``encoder.layer.0.attention.self.query.weight`` or ``['params']['layers_0']['attn']``."""
    components = [part for part in re.split(r"[./\[\]'\"]+", raw) if part]
    while len(components) > 1 and components[-1] in synonyms.ENDINGS:
        components.pop()
    while len(components) > 1 and components[0] in synonyms.WRAPPERS:
        components.pop(0)
    *module, last = components or [raw]
    kind, leaf, rest = _leaf(_snake(last))
    written = [word for part in [*module, *rest] for word in _split(part)]
    canonical = _canonical(written)
    prefixes = tuple(".".join(written[: n + 1]) for n in range(len(written)))
    kept = {place for word, place in canonical if word.isdigit()}
    pattern = ".".join(["#" if place in kept else word for place, word in enumerate(written)] + [kind or leaf])
    words = tuple(word for word, _ in canonical if not word.isdigit())
    numbers = tuple((int(word), place) for word, place in canonical if word.isdigit())
    return Name(raw, kind, leaf, words, numbers, pattern, prefixes)


def _snake(component: str) -> str:
    spaced = re.sub(r"([a-z0-9])([A-Z])|([A-Z])([A-Z][a-z])", r"\1\3_\2\4", component)
    return spaced.lower().strip("_")


def _split(component: str) -> list[str]:
    return re.findall(r"[a-z]+|\d+", _snake(component))


@cache
def _kind_words() -> dict[str, str]:
    return {word: kind for kind, words in synonyms.KINDS.items() for word in words}


def _leaf(last: str) -> tuple[str, str, list[str]]:
    """(kind, leaf word, what of the last component belongs to the module)"""
    if last in _kind_words():
        return _kind_words()[last], last, []
    numbered = _NUMBERED_LEAF.match(last)
    if numbered:
        return _kind_words()[numbered[1]], numbered[1], [numbered[2]]
    affixed = _LEAF_AFFIX.match(last)
    if affixed:
        word, rest = (affixed[1], affixed[2]) if affixed[1] else (affixed[4], affixed[3])
        return _kind_words()[word], word, [rest]
    return "", last, [last]


@cache
def _phrases() -> dict[tuple[str, ...], tuple[str, ...]]:
    return {
        tuple(written.split()): tuple(canonical.split())
        for canonical, ways in synonyms.PHRASES.items()
        for written in ways
    }


def _canonical(written: Sequence[str]) -> list[tuple[str, int]]:
    """(word, its place in `written`): the longest phrases that begin at each place are replaced.

    A number inside a phrase belongs to the phrase and goes with it, unless the phrase keeps it.
    """
    longest = max(len(phrase) for phrase in _phrases())
    result: list[tuple[str, int]] = []
    place = 0
    while place < len(written):
        for length in range(min(longest, len(written) - place), 0, -1):
            run = tuple(written[place : place + length])
            found = _phrases().get(run) or _with_number(run)
            if found:
                last = place + length - 1
                result += [(word, last) for word in found if not result or word != result[-1][0]]
                place += length
                break
        else:
            result.append((written[place], place))
            place += 1
    return result


def _with_number(run: tuple[str, ...]) -> tuple[str, ...] | None:
    if not run[-1].isdigit() or len(run) < 2:
        return None
    found = _phrases().get((*run[:-1], "#"))
    return tuple(run[-1] if word == "#" else word for word in found) if found else None


def natural(raw: str) -> tuple[tuple[int, int, str], ...]:
    """A sort key that puts ``layers.2`` before ``layers.10``."""
    pieces = re.findall(r"\d+|\D+", raw)
    return tuple((0, int(piece), "") if piece.isdigit() else (1, 0, piece) for piece in pieces)


def positions(names: Iterable[Name]) -> dict[str, tuple[int, ...]]:
    """The numbers of each path as places among those that occur there: 0, 2, 5 and 1, 2, 3 both become 0, 1, 2."""
    names = list(names)
    seen: dict[str, set[int]] = {}
    for name in names:
        for before, number in _numbered(name):
            seen.setdefault(before, set()).add(number)
    ranks = {before: {number: n for n, number in enumerate(sorted(found))} for before, found in seen.items()}
    return {name.raw: tuple(ranks[before][number] for before, number in _numbered(name)) for name in names}


def _numbered(name: Name) -> list[tuple[str, int]]:
    """(path before the number, number)"""
    return [(name.prefixes[place - 1] if place else "", number) for number, place in name.numbers]
