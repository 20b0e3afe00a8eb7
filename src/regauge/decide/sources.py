"""Where the statements of the data files were read: kinds of sources, and their plain form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from regauge.decide.facts import Source
from regauge.decide.text import Text

# The kinds of the fact base, and `fact`: the id of one of its entries, which has its own sources.
SourceKind = Literal["docs", "page", "thread", "repo", "registry", "package", "observed", "fact"]


@dataclass(frozen=True)
class SourcedText(Text):
    """A sentence in both languages and where it was read; no source where it says that none was found."""

    sources: tuple[Source, ...] = ()

    def to_json(self) -> dict[str, Any]:
        return {"en": self.en, "zh": self.zh, "sources": [source_json(source) for source in self.sources]}


def source_json(source: Source) -> dict[str, Any]:
    """Reference, kind and every address of a source; for a fact those of its own sources."""
    return {"ref": source.ref, "kind": source.kind, "links": list(links(source))}


def links(source: Source) -> tuple[str, ...]:
    """The addresses where a source can be read; none for what was observed."""
    if source.kind != "fact":
        return source.links
    from regauge.decide.facts import load

    return tuple(dict.fromkeys(link for each in load().by_id(source.ref).sources for link in each.links))
