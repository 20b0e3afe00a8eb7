"""Where a statement of the data files was read."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

# docs, page, thread: an address; repo: `repo@commit:path`; registry: the metadata of a package; package: an installed
# package; observed: tried; fact: the id of an entry of the fact base, which has its own sources.
SourceKind = Literal["docs", "page", "thread", "repo", "registry", "package", "observed", "fact"]
SOURCE_KINDS: tuple[str, ...] = get_args(SourceKind)


@dataclass(frozen=True)
class Source:
    """A place that was read: what it is called there, and what kind of place it is."""

    ref: str
    kind: SourceKind

    def to_json(self) -> dict[str, Any]:
        return {"ref": self.ref, "kind": self.kind}
