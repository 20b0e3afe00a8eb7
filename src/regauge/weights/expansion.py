"""Tensors that are one on one side and several on the other: stacked layers, fused projections and gates."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import Literal

from regauge.weights import synonyms
from regauge.weights.casting import narrower
from regauge.weights.names import Name
from regauge.weights.pair_map import Ranges
from regauge.weights.settling import State
from regauge.weights.units import Unit

MAX_STACK = 512
PARTS = (2, 3, 4)
SIDES: tuple[Literal["source"], Literal["target"]] = ("source", "target")
MAX_HEADS = 128

Pieces = list[Unit]


def stacked(unit: Unit, axis: int) -> Pieces:
    """The members along an axis."""
    rest = unit.shape[:axis] + unit.shape[axis + 1 :]
    return [
        replace(unit, shape=rest, box=narrowed(unit, axis, n, n + 1), layer=n, name=unit.name)
        for n in range(unit.shape[axis])
    ]


def cut(unit: Unit, axis: int, sizes: Sequence[int], words: Sequence[str] = ()) -> Pieces:
    """The parts along an axis, with what each is if its place says it."""
    written = unit.info.name.replace(".", "_")
    assumed = bool(words) and not any(order in written for order in synonyms.DOCUMENTED_ORDERS)
    pieces = []
    for n, (start, stop) in enumerate(itertools.pairwise([0, *itertools.accumulate(sizes)])):
        shape = (*unit.shape[:axis], stop - start, *unit.shape[axis + 1 :])
        name = _renamed(unit.name, words[n]) if words else unit.name
        box = narrowed(unit, axis, start, stop)
        pieces.append(replace(unit, shape=shape, box=box, piece=n, name=name, assumed=assumed))
    return pieces


def interleaved(unit: Unit, axis: int, heads: int, count: int) -> Pieces:
    """The parts along an axis that holds, head by head, all parts of the head."""
    length = unit.shape[axis]
    view = (*unit.shape[:axis], heads, count, length // heads // count, *unit.shape[axis + 1 :])
    shape = (*unit.shape[:axis], length // count, *unit.shape[axis + 1 :])
    return [replace(unit, shape=shape, view=view, box=((axis + 1, n, n + 1),), piece=n) for n in range(count)]


def narrowed(unit: Unit, axis: int, start: int, stop: int) -> Ranges:
    """The box of a unit with one more range; `axis` counts the axes that are left of it."""
    full = unit.view or unit.info.shape
    single = [a for a, first, last in unit.box if unit.layer >= 0 and last - first == 1]
    left = [a for a in range(len(full)) if a not in single]
    return (*unit.box, (left[axis], start, stop))


def _renamed(name: Name, word: str) -> Name:
    fused = [place for place, found in enumerate(name.words) if found in synonyms.FUSED or found in ("ih", "hh")]
    if not fused:
        return replace(name, words=(*name.words, word))
    words = (*name.words[: fused[-1]], word, *name.words[fused[-1] + 1 :])
    return replace(name, words=words)


def by_value(state: State) -> bool:
    """Replace units whose pieces are tensors of the other side, as the values say; whether there were any."""
    changed = False
    for side in SIDES:
        others = state.targets if side == "source" else state.sources
        for unit in [u for u in (state.sources if side == "source" else state.targets) if u.distinct]:
            table = _Table(others)
            if table.holds([unit]):
                continue
            found = _first_found(unit, table)
            if found:
                state.replace(side, unit, found)
                changed = True
    return changed or _both_sides(state)


class _Table:
    """The values of one side's units: how often each occurs."""

    def __init__(self, units: Sequence[Unit]) -> None:
        self.units = [unit for unit in units if unit.distinct]
        self.sizes = Counter(unit.size for unit in self.units)
        self._dtypes = sorted({unit.info.dtype for unit in self.units})
        self._found: dict[str, Counter[tuple[int, int, int]]] = {}

    def holds(self, pieces: Sequence[Unit]) -> bool:
        """Whether each piece is there, equal ones as often as they are asked for."""
        return any(self._holds(pieces, dtype) for dtype in self._dtypes)

    def _holds(self, pieces: Sequence[Unit], dtype: str) -> bool:
        wanted: Counter[tuple[int, int, int]] = Counter()
        for piece in pieces:
            common = narrower(piece.info.dtype, dtype)
            if common is None or piece.size not in self.sizes:
                return False
            signature = piece.signature(common)
            table = self._in(dtype, common)
            if signature is None or not table[signature]:
                return False
            wanted[signature] += 1
            if wanted[signature] > table[signature]:
                return False
        return bool(pieces)

    def _in(self, dtype: str, common: str) -> Counter[tuple[int, int, int]]:
        key = f"{dtype} {common}"
        if key not in self._found:
            signatures = (unit.signature(common) for unit in self.units if unit.info.dtype == dtype)
            self._found[key] = Counter(signature for signature in signatures if signature is not None)
        return self._found[key]


def _first_found(unit: Unit, table: _Table) -> Pieces | None:
    """The fewest pieces that the other side has: parts of one tensor, members of a stack, parts of such members."""
    for pieces in splits(unit, table):
        if table.holds(pieces[:1]) and table.holds(pieces):
            return pieces
    for axis, length in enumerate(unit.shape):
        if not 2 <= length <= MAX_STACK:
            continue
        members = stacked(unit, axis)
        if table.holds(members[:1]) and table.holds(members):
            return members
        if not any(members[0].size % size == 0 for size in table.sizes):
            continue
        for first in splits(members[0], table):
            if not table.holds(first):
                continue
            found = [piece for member in members for piece in _alike(first, members[0], member)]
            if table.holds(found):
                return found
    return None


def _alike(pieces: Pieces, unit: Unit, other: Unit) -> Pieces:
    """The pieces of another member, cut as those of `unit`."""
    kept = len(unit.box)
    return [replace(piece, box=(*other.box, *piece.box[kept:]), layer=other.layer) for piece in pieces]


def splits(unit: Unit, table: _Table) -> Iterator[Pieces]:
    """Ways to cut a unit into parts of sizes that the other side has, the plain ones first."""
    for axis, length in enumerate(unit.shape):
        row = unit.size // length if length else 0
        for count in PARTS:
            if length % count == 0 and unit.size // count in table.sizes and not _rows(unit, length // count):
                yield cut(unit, axis, [length // count] * count)
        for sizes in _uneven(length, row, table):
            yield cut(unit, axis, sizes)
    if unit.layer >= 0:
        return
    for axis, length in enumerate(unit.shape):
        for count in PARTS:
            if length % count or unit.size // count not in table.sizes:
                continue
            for heads in range(2, min(length // count, MAX_HEADS + 1)):
                if (length // count) % heads == 0:
                    yield interleaved(unit, axis, heads, count)


def _rows(unit: Unit, length: int) -> bool:
    """Whether parts of this length are the members of a stack."""
    return length == 1 and len(unit.shape) > 1


def _uneven(length: int, row: int, table: _Table) -> list[tuple[int, ...]]:
    """Lengths of two or three parts, not all equal, that add up to an axis: grouped keys and values, fused inputs."""
    if row < 2 and length < 2:
        return []
    lengths = sorted({size // row for size in table.sizes if row and size % row == 0 and size // row < length})
    found: list[tuple[int, ...]] = [(a, length - a) for a in lengths if length - a in lengths and 2 * a != length]
    for a, b in itertools.product(lengths, lengths):
        c = length - a - b
        if c in lengths and not a == b == c and c > 0:
            found.append((a, b, c))
    return found[:64]


def _both_sides(state: State) -> bool:
    """Fused on one side and stacked on the other: both fall into pieces that are found among each other's."""
    whole = (_Table(state.targets), _Table(state.sources))
    sides = [
        [unit for unit in units if unit.distinct and not others.holds([unit])]
        for units, others in zip((state.sources, state.targets), whole, strict=True)
    ]
    ways = [{unit: list(_plain_ways(unit)) for unit in units} for units in sides]
    if not all(ways):
        return False
    while True:
        tables = [
            _Table([*side, *(piece for found in way.values() for pieces in found for piece in pieces)])
            for side, way in zip(sides, ways, strict=True)
        ]
        kept = [
            {unit: [pieces for pieces in found if tables[1 - n].holds(pieces)] for unit, found in way.items()}
            for n, way in enumerate(ways)
        ]
        if kept == ways:
            break
        ways = kept
    changed = False
    for side, way in ((SIDES[0], ways[0]), (SIDES[1], ways[1])):
        for unit, found in way.items():
            if found:
                fewest: Pieces = min(found, key=len)
                state.replace(side, unit, fewest)
                changed = True
    return changed


def _plain_ways(unit: Unit) -> Iterator[Pieces]:
    if unit.layer >= 0 or unit.piece >= 0:
        return
    for axis, length in enumerate(unit.shape):
        for count in PARTS:
            if length % count == 0 and not _rows(unit, length // count):
                yield cut(unit, axis, [length // count] * count)
        if 2 <= length <= MAX_STACK and len(unit.shape) > 1 and axis == 0:
            yield stacked(unit, axis)


def by_example(state: State) -> bool:
    """Cut what the values cannot tell (zeros, ones) as its neighbours were cut; whether there was any."""
    changed = False
    for side in SIDES:
        units = state.sources if side == "source" else state.targets
        others = state.targets if side == "source" else state.sources
        settled = [pair.source if side == "source" else pair.target for pair in state.pairs]
        for unit in list(units):
            if unit.layer >= 0 or unit.piece >= 0 or (unit.distinct and state.values_count):
                continue
            pieces = _as_neighbours(unit, settled, {other.size for other in others})
            if pieces:
                state.replace(side, unit, pieces)
                changed = True
    return changed


def _as_neighbours(unit: Unit, settled: Sequence[Unit], sizes: set[int]) -> Pieces | None:
    """The pieces of a unit if tensors of its module, or of the modules around it, were cut in a way that fits it."""
    near: list[Unit] = []
    for prefix in reversed(unit.name.around):
        near = [other for other in settled if prefix in other.name.around]
        if near:
            break
    if not all(other.layer >= 0 or other.piece >= 0 for other in near):
        return None
    same = [other for other in near if other.name.module == unit.name.module]
    for other in [*same, *near]:
        members = [o for o in near if o.info is other.info]
        depth = 1 + max(o.layer for o in members)
        parts = 1 + max(o.piece for o in members)
        found = [unit]
        if depth > 1 and unit.shape and unit.shape[0] == depth:
            found = stacked(unit, 0)
        elif depth > 1:
            continue
        if parts > 1 and other.name.module == unit.name.module:
            lengths = [_length_of(part, members) for part in range(parts)]
            heads = other.view[other.box[-1][0] - 1] if other.view is not None else 0
            found = [piece for member in found for piece in _cut_as(member, lengths, heads)]
        if len(found) > 1 and all(piece.size in sizes for piece in found):
            return found
    return None


def _length_of(part: int, members: Sequence[Unit]) -> int:
    """The share of one part; pieces of one tensor differ in the axis that was cut only."""
    return next(member.size for member in members if member.piece == part)


def _cut_as(unit: Unit, shares: Sequence[int], heads: int) -> Pieces:
    if not unit.shape:
        return [unit]
    axis = len(unit.shape) - 1
    total = sum(shares)
    if any(unit.shape[axis] * share % total for share in shares):
        return [unit]
    if heads and len(unit.shape) == 1:
        return interleaved(unit, 0, heads, len(shares))
    return cut(unit, axis, [unit.shape[axis] * share // total for share in shares])


def by_name(state: State) -> bool:
    """Replace units without telling values whose names say what they are made of; whether there were any."""
    changed = False
    for side in SIDES:
        units = state.sources if side == "source" else state.targets
        others = state.targets if side == "source" else state.sources
        for unit in list(units):
            if unit.layer >= 0 or unit.piece >= 0:
                continue
            found = _named_stack(unit, others) or _named_parts(unit, others)
            if found:
                state.replace(side, unit, found)
                changed = True
    return changed


def _named_stack(unit: Unit, others: Sequence[Unit]) -> Pieces | None:
    """Members of one family whose path says the same but for one number more."""
    if len(unit.shape) < 1 or not 2 <= unit.shape[0] <= MAX_STACK:
        return None
    depth = unit.shape[0]
    mine = {word for word in unit.name.words if word != "layer"}
    numbers = [number for number, _ in unit.name.numbers]
    families: Counter[tuple[str, int, int]] = Counter()
    for other in others:
        if other.size * depth != unit.size or other.name.kind != unit.name.kind:
            continue
        if {word for word in other.name.words if word != "layer"} != mine:
            continue
        theirs = [number for number, _ in other.name.numbers]
        for place in range(len(theirs)):
            if theirs[:place] + theirs[place + 1 :] == numbers:
                families[other.name.pattern, other.piece, place] += 1
    return stacked(unit, 0) if depth in families.values() else None


def _named_parts(unit: Unit, others: Sequence[Unit]) -> Pieces | None:
    """Parts whose last word is one of those that the fused name stands for, under one module of the other side."""
    words = next((synonyms.FUSED[word] for word in reversed(unit.name.words) if word in synonyms.FUSED), None)
    gates = next((word[0] for word in unit.name.words if word in ("ih", "hh")), "")
    choices = [words] if words else []
    if gates:
        choices += [tuple(gates + gate for gate in found) for found in synonyms.GATES.values()]
    for parts in choices:
        groups: dict[str, dict[str, Unit]] = {}
        for other in others:
            word = next((word for word in reversed(other.name.words) if word in parts), None)
            if word and other.name.kind == unit.name.kind:
                around = other.name.prefixes[-2] if len(other.name.prefixes) > 1 else ""
                groups.setdefault(around, {})[word] = other
        for group in groups.values():
            sizes = [group[part].size for part in parts if part in group]
            depth = sum(sizes) // unit.size
            if depth > 1 and all(group[part].shape[:1] == (depth,) for part in parts if part in group):
                sizes = [size // depth for size in sizes]  # the other side is stacked besides
            if len(sizes) == len(parts) and sum(sizes) == unit.size:
                axis = _fused_axis(unit, sizes)
                if axis is not None:
                    row = unit.size // unit.shape[axis]
                    return cut(unit, axis, [size // row for size in sizes], parts)
    return None


def _fused_axis(unit: Unit, sizes: Sequence[int]) -> int | None:
    """The output axis: the one that is longer by the parts; of a square one it is the last of a kernel."""
    fits = [axis for axis, length in enumerate(unit.shape)
            if all(size % (unit.size // length) == 0 for size in sizes)]  # fmt: skip
    if len(unit.shape) == 2 and len(fits) == 2:
        rows, columns = unit.shape
        if rows != columns:
            return 0 if rows > columns else 1
        return 1 if unit.name.leaf in ("kernel", "w") else 0
    return fits[0] if len(fits) == 1 else None
