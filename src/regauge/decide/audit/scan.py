"""One file, read: small plain data that a worker process can hand back."""

from __future__ import annotations

import sys
from dataclasses import dataclass, field
from pathlib import Path

from regauge.decide.audit.files import Source, read_source
from regauge.findings import Finding


@dataclass
class Scope:
    """A function, a method, or the code of a class or module outside of functions.

    Attributes:
        name: qualified name in the file; empty for the module.
        owner: index of its class, -1 without one.
        calls: functions of the same file that it calls, ``self.method`` and ``super.method`` of its own object, and
            ``Class.method`` of objects whose class the file shows.
        returns: the names in the annotation of what it returns, absolute.
    """

    name: str
    owner: int = -1
    calls: set[str] = field(default_factory=set)
    returns: frozenset[str] = frozenset()


@dataclass
class Class:
    """A class of the file; bases are dotted names, absolute where imports say what they are."""

    name: str
    bases: tuple[str, ...]
    line: int


@dataclass
class Scan:
    """What one file holds.

    Attributes:
        module: dotted name of the file; `imports` are the absolute names that it imports, `first` those that are
            imported together with it.
        names: names of APIs, indexed by `uses`: (name, line, scope) one after the other.
        hazards: (kind, line, scope, text).
        libraries: top-level modules of other packages that are imported.
    """

    path: str
    module: str
    lines: int = 0
    names: list[str] = field(default_factory=list)
    uses: list[int] = field(default_factory=list)
    scopes: list[Scope] = field(default_factory=list)
    classes: list[Class] = field(default_factory=list)
    hazards: list[tuple[str, int, int, str]] = field(default_factory=list)
    imports: list[str] = field(default_factory=list)
    first: list[str] = field(default_factory=list)
    roots: list[str] = field(default_factory=list)
    cells: tuple[int, ...] = ()
    findings: list[Finding] = field(default_factory=list)

    def use(self, index: int) -> tuple[str, int, int]:
        """Name, line and scope of a use."""
        name, line, scope = self.uses[3 * index : 3 * index + 3]
        return self.names[name], line, scope


@dataclass(frozen=True)
class Known:
    """What the reader of a file has to know of the whole: import names of libraries and of the tree itself."""

    libraries: frozenset[str]
    own: frozenset[str]


def scan_file(root: str, path: str, module: str, package: str, known: Known) -> Scan:
    """Read one file; whatever is wrong with it is a finding of the result."""
    from regauge.decide.audit.reader import read_module

    result = Scan(path, module)
    source = read_source(Path(root, path), path)
    if isinstance(source, Finding):
        result.findings.append(source)
        return result
    result.lines, result.cells = source.lines, source.cells
    result.findings += source.findings
    try:
        read_module(source.tree, package, known, result)
    except RecursionError:
        _forget(result, source)
    result.names = [sys.intern(name) for name in result.names]
    return result


def _forget(result: Scan, source: Source) -> None:
    """A file that is too deep to be walked keeps its size and nothing else."""
    empty = Scan(result.path, result.module)
    for name in ("names", "uses", "scopes", "classes", "hazards", "imports", "first", "roots"):
        setattr(result, name, getattr(empty, name))
    result.findings.append(Finding("A222", "warning", result.path, "the file is left out: it is nested too deeply"))


def is_test(path: str) -> bool:
    """Whether a file holds tests, by the names that pytest and unittest look for."""
    parts = Path(path).parts
    name = parts[-1]
    return name.startswith("test_") or name.endswith("_test.py") or name == "conftest.py" or "tests" in parts[:-1]
