"""The tool chain: requirement files, containers, continuous integration and environments, line by line."""

from __future__ import annotations

from regauge.decide.audit.files import Tree, read_text
from regauge.decide.audit.result import Change, Target
from regauge.decide.audit.toolchain.packages import Replacer
from regauge.decide.audit.toolchain.readers import reader_of
from regauge.findings import Finding


def changes(tree: Tree, target: Target) -> tuple[tuple[Change, ...], list[Finding]]:
    """What changes in the files that say what is installed; a file that cannot be read is one finding."""
    found: list[Change] = []
    findings: list[Finding] = []
    for path in (*tree.others, *tree.python):
        reader = reader_of(path)
        if reader is None:
            continue
        try:
            text = read_text(tree.root / path).decode("utf-8")
        except (OSError, ValueError) as error:
            findings.append(Finding("A240", "warning", path, f"the file cannot be read: {error}"))
            continue
        lines = text.split("\n")
        for number, (after, why) in reader(text, Replacer(target)):
            before = lines[number - 1].rstrip("\r")
            found.append(Change(path, number, before, after.rstrip("\r"), why))
    return tuple(found), findings
