"""Steps of the person's own loops: items of one call that came from the same lines again and again.

torch.export unrolls a loop. Where its steps can be told apart, what one of them computes is written like what the
others compute, and never inside an expression of another step: then the lines can become a loop again (`rolling.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from regauge.emit.original_loops import OriginalLoop, loop_at
from regauge.emit.scopes import Item, Scope, item_outputs
from regauge.emit.statements import frames_of
from regauge.ir.graph import Frame, Node

Key = tuple[Hashable, ...]

_INDEX = re.compile(r"\.\d+")
_MOST_TRIES = 64  # places of one key that are looked at for the step after


@dataclass(frozen=True)
class Stretch:
    """Equal steps one after the other: where the first begins, how long each is, and how many there are."""

    start: int
    period: int
    count: int

    @property
    def end(self) -> int:
        return self.start + self.period * self.count


@dataclass
class Steps:
    """The steps of the loops in one call.

    Attributes:
        places: of an item, the loops around it with the number of the step of each.
        kinds: of an item, its place in the step, which is the same for the items of all steps that correspond.
        named: the kinds of items whose results get a name in every step.
        loops: the person's loops, by the lines of the original in them.
    """

    places: dict[Item, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    kinds: dict[Item, Hashable] = field(default_factory=dict)
    named: set[Hashable] = field(default_factory=set)
    loops: dict[str, OriginalLoop] = field(default_factory=dict)

    def are_apart(self, item: Item, reader: Item | None) -> bool:
        """Whether an item and what reads it are of different steps."""
        return reader is not None and self.places.get(item, ()) != self.places.get(reader, ())

    def is_named(self, item: Item) -> bool:
        """Whether the result of an item gets a name."""
        return item in self.kinds and self.kinds[item] in self.named


def steps_of(scope: Scope, readers: Mapping[str, Sequence[Item]], used: Mapping[str, int]) -> Steps:
    """The steps of a call.

    Args:
        scope: the call.
        readers: the items that read a value.
        used: how many times a value is read.
    """
    found = Steps()
    keys: list[Key] = []
    for item in scope.items:
        frames = frames_of(scope, item)
        loop = loop_at(frames)
        if loop is not None:
            found.loops[line_of(item)] = loop
        keys.append(_key(item, frames if loop is not None else ()))
    _find(scope.items, keys, (), (), found)
    results = set(scope.results())
    for item, kind in found.kinds.items():
        outputs = [name for name in item_outputs(item) if used.get(name, 0)]
        for name in outputs:
            reading = readers.get(name, ())
            if used[name] > 1 or name in results or any(found.are_apart(item, reader) for reader in reading):
                found.named.add(kind)
    return found


def _find(
    items: Sequence[Item],
    keys: Sequence[Key],
    places: tuple[tuple[int, int], ...],
    kind: tuple[int, ...],
    found: Steps,
) -> None:
    """Note the steps of all loops among some items, and of the loops within their steps."""
    for stretch in stretches(keys):
        for step in range(stretch.count):
            begin = stretch.start + step * stretch.period
            part = slice(begin, begin + stretch.period)
            around = (*places, (stretch.start, step))
            for offset, item in enumerate(items[part]):
                found.places[item], found.kinds[item] = around, (*kind, stretch.start, offset)
            if stretch.period > 1:
                _find(items[part], keys[part], around, (*kind, stretch.start), found)


def stretches(keys: Sequence[Key]) -> list[Stretch]:
    """The longest repetitions in a sequence of keys, none of which overlaps another.

    A key of which the last part is empty begins none.
    """
    places: dict[Key, list[int]] = {}
    for place, key in enumerate(keys):
        if key[-1]:
            places.setdefault(key, []).append(place)
    found: list[Stretch] = []
    start = 0
    while start < len(keys):
        stretch = _first_stretch(keys, start, places.get(keys[start], ()))
        if stretch is not None:
            found.append(stretch)
        start = start + 1 if stretch is None else stretch.end
    return found


def _first_stretch(keys: Sequence[Key], start: int, places: Sequence[int]) -> Stretch | None:
    """The repetition with the shortest period that begins at a place; `places` are those of its key."""
    first = bisect_right(places, start)
    for place in places[first : first + _MOST_TRIES]:
        period, length = place - start, 0
        while start + length + period < len(keys) and keys[start + length] == keys[start + length + period]:
            length += 1
        if length >= period:
            return Stretch(start, period, length // period + 1)
    return None


def _key(item: Item, frames: tuple[Frame, ...]) -> Key:
    """What the items of two steps that correspond have in common: what they do, and the lines that they come from."""
    return ("call", _INDEX.sub(".#", item.path), frames) if isinstance(item, Scope) else ("", item.op, frames)


def line_of(item: Item) -> str:
    """The line of the original that an item is from, as lines of emitted code have it."""
    node = item if isinstance(item, Node) else next(item.nodes(), None)
    return node.origin.line if node is not None else ""
