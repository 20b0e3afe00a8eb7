"""How a name of a framework's API is classed: records, groups of them, and the lookup by the longest known prefix."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from regauge.decide.audit.result import Degree


@dataclass(frozen=True)
class Entry:
    """The class of one name.

    Attributes:
        area: what it is for: see `regauge.decide.audit.areas.AREAS`.
        degree: its class where regauge can see it; ``automatic`` holds in models and in functions of tensors only.
        counterpart: the API on the other side.
        why: the reason in English.
        anywhere: an automatic name is automatic outside of models too (optimizers, which a case carries).
        recorded: False for a name that no table has.
    """

    area: str
    degree: Degree
    counterpart: str = ""
    why: str = ""
    anywhere: bool = False
    recorded: bool = True


@dataclass(frozen=True)
class Group:
    """Names of one area and class that share a reason.

    Attributes:
        names: name -> counterpart; ``torch.cuda.*`` stands for everything below that no other entry names.
    """

    area: str
    degree: Degree
    why: str
    names: Mapping[str, str]

    def entries(self) -> dict[str, Entry]:
        return {name: Entry(self.area, self.degree, other, self.why) for name, other in self.names.items()}


@dataclass(frozen=True)
class Table:
    """All entries of one framework.

    Attributes:
        entries: by exact name.
        below: by prefix, for what stands under it.
        roots: top-level modules of the framework.
    """

    entries: Mapping[str, Entry]
    below: Mapping[str, Entry]
    roots: frozenset[str]

    def find(self, name: str) -> Entry | None:
        """The entry of a name: its own, else of the longest prefix that is known; None if there is none."""
        found = self.entries.get(name) or self.below.get(name)
        while found is None:
            name, dot, _ = name.rpartition(".")
            if not dot:
                return None
            found = self.below.get(name) or (self.entries.get(name) if "." in name else None)
        return found


def table(groups: Iterable[Group], more: Mapping[str, Entry], roots: Iterable[str]) -> Table:
    """One table; `more` gives way to what a group says of the same name."""
    entries = dict(more)
    for group in groups:
        entries |= group.entries()
    below = {name.removesuffix(".*"): entry for name, entry in entries.items() if name.endswith(".*")}
    exact = {name: entry for name, entry in entries.items() if not name.endswith(".*")}
    return Table(exact, below, frozenset(roots))
