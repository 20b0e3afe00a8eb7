"""How training uses several devices: the strategy for a framework, a number of devices and machines."""

from __future__ import annotations

import re
import string
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import Field

from regauge.decide.facts import Source
from regauge.decide.tables import SourceRow, Strict, TextRow, as_plain, read_rows
from regauge.decide.text import Text

# Kinds of project whose models often do not fit on one device, and from how many devices on that is assumed.
LARGE_MODELS = ("language", "generative")
MANY_DEVICES = 8
# Width of the sketches, in characters.
WIDTH = 100


@dataclass(frozen=True)
class Parallel:
    """A parallel strategy.

    Attributes:
        name: ``one device``, ``FSDP2`` ...; ``not settled`` where no way was found.
        why: how it works, or why nothing is settled.
        otherwise: what would change the strategy.
        code: a sketch that runs, its comments in both languages; empty where nothing is settled.
        sources: where this was read.
    """

    name: str
    why: Text
    otherwise: Text
    code: Text
    sources: tuple[Source, ...]

    @property
    def settled(self) -> bool:
        return bool(self.code.en)

    def to_json(self) -> dict[str, Any]:
        """Plain data; texts and code in English and Chinese."""
        return {name: as_plain(value) for name, value in self.__dict__.items()}


class _Row(Strict):
    key: str
    name: str
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    otherwise: TextRow
    code: str
    comments: tuple[TextRow, ...]
    source: tuple[SourceRow, ...] = Field(min_length=1)


def parallel_for(framework: str, *, kind: str, train: Sequence[str], devices: int, nodes: int) -> Parallel:
    """The strategy for `devices` in all on `nodes` machines; hardware that was named first counts.

    Whether a model fits on one device is not known here: for `LARGE_MODELS` on `MANY_DEVICES` and more it is assumed
    that it does not, and `Parallel.otherwise` says what follows if it does.
    """
    devices = max(devices, nodes)
    row = _rows()[_key(framework, kind, train, devices, nodes)]
    numbers = {"devices": devices, "nodes": nodes, "per_node": max(1, devices // nodes)}
    english, chinese = (_code(row, [getattr(text, name) for text in row.comments], numbers) for name in ("en", "zh"))
    return Parallel(
        row.name,
        Text(row.en, row.zh),
        row.otherwise.text(),
        Text(english, chinese),
        tuple(source.source() for source in row.source),
    )


def _key(framework: str, kind: str, train: Sequence[str], devices: int, nodes: int) -> str:
    hardware = train[0] if train else "cpu"
    large = kind in LARGE_MODELS and devices >= MANY_DEVICES
    if framework == "jax" and hardware == "apple-gpu":
        return "jax-apple"
    if framework == "tensorflow" and hardware == "tpu":
        return "tensorflow-tpu"
    if devices == 1:
        return f"{framework}-one"
    if framework == "pytorch":
        unsettled = {"tpu": "pytorch-tpu", "apple-gpu": "pytorch-apple"}
        sharded = "pytorch-hsdp" if nodes > 1 else "pytorch-fsdp2"
        return unsettled.get(hardware) or (sharded if large else "pytorch-ddp")
    if framework == "jax":
        return "jax-multi-process" if nodes > 1 else "jax-fsdp-mesh" if large else "jax-data-mesh"
    if framework == "keras":
        return "keras-multi-process" if nodes > 1 else "keras-distribution"
    return "tensorflow-multi-worker" if nodes > 1 else "tensorflow-mirrored"


def _code(row: _Row, comments: Sequence[str], numbers: dict[str, int]) -> str:
    """The sketch with its comments: behind their line where there is room, else above it."""
    lines: list[str] = []
    for line in row.code.splitlines():
        code, mark, number = line.partition("  #") if re.search(r"  #\d$", line) else (line, "", "")
        comment = f"# {comments[int(number) - 1]}" if mark else ""
        if mark and len(code) + len(comment) > WIDTH:
            lines.append(code[: len(code) - len(code.lstrip())] + comment)
            comment = ""
        lines.append(f"{code}  {comment}" if comment else code)
    return string.Template("\n".join([*lines, ""] if lines else lines)).substitute(numbers)


@lru_cache(maxsize=1)
def _rows() -> dict[str, _Row]:
    return {row.key: row for row in read_rows("parallel.yaml", tuple[_Row, ...])}
