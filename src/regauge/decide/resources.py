"""Where to learn a framework: official documentation and courses, in English and Chinese."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Literal

from pydantic import Field

from regauge.decide.facts import Source
from regauge.decide.tables import SourceRow, Strict, as_plain, read_rows
from regauge.decide.text import Text
from regauge.language import language


@dataclass(frozen=True)
class Resource:
    """A page to learn from; `language` is that of the page (``en``, ``zh``)."""

    title: str
    url: str
    language: str
    about: Text
    sources: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; what it is about in English and Chinese."""
        return {name: as_plain(value) for name, value in self.__dict__.items()}


class _Row(Strict):
    framework: str
    kinds: tuple[str, ...] = ()
    title: str
    url: str = Field(pattern=r"^https://")
    language: Literal["en", "zh"]
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    source: tuple[SourceRow, ...] = Field(min_length=1)


def resources_for(framework: str, kind: str) -> tuple[Resource, ...]:
    """The resources for a framework: pages in the current language first, general ones before those for the kind."""
    rows = [row for row in _rows() if row.framework == framework and (not row.kinds or kind in row.kinds)]
    rows.sort(key=lambda row: row.language != language())
    return tuple(
        Resource(
            row.title, row.url, row.language, Text(row.en, row.zh), tuple(source.source() for source in row.source)
        )
        for row in rows
    )


@lru_cache(maxsize=1)
def _rows() -> tuple[_Row, ...]:
    return read_rows("resources.yaml", tuple[_Row, ...])
