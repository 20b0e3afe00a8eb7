"""What is wrong with a `PairMap`: everything at once, in sentences that name the tensor."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights import steps as moves
from regauge.weights.layout import Shape
from regauge.weights.pair_map import Kind, PairMap, Part, Ranges, box_shape


def problems_of(pair_map: PairMap, sources: Mapping[str, Any] | None, targets: Mapping[str, Any] | None) -> list[str]:
    """Names unmapped, unknown, mapped twice or in part, changed shapes, steps that do not fit; empty if all is well.

    Args:
        pair_map: the map.
        sources: shapes by name of the original as it is now, or None for those that the map knows.
        targets: the same of the converted model.
    """
    return [
        *_name_problems("original", sources, pair_map.sources, pair_map.by_source, pair_map.tied_sources,
                        pair_map.absent_sources),
        *_name_problems("converted", targets, pair_map.targets, pair_map.by_target, pair_map.tied_targets,
                        pair_map.absent_targets),
        *_part_problems(pair_map),
        *_cover_problems(pair_map),
    ]  # fmt: skip


def _name_problems(
    side: str,
    shapes: Mapping[str, Any] | None,
    kinds: Mapping[str, Kind],
    mapped: Mapping[str, Any],
    tied: Mapping[str, str],
    absent: Mapping[str, str],
) -> Iterator[str]:
    present = {name: tuple(shape) for name, shape in shapes.items()} if shapes is not None else None
    for name in present if present is not None else kinds:
        ways = (name in mapped) + (name in tied) + (name in absent)
        if ways != 1:
            yield f"{side} {name}: " + ("not mapped" if not ways else "mapped, tied and absent at once")
    for name in {*mapped, *tied, *absent}:
        if name not in kinds or (present is not None and name not in present):
            yield f"{side} {name}: no such tensor"
        elif present is not None and present[name] != kinds[name].shape:
            yield f"{side} {name}: has shape {present[name]}, the map says {kinds[name].shape}"
    for name, kept in tied.items():
        if kept not in mapped:
            yield f"{side} {name}: tied to {kept}, which is not mapped itself"
    for name, reason in absent.items():
        if not reason:
            yield f"{side} {name}: absent without a reason"


def _part_problems(pair_map: PairMap) -> Iterator[str]:
    for part in pair_map.parts:
        if part.source not in pair_map.sources or part.target not in pair_map.targets:
            continue  # reported by name
        source, target = pair_map.sources[part.source].shape, pair_map.targets[part.target].shape
        wrong = [*_range_problems(source, part.view, part.take), *_range_problems(target, part.put_view, part.put)]
        if wrong:
            yield from (f"converted {part.target}: from {part.source}, {problem}" for problem in wrong)
            continue
        try:
            made = moves.result_shape(part.layout, box_shape(part.view or source, part.take))
        except WeightMismatch as error:
            yield f"converted {part.target}: from {part.source}, {error.what}"
            continue
        wanted = box_shape(part.put_view or target, part.put)
        if made != wanted:
            yield f"converted {part.target}: from {part.source}, has shape {made}, the place has {wanted}"


def _range_problems(shape: Shape, view: Shape | None, ranges: Ranges) -> Iterator[str]:
    if view is not None and math.prod(view) != math.prod(shape):
        yield f"the view {view} does not fit the shape {shape}"
        return
    shape = view or shape
    if len({axis for axis, _, _ in ranges}) != len(ranges):
        yield f"an axis is named twice in {ranges}"
    for axis, start, stop in ranges:
        if not (0 <= axis < len(shape) and 0 <= start < stop <= shape[axis]):
            yield f"the range {(axis, start, stop)} does not fit the shape {shape}"


def _cover_problems(pair_map: PairMap) -> Iterator[str]:
    for name, parts in pair_map.by_source.items():
        if name in pair_map.sources:
            places = [(part.view, part.take) for part in parts]
            yield from _covered(f"original {name}", pair_map.sources[name].shape, places)
    for name, parts in pair_map.by_target.items():
        if name not in pair_map.targets:
            continue
        places = [(part.put_view, part.put) for part in parts if not part.merged]
        merged = [part for part in parts if part.merged]
        yield from _merge_problems(name, merged)
        places += list(dict.fromkeys((part.put_view, part.put) for part in merged))
        yield from _covered(f"converted {name}", pair_map.targets[name].shape, places)


def _merge_problems(name: str, merged: list[Part]) -> Iterator[str]:
    for place in dict.fromkeys((part.put_view, part.put) for part in merged):
        count = sum((part.put_view, part.put) == place for part in merged)
        if count != 2:
            yield f"converted {name}: {count} merged parts at one place, must be 2"


def _covered(what: str, shape: Shape, places: list[tuple[Shape | None, Ranges]]) -> Iterator[str]:
    """Whether ranges cover each element exactly once."""
    if any(list(_range_problems(shape, view, ranges)) for view, ranges in places):
        return  # reported with the part
    total = sum(math.prod(box_shape(view or shape, ranges)) for view, ranges in places)
    if total == math.prod(shape) and len(places) == 1:
        return
    count = np.zeros(shape, np.uint8)
    for view, ranges in places:
        seen = count.reshape(view or shape)
        index = [slice(None)] * seen.ndim
        for axis, start, stop in ranges:
            index[axis] = slice(start, stop)
        seen[tuple(index)] += 1
    if (count > 1).any():
        yield f"{what}: {int((count > 1).sum())} of {count.size} elements are mapped more than once"
    if (count == 0).any():
        yield f"{what}: {int((count == 0).sum())} of {count.size} elements are not mapped"
