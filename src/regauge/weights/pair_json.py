"""`PairMap` as JSON that a person can read, edit and give back."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from regauge.errors import WeightMismatch
from regauge.weights import steps as moves
from regauge.weights.pair_map import Kind, PairMap, Part, Ranges

SCHEMA = 1


def map_to_json(pair_map: PairMap) -> dict[str, Any]:
    """One entry a target; what says nothing is left out."""
    entries: list[dict[str, Any]] = []
    for target in sorted(pair_map.by_target):
        entry: dict[str, Any] = {"target": target}
        entry["from"] = [_part_to_json(part) for part in sorted(pair_map.by_target[target], key=_place)]
        if target in pair_map.evidence:
            entry["evidence"] = pair_map.evidence[target]
        entries.append(entry)
    return {
        "schema": SCHEMA,
        "entries": entries,
        "tied": {"original": dict(pair_map.tied_sources), "converted": dict(pair_map.tied_targets)},
        "absent": {"original": dict(pair_map.absent_sources), "converted": dict(pair_map.absent_targets)},
        "original": {name: _kind_to_json(kind) for name, kind in sorted(pair_map.sources.items())},
        "converted": {name: _kind_to_json(kind) for name, kind in sorted(pair_map.targets.items())},
    }


def _place(part: Part) -> tuple[Ranges, str, Ranges]:
    return part.put, part.source, part.take


def _kind_to_json(kind: Kind) -> dict[str, Any]:
    return {"shape": list(kind.shape), "dtype": kind.dtype}


def _part_to_json(part: Part) -> dict[str, Any]:
    data: dict[str, Any] = {"source": part.source}
    if part.view is not None:
        data["view"] = list(part.view)
    if part.take:
        data["take"] = [list(taken) for taken in part.take]
    if part.layout:
        data["layout"] = moves.to_json(part.layout)
    if part.put_view is not None:
        data["put_view"] = list(part.put_view)
    if part.put:
        data["put"] = [list(put) for put in part.put]
    if part.merged:
        data["merged"] = True
    return data


def map_from_json(data: Mapping[str, Any]) -> PairMap:
    """The map of `map_to_json`.

    Raises:
        WeightMismatch: something is not of that form.
    """
    try:
        if data["schema"] != SCHEMA:
            raise WeightMismatch("the weight map is of another schema", code="W142", received=str(data["schema"]))
        entries = data["entries"]
        return PairMap(
            tuple(_part_from_json(part, entry["target"]) for entry in entries for part in entry["from"]),
            _kinds_from_json(data["original"]),
            _kinds_from_json(data["converted"]),
            dict(data["tied"]["original"]),
            dict(data["tied"]["converted"]),
            dict(data["absent"]["original"]),
            dict(data["absent"]["converted"]),
            {entry["target"]: entry["evidence"] for entry in entries if "evidence" in entry},
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise WeightMismatch(
            "the weight map cannot be read",
            code="W142",
            received=f"{type(error).__name__}: {error}",
            next="the form is described in docs/weight-maps.md",
        ) from error


def _kinds_from_json(data: Mapping[str, Any]) -> dict[str, Kind]:
    return {name: Kind(tuple(int(n) for n in kind["shape"]), str(kind["dtype"])) for name, kind in data.items()}


def _part_from_json(data: Mapping[str, Any], target: str) -> Part:
    unknown = set(data) - {"source", "view", "take", "layout", "put_view", "put", "merged"}
    if unknown:
        raise ValueError(f"unknown key {sorted(unknown)[0]!r} in the entry of {target}")
    return Part(
        str(data["source"]),
        target,
        moves.parse(data.get("layout", ())),
        _sizes(data.get("view")),
        _ranges(data.get("take", ())),
        _sizes(data.get("put_view")),
        _ranges(data.get("put", ())),
        bool(data.get("merged", False)),
    )


def _sizes(data: Any) -> tuple[int, ...] | None:
    return None if data is None else tuple(int(size) for size in data)


def _ranges(data: Any) -> Ranges:
    return tuple((int(axis), int(start), int(stop)) for axis, start, stop in data)
