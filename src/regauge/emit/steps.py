"""Steps of the person's own loops: items of one call that came from the same lines again and again.

torch.export unrolls a loop. Where its steps can be told apart, what one of them computes is written like what the
others compute, and never inside an expression of another step: then the lines can become a loop again (`rolling.py`).
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Collection, Hashable, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regauge.emit.original_loops import OriginalLoop, loop_at
from regauge.emit.scopes import Item, Scope, is_body, item_outputs
from regauge.emit.statements import frames_of, line_of
from regauge.ir.graph import Frame

_INDEX = re.compile(r"\.\d+")
_MOST_TRIES = 64  # places of one key that are looked at for the step after


@dataclass(frozen=True)
class SourceLine:
    """A line in a loop of the person's: the loop, and the lines at which it is reached, outermost first."""

    loop: OriginalLoop
    places: tuple[int, ...]


@dataclass(frozen=True)
class Spot:
    """What is written or computed at one place: what it has in common with that of other steps, and its line."""

    key: Hashable
    line: SourceLine | None = None


@dataclass(frozen=True)
class Stretch:
    """Equal steps one after the other: where the first begins, how long each is, and how many there are.

    `inner` are those within each step, from its beginning on.
    """

    start: int
    period: int
    count: int
    inner: tuple[Stretch, ...] = ()

    @property
    def end(self) -> int:
        return self.start + self.period * self.count


@dataclass
class Steps:
    """The steps of the loops in one call.

    Attributes:
        places: of an item, the loops around it with the number of the step of each.
        kinds: of an item, its place in the step, which is the same for the items of all steps that correspond.
        named: the kinds of items whose results get a name in every step, and items outside of which a step reads.
        lines: the lines in loops, by what emitted code has for them.
        origins: of an item, what emitted code has for its line.
    """

    places: dict[Item, tuple[tuple[int, int], ...]] = field(default_factory=dict)
    kinds: dict[Item, Hashable] = field(default_factory=dict)
    named: set[Hashable] = field(default_factory=set)
    lines: dict[str, SourceLine] = field(default_factory=dict)
    origins: dict[Item, str] = field(default_factory=dict)

    def are_apart(self, item: Item, reader: Item | None) -> bool:
        """Whether an item and what reads it are of different steps."""
        return reader is not None and self.places.get(item, ()) != self.places.get(reader, ())

    @property
    def named_lines(self) -> set[str]:
        """The lines of the original that the items in loops are from whose results get a name."""
        return {self.origins[item] for item in self.kinds if self.is_named(item)}

    def __or__(self, other: Steps) -> Steps:
        """The steps of one code in two modes."""
        return Steps(
            self.places | other.places,
            self.kinds | other.kinds,
            self.named | other.named,
            self.lines | other.lines,
            self.origins | other.origins,
        )

    def is_named(self, item: Item) -> bool:
        """Whether the result of an item gets a name."""
        return self.kinds.get(item, item) in self.named


def steps_of(
    scope: Scope, readers: Mapping[str, Sequence[Item]], used: Mapping[str, int], looped: Collection[str] | None
) -> Steps:
    """The steps of a call.

    Args:
        scope: the call.
        readers: the items that read a value.
        used: how many times a value is read.
        looped: the lines of the original that are looked at; None for all.
    """
    found = Steps()
    if looped is not None and not looped:
        return found
    spots: list[Spot] = []
    for place, item in enumerate(scope.items):
        caller = next((later for later in scope.items[place:] if not is_body(later)), item)
        frames = frames_of(scope, caller)
        origin = line_of(scope, item)
        loop = loop_at(frames) if looped is None or origin in looped else None
        line = SourceLine(loop, tuple(frame.line for frame in frames)) if loop is not None else None
        if line is not None:
            found.lines.setdefault(origin, line)
        found.origins[item] = origin
        spots.append(Spot(_key(item, frames if line is not None else ()), line))
    _note(stretches(spots), scope.items, (), (), found)
    results = set(scope.results())
    for item in scope.items if found.kinds else ():
        for name in item_outputs(item):
            apart = any(found.are_apart(item, reader) for reader in readers.get(name, ()))
            several = item in found.kinds and (used.get(name, 0) > 1 or name in results)
            if used.get(name, 0) and (apart or several):
                found.named.add(found.kinds.get(item, item))
    return found


def _note(
    found: Sequence[Stretch],
    items: Sequence[Item],
    places: tuple[tuple[int, int], ...],
    kind: tuple[int, ...],
    steps: Steps,
) -> None:
    """Note the steps of loops among some items, and of the loops within their steps."""
    for stretch in found:
        for step in range(stretch.count):
            begin = stretch.start + step * stretch.period
            part = items[begin : begin + stretch.period]
            around = (*places, (stretch.start, step))
            for offset, item in enumerate(part):
                steps.places[item], steps.kinds[item] = around, (*kind, stretch.start, offset)
            _note(stretch.inner, part, around, (*kind, stretch.start), steps)


def stretches(spots: Sequence[Spot], within: OriginalLoop | None = None) -> list[Stretch]:
    """The longest repetitions in a sequence, none of which overlaps another, with those in each of their steps.

    A step begins at its first line, and has all lines of its loop that come from it. `within` is the loop around.
    """
    places: dict[Hashable, list[int]] = {}
    for place, spot in enumerate(spots):
        if spot.line is not None and spot.line.loop is not within:
            places.setdefault(spot.key, []).append(place)
    found: list[Stretch] = []
    start = 0
    while start < len(spots):
        stretch = _longest(spots, start, places.get(spots[start].key, ()), within)
        if stretch is None:
            start += 1
            continue
        step = spots[stretch.start : stretch.start + stretch.period]
        loop = max((spot.line.loop for spot in step if spot.line is not None), key=lambda loop: loop.length)
        found.append(replace(stretch, inner=tuple(stretches(step, loop))))
        start = stretch.end
    return found


def _longest(spots: Sequence[Spot], start: int, places: Sequence[int], within: OriginalLoop | None) -> Stretch | None:
    """The longest repetition that begins at a place; `places` are those of its key."""
    best: Stretch | None = None
    first = bisect_right(places, start)
    for place in places[first : first + _MOST_TRIES]:
        period, length = place - start, 0
        while start + length + period < len(spots) and spots[start + length].key == spots[start + length + period].key:
            length += 1
        found = _from_first_line(spots, start, period, length + period, within)
        if found is not None and (best is None or found.period * found.count > best.period * best.count):
            best = found
    return best


def _from_first_line(
    spots: Sequence[Spot], start: int, period: int, length: int, within: OriginalLoop | None
) -> Stretch | None:
    """The whole steps in a repetition; None where there are no two, or where they are parts of one step."""
    step = spots[start : start + period]
    lines = [spot.line for spot in step if spot.line is not None]
    if length < 2 * period or any(line.loop is within for line in lines):
        return None
    if all(line == lines[0] for line in lines) and not _is_apart(spots, lines[0]):
        return None
    begin = min(line.places for line in lines)
    offset = next(i for i, spot in enumerate(step) if spot.line is not None and spot.line.places == begin)
    count = (length - offset) // period
    return Stretch(start + offset, period, count) if count > 1 else None


def _is_apart(spots: Sequence[Spot], line: SourceLine) -> bool:
    """Whether no other line of its loop comes between the places of a line: else it is a part of each step alone."""
    places = [place for place, spot in enumerate(spots) if spot.line == line]
    between = spots[places[0] : places[-1]]
    return all(spot.line is None or spot.line == line or spot.line.loop is not line.loop for spot in between)


def _key(item: Item, frames: tuple[Frame, ...]) -> Hashable:
    """What the items of two steps that correspond have in common: what they do, and the lines that they come from."""
    return ("call", _INDEX.sub(".#", item.path), frames) if isinstance(item, Scope) else ("", item.op, frames)
