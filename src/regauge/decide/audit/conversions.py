"""Cases that are really converted: what they show takes the place of estimates, class by class and line by line."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory

from regauge.decide.audit.result import CaseOutcome, Outcome
from regauge.decide.audit.scan import Scan
from regauge.errors import CaptureError, RegaugeError, UnsupportedOps, UnsupportedOptimizer
from regauge.language import N_
from regauge.run.launch import Interpreters
from regauge.run.protocol import read_json

CONVERTED = N_("a case of it was converted")
_PLACE = re.compile(r"([\w.-]+\.py):(\d+)")


@dataclass(frozen=True)
class Options:
    """How cases are converted: the interpreters of both sides, and seconds for each worker."""

    interpreters: Interpreters | None = None
    timeout: float | None = None


@dataclass
class Decisions:
    """What the conversions decided.

    Attributes:
        classes: (path, class) that converted as a part of a case.
        lines: (path, line) -> the gap that was found there; it wins over `classes`.
        outcomes: in the order of the cases.
    """

    classes: set[tuple[str, str]] = field(default_factory=set)
    lines: dict[tuple[str, int], str] = field(default_factory=dict)
    outcomes: list[CaseOutcome] = field(default_factory=list)


def convert_cases(cases: Sequence[str], scans: Sequence[Scan], options: Options) -> Decisions:
    """Convert each case in worker processes, and find its classes and gaps in the tree."""
    decisions = Decisions()
    for case in cases:
        with TemporaryDirectory(prefix="regauge-") as directory:
            _decide(case, scans, Path(directory), options, decisions)
    return decisions


def _decide(case: str, scans: Sequence[Scan], work: Path, options: Options, decisions: Decisions) -> None:
    from regauge.conversion import convert

    outcome: Outcome = "converted"
    gaps: tuple[str, ...] = ()
    try:
        convert(case, work / "conversion", work, interpreters=options.interpreters, timeout=options.timeout)
    except (UnsupportedOps, CaptureError, UnsupportedOptimizer) as error:
        outcome, gaps = "refused", tuple(error.details) or (error.what,)
        gaps += (error.where,) if error.where else ()
    except RegaugeError as error:
        outcome, gaps = "failed", (f"{error.code} {error.what}",)
    classes = _classes(work / "capture" / "graph.json", scans)
    found: dict[tuple[str, int], str] = {}
    if outcome == "refused":
        found = _gap_lines(gaps, {path for path, _ in classes} or {scan.path for scan in scans})
        decisions.lines |= found
    if outcome == "converted":
        decisions.classes |= classes
    names = tuple(sorted(f"{path}:{name}" for path, name in classes))
    decisions.outcomes.append(CaseOutcome(case, outcome, names, gaps))


def _classes(graph: Path, scans: Sequence[Scan]) -> set[tuple[str, str]]:
    """Classes of the tree that the captured modules are made of; none where nothing was captured."""
    if not graph.is_file():
        return set()
    types = {step[1] for step in read_json(graph).get("modules", ())}
    by_name: dict[str, list[tuple[Scan, str]]] = {}
    for scan in scans:
        for item in scan.classes:
            by_name.setdefault(item.name.rpartition(".")[2], []).append((scan, item.name))
    found = set()
    for name in types:
        module, _, last = name.rpartition(".")
        homes = [(scan, full) for scan, full in by_name.get(last, ()) if _same_module(scan.module, module)]
        if len(homes) == 1:
            found.add((homes[0][0].path, homes[0][1]))
    return found


def _same_module(here: str, there: str) -> bool:
    """Whether two dotted names may be one module, seen from different roots."""
    return here == there or here.endswith(f".{there}") or there.endswith(f".{here}")


def _gap_lines(gaps: Sequence[str], paths: set[str]) -> dict[tuple[str, int], str]:
    """Places that the gaps name, as ``file.py:12``, in files of the tree."""
    found: dict[tuple[str, int], str] = {}
    for gap in gaps:
        for name, line in _PLACE.findall(gap):
            homes = [path for path in paths if path.rpartition("/")[2] == name]
            if len(homes) == 1:
                key, text = (homes[0], int(line)), " ".join(gap.split())
                found[key] = f"{found[key]}; {text}" if key in found else text
    return found
