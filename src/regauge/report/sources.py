"""The sources of both sides, and the map from emitted lines to the person's own lines."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from regauge.cases import case_path

Role = Literal["original", "model", "train", "ops"]
EMITTED: dict[str, Role] = {"model.py": "model", "train.py": "train", "ops.py": "ops"}


class Source(BaseModel):
    """One source file: `path` as a person would name it, `role` which side it is on."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    path: str
    role: Role
    text: str


class LineLink(BaseModel):
    """Line `line` of the emitted model.py comes from `original_line` of `original`, inside `module`."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    line: int
    module: str
    original: str
    original_line: int


def read_sources(
    case: str, folder: Path | None, conversion: Mapping[str, Any], originals: Mapping[str, Path]
) -> tuple[tuple[Source, ...], tuple[LineLink, ...]]:
    """Texts of the original files that the conversion refers to and of the emitted files, with their line map.

    An original file is found through `originals`, the ``sources`` of conversion.json (base name to path) or the file
    of the case itself; one that cannot be found or read is left out, its links keep their ``file.py:12``.
    """
    links = _links(conversion.get("lines", {}))
    places = {name: Path(path) for name, path in conversion.get("sources", {}).items()}
    places.update(originals)
    case_file = case_path(case)
    if case_file is not None:
        places.setdefault(case_file.name, case_file)
    counts = {name: sum(link.original == name for link in links) for name in places}
    wanted = sorted(places, key=lambda name: -counts[name])
    found = [_read(places[name], "original") for name in wanted if counts[name] or places[name] == case_file]
    if folder is not None:
        found += [_read(folder / name, role) for name, role in EMITTED.items()]
    return tuple(source for source in found if source is not None), links


def _links(lines: Mapping[str, Any]) -> tuple[LineLink, ...]:
    links = []
    for emitted, (module, place) in lines.items():
        match = re.fullmatch(r"(?:.*[/\\])?([^/\\]+):(\d+)", place)
        if match:
            links.append(LineLink(line=int(emitted), module=module, original=match[1], original_line=int(match[2])))
    return tuple(sorted(links, key=lambda link: link.line))


def _read(path: Path, role: Role) -> Source | None:
    try:
        text = path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    return Source(path=path.name, role=role, text=text)
