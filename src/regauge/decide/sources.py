"""Where the statements of the data files were read: kinds of sources, and their plain form."""

from __future__ import annotations

from typing import Any, Literal

from regauge.decide.facts import Source

# The kinds of the fact base, and `fact`: the id of one of its entries, which has its own sources.
SourceKind = Literal["docs", "page", "thread", "repo", "registry", "package", "observed", "fact"]


def source_json(source: Source) -> dict[str, Any]:
    """Reference, kind and every address of a source; for a fact those of its own sources."""
    return {"ref": source.ref, "kind": source.kind, "links": list(links(source))}


def links(source: Source) -> tuple[str, ...]:
    """The addresses where a source can be read; none for what was observed."""
    if source.kind != "fact":
        return source.links
    from regauge.decide.facts import load

    return tuple(dict.fromkeys(link for each in load().by_id(source.ref).sources for link in each.links))
