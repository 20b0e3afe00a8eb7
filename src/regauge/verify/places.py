"""Places as a person knows them: of the values of a trace, and of its modules."""

from __future__ import annotations

import linecache
import os
from pathlib import Path

from regauge.verify.alignment import Alignment, TracedSide
from regauge.verify.result import ModuleDistance, Place


def module_rows(alignment: Alignment, own: Alignment | None) -> list[ModuleDistance]:
    """One row for each module of the original, in order of returning: how far its value is from the nearest.

    Args:
        alignment: of both sides in float64.
        own: of the original in float64 and the converted model in its own precision; None where that did not run.
    """
    side, other = alignment.sides
    returned = side.data["modules"] or _last_of_modules(side)
    rows = []
    for path, node in returned:
        if not path or side.nodes[node]["print"] is None:
            continue
        found = alignment.counterparts[0][node]
        theirs = None if found is None else placed(other, found[0], other.module(found[0]), found[1])
        distance = float("inf") if found is None else found[1]
        ours = placed(side, node, path, 0.0)
        distance32 = None if own is None else own.distance(0, node)
        rows.append(ModuleDistance(path, ours, theirs, distance, distance32, alignment.is_same(0, node)))
    return rows


def _last_of_modules(side: TracedSide) -> list[tuple[str, int]]:
    last = {node["module"]: number for number, node in enumerate(side.nodes) if node["op"] not in ("weight", "input")}
    return sorted(last.items(), key=lambda item: item[1])


def placed(side: TracedSide, node: int, module: str, distance: float | None) -> Place:
    file, line = side.place(node)
    return Place(module, side.nodes[node]["op"], shown_path(file), line, text_of_line(file, line), distance)


def shown_path(file: str) -> str:
    """A path as the person knows it: relative to the working directory where it lies below it."""
    if not file:
        return ""
    relative = os.path.relpath(file)
    return file if relative.startswith("..") else Path(relative).as_posix()


def text_of_line(file: str, line: int) -> str:
    return linecache.getline(file, line).strip() if file else ""
