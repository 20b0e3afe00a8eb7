"""Where to learn a framework: official documentation and courses, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regauge.decide.facts import Source
from regauge.decide.tables import as_plain
from regauge.decide.text import Text


@dataclass(frozen=True)
class Resource:
    """A page to learn from; `language` is that of the page (``en``, ``zh``)."""

    title: str
    url: str
    language: str
    about: Text
    source: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        return {name: as_plain(value) for name, value in self.__dict__.items()}


def resources_for(framework: str, kind: str) -> tuple[Resource, ...]:
    """The resources for a framework, those for the kind of project after the general ones."""
    return ()
