"""The map between the weights of any two models: which part of which tensor stands where in the other, and how.

A `PairMap` is a list of parts. A part takes a range of one tensor of the original, changes its layout and puts it into
a range of one tensor of the converted model. Fused, split, stacked, concatenated and reordered tensors are all parts.
The parts of a tensor cover each of its elements exactly once, so the map can be read in both directions; parts that
are `merged` are the exception: two of them are added, and there is no way back.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights import steps as moves
from regauge.weights.casting import added
from regauge.weights.layout import Shape
from regauge.weights.mapping import WeightEntry, WeightMap
from regauge.weights.steps import Steps

Ranges = tuple[tuple[int, int, int], ...]  # axis, start, stop; an axis that is not named is taken whole


class Kind(NamedTuple):
    """Shape and framework-neutral dtype of a tensor."""

    shape: Shape
    dtype: str


@dataclass(frozen=True)
class Part:
    """One piece of a source and its place in a target.

    Attributes:
        source: name in the original.
        target: name in the converted model.
        layout: steps from the taken piece to the piece that is put.
        view: the shape that the source is given first, if `take` does not speak of its own axes.
        take: ranges of the source's axes (of `view`, if there is one).
        put_view: the shape that the target is given first, as `view`.
        put: ranges of the target's axes.
        merged: the piece is added to another merged piece at the same place: forward only.
    """

    source: str
    target: str
    layout: Steps = ()
    view: Shape | None = None
    take: Ranges = ()
    put_view: Shape | None = None
    put: Ranges = ()
    merged: bool = False

    @property
    def whole(self) -> bool:
        """Whether one tensor becomes one tensor."""
        return not (self.take or self.put or self.merged)

    def taken_from(self, array: np.ndarray) -> np.ndarray:
        """The piece of the source's array, in the source's layout."""
        return _region(array, self.view, self.take)

    def in_target_layout(self, array: np.ndarray) -> np.ndarray:
        """The piece of the source's array, in the layout of the target."""
        return moves.apply(self.taken_from(array), self.layout)

    def region_of(self, target: np.ndarray) -> np.ndarray:
        """The piece of the target's array, in the layout of the target."""
        return _region(target, self.put_view, self.put)

    def in_source_layout(self, target: np.ndarray, source_shape: Shape) -> np.ndarray:
        """The piece of the target's array, in the layout of the source of this shape."""
        taken = box_shape(self.view or source_shape, self.take)
        return moves.apply(_region(target, self.put_view, self.put), moves.inverse(self.layout, taken))


def box_shape(shape: Shape, ranges: Ranges) -> Shape:
    """The shape of the piece that `ranges` take out of an array."""
    sizes = list(shape)
    for axis, start, stop in ranges:
        sizes[axis] = stop - start
    return tuple(sizes)


def _region(array: np.ndarray, view: Shape | None, ranges: Ranges) -> np.ndarray:
    if view is not None:
        array = array.reshape(view)
    index = [slice(None)] * array.ndim
    for axis, start, stop in ranges:
        index[axis] = slice(start, stop)
    return array[tuple(index)]


@dataclass(frozen=True)
class PairMap:
    """Every tensor of two models, and what became of it.

    Attributes:
        parts: in no order that matters.
        sources: shape and dtype by name, of every tensor of the original.
        targets: the same of the converted model.
        tied_sources: name that shares the values of another one, which is mapped -> that other name.
        tied_targets: the same in the converted model.
        absent_sources: name that the converted model has no tensor for -> the reason.
        absent_targets: name that the original has no tensor for -> the reason.
        evidence: by target, what the entry rests on: given, name, value, or only shape that fits.
    """

    parts: tuple[Part, ...]
    sources: Mapping[str, Kind]
    targets: Mapping[str, Kind]
    tied_sources: Mapping[str, str] = field(default_factory=dict)
    tied_targets: Mapping[str, str] = field(default_factory=dict)
    absent_sources: Mapping[str, str] = field(default_factory=dict)
    absent_targets: Mapping[str, str] = field(default_factory=dict)
    evidence: Mapping[str, str] = field(default_factory=dict)

    @cached_property
    def by_target(self) -> dict[str, tuple[Part, ...]]:
        return _grouped(self.parts, "target")

    @cached_property
    def by_source(self) -> dict[str, tuple[Part, ...]]:
        return _grouped(self.parts, "source")

    @property
    def merged_sources(self) -> tuple[str, ...]:
        """Sources that `to_sources` cannot give back, because they are added on their way."""
        return tuple(sorted({part.source for part in self.parts if part.merged}))

    def to_target(self, name: str, sources: Mapping[str, np.ndarray]) -> np.ndarray:
        """One array of the converted model, in the dtype of the original's arrays: a view where that is possible.

        Raises:
            WeightMismatch: the name is not a target, or one of its sources is not there or has another shape.
        """
        kept = self.tied_targets.get(name, name)
        parts = self.by_target.get(kept, ())
        if not parts:
            reason = self.absent_targets.get(kept, "")
            raise WeightMismatch(f"nothing is mapped to {name}", code="W140", where=name, why=reason)
        arrays = [_array(sources, part.source, self.sources[part.source].shape) for part in parts]
        if len(parts) == 1 and parts[0].whole:
            return parts[0].in_target_layout(arrays[0]).reshape(self.targets[kept].shape)
        result = np.empty(self.targets[kept].shape, arrays[0].dtype)
        filled: set[tuple[Shape | None, Ranges]] = set()
        for part, array in zip(parts, arrays, strict=True):
            place = _region(result, part.put_view, part.put)
            piece = part.in_target_layout(array)
            again = part.merged and (part.put_view, part.put) in filled
            place[...] = added(place, piece, self.sources[part.source].dtype) if again else piece
            filled.add((part.put_view, part.put))
        return result

    def to_targets(self, sources: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All arrays of the converted model that have a source; tied names share one array."""
        made = {name: self.to_target(name, sources) for name in self.by_target}
        return made | {name: made[kept] for name, kept in self.tied_targets.items() if kept in made}

    def to_source(self, name: str, targets: Mapping[str, np.ndarray]) -> np.ndarray:
        """One array of the original, in the dtype of the converted model's arrays.

        Raises:
            WeightMismatch: the name is not a source, is added to another one on its way, or a target is not there.
        """
        kept = self.tied_sources.get(name, name)
        parts = self.by_source.get(kept, ())
        if not parts:
            reason = self.absent_sources.get(kept, "")
            raise WeightMismatch(f"{name} is not mapped", code="W140", where=name, why=reason)
        if any(part.merged for part in parts):
            why = "a sum does not say what its two parts were"
            raise WeightMismatch(f"{name} cannot be given back: it is added to another", code="W141", why=why)
        shape = self.sources[kept].shape
        arrays = [_array(targets, part.target, self.targets[part.target].shape) for part in parts]
        if len(parts) == 1 and parts[0].whole:
            return parts[0].in_source_layout(arrays[0], shape).reshape(shape)
        result = np.empty(shape, arrays[0].dtype)
        for part, array in zip(parts, arrays, strict=True):
            _region(result, part.view, part.take)[...] = part.in_source_layout(array, shape)
        return result

    def to_sources(self, targets: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """All arrays of the original that can be given back: those of `merged_sources` cannot."""
        lost = set(self.merged_sources)
        made = {name: self.to_source(name, targets) for name in self.by_source if name not in lost}
        return made | {name: made[kept] for name, kept in self.tied_sources.items() if kept in made}

    def validate(self, sources: Mapping[str, Any] | None = None, targets: Mapping[str, Any] | None = None) -> None:
        """Check that the map is total and one-to-one in both directions.

        Args:
            sources: shape by name of the original's tensors as they are now; by default those of the map.
            targets: the same of the converted model.

        Raises:
            WeightMismatch: everything that is wrong, at once.
        """
        from regauge.weights.pair_check import problems_of

        problems = problems_of(self, sources, targets)
        if problems:
            raise WeightMismatch(
                f"the weight map is not total and one-to-one: {len(problems)} problems",
                code="W100",
                details=problems,
                next="mend the map and give it back",
            )

    def to_json(self) -> dict[str, Any]:
        """A form that a person can read, edit and give back; `from_json` reads it."""
        from regauge.weights.pair_json import map_to_json

        return map_to_json(self)

    @staticmethod
    def from_json(data: Mapping[str, Any]) -> PairMap:
        """The map of `to_json`.

        Raises:
            WeightMismatch: something is not of that form.
        """
        from regauge.weights.pair_json import map_from_json

        return map_from_json(data)


def _grouped(parts: tuple[Part, ...], key: str) -> dict[str, tuple[Part, ...]]:
    grouped: dict[str, list[Part]] = {}
    for part in parts:
        grouped.setdefault(getattr(part, key), []).append(part)
    return {name: tuple(found) for name, found in grouped.items()}


def _array(arrays: Mapping[str, np.ndarray], name: str, shape: Shape) -> np.ndarray:
    if name not in arrays:
        raise WeightMismatch(f"{name}: missing", code="W140")
    found = arrays[name]
    if tuple(found.shape) != shape:
        raise WeightMismatch(f"{name}: has shape {tuple(found.shape)}, the map says {shape}", code="W140")
    return found


def merged_groups(pair_map: PairMap) -> dict[str, tuple[Part, ...]]:
    """Where the sources lie that are added on their way: the parts of each place, by a common name.

    The name is ``bias_ih + bias_hh``; where the same sources have several places (gates that are tensors of their own)
    with the target, and its range. A source of which one piece is added and another is not has all its places here.
    """
    places: dict[tuple[str, Shape | None, Ranges], list[Part]] = {}
    for part in pair_map.parts:
        if part.source in set(pair_map.merged_sources):
            places.setdefault((part.target, part.put_view, part.put), []).append(part)
    groups = [tuple(sorted(parts, key=lambda part: part.source)) for parts in places.values()]
    sums = [" + ".join(part.source for part in parts) for parts in groups]
    of_target = [f"{name} in {parts[0].target}" for name, parts in zip(sums, groups, strict=True)]
    named = {}
    for name, longer, parts in zip(sums, of_target, groups, strict=True):
        where = ", ".join(f"{start}:{stop}" for _, start, stop in parts[0].put)
        alone = len(parts) > 1 and sums.count(name) == 1
        named[name if alone else longer if of_target.count(longer) == 1 else f"{longer}[{where}]"] = parts
    return named


def from_weight_map(weight_map: WeightMap, kinds: Mapping[str, Kind] | None = None) -> PairMap:
    """The pair map of a conversion that regauge made.

    Args:
        weight_map: the content of weights.json.
        kinds: shape and dtype of tied and unused weights, which a WeightMap does not hold; a tied one has those of
            the weight that it is tied to, an unused one is taken to be a 0-d int64 counter.
    """
    kinds = kinds or {}
    sources = {entry.source: Kind(entry.shape, entry.dtype) for entry in weight_map.entries}
    sources |= {name: kinds.get(name, sources[kept]) for name, kept in weight_map.tied.items() if kept in sources}
    sources |= {name: kinds.get(name, Kind((), "int64")) for name in weight_map.unused}
    return PairMap(
        tuple(_part_of_entry(entry) for entry in weight_map.entries),
        sources,
        {entry.target: Kind(entry.target_shape, entry.dtype) for entry in weight_map.entries},
        tied_sources=dict(weight_map.tied),
        absent_sources=dict(weight_map.unused),
        evidence={entry.target: "given" for entry in weight_map.entries},
    )


def _part_of_entry(entry: WeightEntry) -> Part:
    before = (("reshape", entry.slice_shape),) if entry.sliced else ()
    if entry.stacked is None:
        return Part(entry.source, entry.target, (*before, *entry.layout), take=_taken(entry))
    index = entry.stacked[0]
    layout = (*before, *entry.layout, ("reshape", (1, *entry.piece_shape)))
    return Part(entry.source, entry.target, layout, take=_taken(entry), put=((0, index, index + 1),))


def _taken(entry: WeightEntry) -> Ranges:
    """The ranges of a source that an entry takes, by the axes of the whole array."""
    left, ranges = list(range(len(entry.shape))), []
    for axis, index, _ in entry.sliced:
        ranges.append((left.pop(axis), index, index + 1))
    return tuple(ranges)


def reversed_map(pair_map: PairMap) -> PairMap:
    """The same map read from the converted model to the original.

    Raises:
        WeightMismatch: entries are merged.
    """
    if pair_map.merged_sources:
        names = list(pair_map.merged_sources)
        raise WeightMismatch("a map with merged entries has no way back", code="W141", details=names)
    parts = []
    for part in pair_map.parts:
        taken = box_shape(part.view or pair_map.sources[part.source].shape, part.take)
        back = replace(part, source=part.target, target=part.source, view=part.put_view, put_view=part.view)
        parts.append(replace(back, take=part.put, put=part.take, layout=moves.inverse(part.layout, taken)))
    known = (part for part in pair_map.parts if part.target in pair_map.evidence)
    return PairMap(
        tuple(parts),
        pair_map.targets,
        pair_map.sources,
        pair_map.tied_targets,
        pair_map.tied_sources,
        pair_map.absent_targets,
        pair_map.absent_sources,
        {part.source: pair_map.evidence[part.target] for part in known},
    )
