"""From the scans of files to the audit: classes of uses in their contexts, counts of lines, hazards."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from regauge.decide.audit.classing import Contexts, entry_of, placed
from regauge.decide.audit.conversions import CONVERTED, Decisions
from regauge.decide.audit.hazards import KINDS
from regauge.decide.audit.modules import Modules
from regauge.decide.audit.result import DEGREES, Counts, Degree, Directory, File, Hazard, Name
from regauge.decide.audit.scan import Scan
from regauge.decide.audit.tables.entries import Entry
from regauge.decide.audit.tables.lookup import API_ROOTS
from regauge.language import N_

_RANK = {degree: rank for rank, degree in enumerate(DEGREES)}
_VALUE = N_("while a model is traced its tensors have no values: see what stops tracing")
_TO_DENSE = "torch.Tensor.to_dense"
_TRACED_ONLY = frozenset(KINDS) - {"hook"}


@dataclass
class Joined:
    """What all files say together; `names` in the order of their first use."""

    files: list[File] = field(default_factory=list)
    names: list[Name] = field(default_factory=list)
    hazards: list[Hazard] = field(default_factory=list)


@dataclass
class Joiner:
    """Joins the scans of one tree.

    Attributes:
        source: pytorch or jax, the framework that is left.
        libraries: import name -> entry of each library that is built on `source`.
        decided: what real conversions decided.
    """

    source: str
    modules: Modules
    libraries: Mapping[str, Entry]
    decided: Decisions = field(default_factory=Decisions)
    result: Joined = field(default_factory=Joined)
    _index: dict[tuple[str, Entry], int] = field(default_factory=dict)
    _uses: Counter[int] = field(default_factory=Counter)

    def join(self, scans: Sequence[Scan]) -> Joined:
        for scan in scans:
            self.result.files.append(self._file(scan))
        self.result.names = [
            Name(name, e.area, e.degree, e.counterpart, e.why, e.recorded, self._uses[index])
            for (name, e), index in self._index.items()
        ]
        return self.result

    def _file(self, scan: Scan) -> File:
        contexts = Contexts(scan, self.modules, self.source, self.libraries)
        worst: dict[int, Degree] = {}
        lines: dict[int, set[int]] = {}
        for index in range(len(scan.uses) // 3):
            name, line, scope = scan.use(index)
            entry = self._entry(scan, contexts, name, line, scope)
            if entry is None:
                continue
            number = self._index.setdefault((name, entry), len(self._index))
            self._uses[number] += 1
            lines.setdefault(number, set()).add(line)
            _count(worst, line, entry.degree)
        self._hazards(scan, contexts, worst)
        counts = Counter(worst.values())
        total = Counts(1, scan.lines, len(worst), *(counts[degree] for degree in DEGREES))
        uses = tuple((number, tuple(sorted(found))) for number, found in sorted(lines.items()))
        return File(scan.path, total, uses, self._needs(scan), framework_of(scan), scan.cells)

    def _entry(self, scan: Scan, contexts: Contexts, name: str, line: int, scope: int) -> Entry | None:
        """The class of one use; None for what belongs to another framework."""
        root = name.partition(".")[0]
        if root in self.libraries:
            return self.libraries[root]
        if root not in API_ROOTS.get(self.source, ()):
            return None
        if name == _TO_DENSE and not any("sparse" in other for other in scan.names):
            return None  # where nothing is sparse, it is a method of something else: of linear operators
        found = entry_of(name, self.source)
        entry = placed(found, contexts.contexts[scope], name, contexts.is_registry(scope))
        gap = self.decided.lines.get((scan.path, line))
        if gap is not None:
            return Entry(entry.area, "manual", entry.counterpart, f"a case was refused here: {gap}")
        if self._converted(scan, contexts, scope):
            return replace(entry, degree="automatic", why=CONVERTED)
        if scope in contexts.traced and entry.area == "value":
            return replace(entry, degree="manual", why=_VALUE)
        return entry

    def _converted(self, scan: Scan, contexts: Contexts, scope: int) -> bool:
        """Whether a case showed that this scope converts: construction and call of one of its classes."""
        owner = scan.scopes[scope].owner
        if owner < 0 or (scan.path, scan.classes[owner].name) not in self.decided.classes:
            return False
        return contexts.contexts[scope] in ("model", "initialisation")

    def _hazards(self, scan: Scan, contexts: Contexts, worst: dict[int, Degree]) -> None:
        if self.source != "pytorch":
            return
        seen: set[tuple[str, int]] = set()
        for kind, line, scope, what in scan.hazards:
            inside = scope in contexts.traced if kind in _TRACED_ONLY else contexts.in_module(scope)
            if not inside or (kind, line) in seen or self._converted(scan, contexts, scope):
                continue
            seen.add((kind, line))
            self.result.hazards.append(Hazard(kind, scan.path, line, scan.scopes[scope].name, what))
            if KINDS[kind].stops:
                _count(worst, line, "manual")

    def _needs(self, scan: Scan) -> tuple[str, ...]:
        found = {target.path for name in scan.first if (target := self.modules.file_of(name, scan)) is not None}
        return tuple(sorted(found - {scan.path}))


def _count(worst: dict[int, Degree], line: int, degree: Degree) -> None:
    if line not in worst or _RANK[degree] > _RANK[worst[line]]:
        worst[line] = degree


def framework_of(scan: Scan) -> str:
    """The framework that a file uses most; empty if it uses none."""
    from regauge.decide.audit.tables.lookup import FRAMEWORK_OF

    counts: Counter[str] = Counter()
    for index in range(len(scan.uses) // 3):
        framework = FRAMEWORK_OF.get(scan.use(index)[0].partition(".")[0])
        if framework:
            counts[framework] += 1
    for root in scan.roots:
        if root in FRAMEWORK_OF:
            counts[FRAMEWORK_OF[root]] += 0
    return counts.most_common(1)[0][0] if counts else ""


def directories(files: Sequence[File], hazards: Sequence[Hazard]) -> tuple[Directory, ...]:
    """Counts by directory, in alphabetical order; the tree's own is called ``.``."""
    counts: dict[str, Counts] = {}
    found: Counter[str] = Counter()
    for file in files:
        place = file.path.rpartition("/")[0] or "."
        counts[place] = counts.get(place, Counts()) + file.counts
    for hazard in hazards:
        found[hazard.file.rpartition("/")[0] or "."] += 1
    return tuple(Directory(place, counts[place], found[place]) for place in sorted(counts))
