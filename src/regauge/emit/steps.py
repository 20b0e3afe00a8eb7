"""Steps of the person's own loops: items of one call that came from the same lines again and again.

torch.export unrolls a loop. Where its steps can be told apart, what one of them computes is written like what the
others compute, and never inside an expression of another step: then the lines can become a loop again (`rolling.py`).
"""

from __future__ import annotations

import re
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field

from regauge.emit.scopes import Item, Scope, item_outputs
from regauge.emit.statements import frames_of

Key = tuple[Hashable, ...]

_INDEX = re.compile(r"\.\d+")


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
    """

    places: dict[Item, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    kinds: dict[Item, Hashable] = field(default_factory=dict)
    named: set[Hashable] = field(default_factory=set)

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
    _find(scope.items, [_key(scope, item) for item in scope.items], (), (), found)
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
    following: list[int] = [-1] * len(keys)
    last: dict[Key, int] = {}
    for place in reversed(range(len(keys))):
        following[place] = last.get(keys[place], -1)
        if keys[place][-1]:
            last[keys[place]] = place
    found: list[Stretch] = []
    start = 0
    while start < len(keys):
        period = following[start] - start
        length = _equal(keys, start, period) if period > 0 else 0
        if length >= period > 0:
            found.append(Stretch(start, period, length // period + 1))
            start = found[-1].end
        else:
            start += 1
    return found


def _equal(keys: Sequence[Key], start: int, period: int) -> int:
    """How many keys from a place on are equal to those one period later."""
    length = 0
    while start + length + period < len(keys) and keys[start + length] == keys[start + length + period]:
        length += 1
    return length


def _key(scope: Scope, item: Item) -> Key:
    """What the items of two steps that correspond have in common: what they do, and the lines that they come from."""
    frames = frames_of(scope, item)
    return ("call", _INDEX.sub(".#", item.path), frames) if isinstance(item, Scope) else ("", item.op, frames)
