"""Frameworks and libraries of a tree: how much of each there is, and what stands for a library on the other side."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from regauge.decide.audit.result import Framework, Library, Target
from regauge.decide.audit.scan import Scan
from regauge.decide.audit.tables.entries import Entry
from regauge.decide.audit.tables.lookup import API_ROOTS, FRAMEWORK_OF
from regauge.decide.libraries import Counterpart, load
from regauge.language import N_

SIDE: dict[Target, str] = {"jax": "jax", "torch": "pytorch"}
_DEGREES = {"equivalent": "equivalent", "partial": "manual", "none": "none"}
_WHY = N_("a library: see the table of libraries")


def library_roots() -> frozenset[str]:
    """Top-level modules of the libraries in the table, the frameworks themselves left out."""
    table = load()
    roots = {name.partition(".")[0] for library in table.by_name.values() for name in library.import_names}
    return frozenset(root for root in roots if table.by_import(root) is not None) - set(FRAMEWORK_OF)


def source_of(scans: Sequence[Scan]) -> str:
    """pytorch or jax, whichever the tree uses more (libraries built on them count); empty if neither."""
    table, counts = load(), Counter[str]()
    for scan in scans:
        for index in range(len(scan.uses) // 3):
            root = scan.use(index)[0].partition(".")[0]
            library = table.by_import(root)
            framework = FRAMEWORK_OF.get(root) or (library.framework if library else "")
            if framework in API_ROOTS:
                counts[framework] += 1
    return max(sorted(counts, reverse=True), key=lambda name: counts[name]) if counts else ""


def library_entries(source: str, target: Target) -> dict[str, Entry]:
    """Import name -> entry, for every library that is built on the framework that is left."""
    table = load()
    found: dict[str, Entry] = {}
    for root in library_roots():
        library = table.by_import(root)
        if library is None or library.framework != source:
            continue
        other = table.counterpart(library.name, to=SIDE[target])  # type: ignore[arg-type]
        if other is None:
            found[root] = Entry("library", "manual", "", _WHY, recorded=False)
        elif other.degree != "same":
            degree = _DEGREES[other.degree]
            found[root] = Entry("library", degree, ", ".join(other.counterparts), _WHY)  # type: ignore[arg-type]
    return found


def frameworks(scans: Sequence[Scan], source: str, target: Target) -> tuple[Framework, ...]:
    """Every framework of the tree by use, the largest first."""
    files: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    lines: Counter[str] = Counter()
    for scan in scans:
        present = {FRAMEWORK_OF[root] for root in scan.roots if root in FRAMEWORK_OF}
        files.update(present)
        seen: dict[str, set[int]] = {}
        for index in range(len(scan.uses) // 3):
            name, line, _ = scan.use(index)
            framework = FRAMEWORK_OF.get(name.partition(".")[0])
            if framework:
                uses[framework] += 1
                seen.setdefault(framework, set()).add(line)
        for framework, found in seen.items():
            lines[framework] += len(found)
    kept = SIDE[target]
    rows = []
    for name in sorted(files, key=lambda name: (-uses[name], name)):
        note, where = _state(name)
        role = "left" if name == source else "kept" if name == kept else "other"
        rows.append(Framework(name, files[name], lines[name], uses[name], role, note, where))  # type: ignore[arg-type]
    return tuple(rows)


def _state(name: str) -> tuple[str, str]:
    """That a framework is retired, as its fact says, and the fact."""
    from regauge.decide.facts import retired

    found = retired(name)
    return (found.status, f"fact {found.fact_id}") if found else ("", "")


def libraries(scans: Sequence[Scan], target: Target, own: frozenset[str]) -> tuple[Library, ...]:
    """Third-party libraries by the number of files that import them; those that no table has come last."""
    table = load()
    files: Counter[str] = Counter()
    uses: Counter[str] = Counter()
    for scan in scans:
        files.update(root for root in scan.roots if root not in FRAMEWORK_OF and root not in own)
        uses.update(scan.use(index)[0].partition(".")[0] for index in range(len(scan.uses) // 3))
    rows = []
    for root, count in files.items():
        found = table.by_import(root)
        other = table.counterpart(found.name, to=SIDE[target]) if found else None  # type: ignore[arg-type]
        rows.append(_library(found.name if found else root, root, count, uses[root], other))
    return tuple(sorted(rows, key=lambda row: (row.degree == "unknown", row.degree == "same", -row.files, row.name)))


def _library(name: str, root: str, files: int, uses: int, other: Counterpart | None) -> Library:
    if other is None:
        return Library(name, root, files, uses, (), "unknown")
    source = "; ".join(dict.fromkeys(each.ref for each in other.source))
    return Library(name, root, files, uses, other.counterparts, other.degree, other.why.en, other.why.zh, source)
