"""How training uses several devices: the strategy for a framework, a number of devices and machines."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regauge.decide.facts import Source
from regauge.decide.tables import as_plain
from regauge.decide.text import Text


@dataclass(frozen=True)
class Parallel:
    """A parallel strategy: its name, why it fits, and a sketch of code whose comments are in both languages."""

    name: str
    why: Text
    code: Text
    sources: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        return {name: as_plain(value) for name, value in self.__dict__.items()}


def parallel_for(framework: str, *, train: Sequence[str], devices: int, nodes: int) -> Parallel:
    """The strategy for these devices."""
    return Parallel("one device", Text("One device needs no strategy.", "单设备无需并行策略。"), Text("", ""), ())
