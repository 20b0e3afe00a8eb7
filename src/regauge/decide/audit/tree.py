"""The audit of a tree: every file read, the results joined."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from regauge import __version__
from regauge.decide.audit.conversions import Decisions, Options, convert_cases
from regauge.decide.audit.files import BadAudit, Tree, discover
from regauge.decide.audit.joining import Joiner, directories
from regauge.decide.audit.modules import Modules, own_roots, package_name, places
from regauge.decide.audit.result import Audit, Counts, Target
from regauge.decide.audit.scan import Known, Scan
from regauge.decide.audit.scanning import scan_all
from regauge.decide.audit.surroundings import frameworks, libraries, library_entries, library_roots, source_of
from regauge.decide.audit.tables.lookup import FRAMEWORK_OF
from regauge.decide.audit.toolchain import changes
from regauge.decide.audit.work import work_list

_OTHER: dict[str, Target] = {"pytorch": "jax", "jax": "torch", "": "jax"}
_SOURCE: dict[Target, str] = {"jax": "pytorch", "torch": "jax"}


def audit_tree(
    path: str | Path,
    to: Target | None = None,
    *,
    exclude: Sequence[str] = (),
    cases: Sequence[str] = (),
    options: Options | None = None,
    workers: int | None = None,
) -> Audit:
    """Read a tree (or one file) and say what a switch would take; nothing of it is run or imported.

    Args:
        path: a directory, a .py file or a notebook.
        to: jax or torch; when None the other one of what the tree mostly uses.
        exclude: glob patterns of relative paths to leave out, besides environments and build directories.
        cases: regauge cases to convert for real; only these run code, in worker processes.
        options: how cases are converted.
        workers: processes that read files; None chooses.

    Raises:
        BadAudit: there is nothing to read at `path`, or `to` is no direction.
    """
    if to not in (None, "jax", "torch"):
        raise BadAudit("an audit goes to jax or to torch", code="A120", received=str(to), next="--to jax")
    began = time.monotonic()
    tree = discover(Path(path), exclude)
    package = package_name(tree.root)
    named = places(tree.python, package)
    # A file called torch.py somewhere does not make torch a part of the tree, unless the tree is that package.
    own = own_roots(named) - (set(FRAMEWORK_OF) - {package.partition(".")[0]})
    scans = scan_all(tree.root, named, Known(library_roots(), own), workers)
    used = source_of(scans)
    target = to or _OTHER[used]
    source = _SOURCE[target] if used else ""
    decisions = Decisions()
    if cases:
        if target != "jax":
            raise BadAudit(
                "cases are converted to jax only", code="A130", received=f"--to {target}", next="leave out --cases"
            )
        decisions = convert_cases(cases, scans, options or Options())
    audit = _joined(tree, scans, source, target, own, decisions)
    return replace(audit, path=str(Path(path).resolve()), seconds=time.monotonic() - began)


def _joined(
    tree: Tree, scans: Sequence[Scan], source: str, target: Target, own: frozenset[str], decisions: Decisions
) -> Audit:
    modules = Modules(scans)
    joined = Joiner(source, modules, library_entries(source, target), decisions).join(scans)
    chain, problems = changes(tree, target)
    hazards = tuple(joined.hazards)
    findings = [*tree.findings, *(finding for scan in scans for finding in scan.findings), *problems]
    return Audit(
        path=str(tree.root),
        source=source,
        target=target,
        totals=sum((file.counts for file in joined.files), Counts()),
        frameworks=frameworks(scans, source, target),
        libraries=libraries(scans, target, own),
        directories=directories(joined.files, hazards),
        files=tuple(joined.files),
        names=tuple(joined.names),
        hazards=hazards,
        tool_chain=chain,
        cases=tuple(decisions.outcomes),
        work=work_list(joined.files, Counter(hazard.file for hazard in hazards)),
        findings=tuple(findings),
        regauge=__version__,
    )
