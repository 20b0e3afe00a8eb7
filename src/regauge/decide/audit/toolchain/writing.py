"""The files of the tool chain for the new side, in a directory of their own; the originals are never touched."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from regauge.decide.audit.result import Audit, Change
from regauge.decide.audit.toolchain.readers import LOCKED
from regauge.errors import OutputError

MARK = "regauge-audit.json"  # in every directory that was written here: only such a one is replaced


def write_files(audit: Audit, directory: Path) -> tuple[Path, ...]:
    """Write every file of the tool chain that changes, whole, under its own path; all of them or none.

    Returns:
        The files that were written, relative to `directory`.

    Raises:
        OutputError: `directory` holds something else, or is a part of the audited tree's own files.
    """
    root = Path(audit.path) if Path(audit.path).is_dir() else Path(audit.path).parent
    directory = directory.resolve()
    if directory == root or directory in root.parents:
        raise OutputError(
            "the new files would stand in place of the audited ones",
            code="S230",
            where=str(directory),
            next="choose another directory with --write",
        )
    if directory.exists() and (
        not directory.is_dir() or (any(directory.iterdir()) and not (directory / MARK).is_file())
    ):
        raise OutputError(
            "the directory holds files that no audit wrote",
            code="S220",
            where=str(directory),
            why="what an audit writes replaces the whole directory",
            next="choose an empty or new directory with --write",
        )
    by_file: dict[str, list[Change]] = {}
    for change in audit.tool_chain:
        if change.why != LOCKED:
            by_file.setdefault(change.file, []).append(change)
    partial = directory.with_name(f".{directory.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    try:
        partial.mkdir(parents=True)
        for name, changes in by_file.items():
            place = partial / name
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_bytes(changed((root / name).read_bytes(), changes))
        about = {"path": audit.path, "target": audit.target, "files": sorted(by_file)}
        (partial / MARK).write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        if directory.exists():
            shutil.rmtree(directory)
        partial.rename(directory)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return tuple(Path(name) for name in sorted(by_file))


def changed(data: bytes, changes: list[Change]) -> bytes:
    """The file with its lines replaced; line ends, comments and everything else stay."""
    lines = data.decode("utf-8").split("\n")
    for change in changes:
        end = "\r" if lines[change.line - 1].endswith("\r") else ""
        if lines[change.line - 1].rstrip("\r") != change.before:
            raise OutputError("a file changed while it was audited", where=change.file, next="run the audit again")
        lines[change.line - 1] = f"{end}\n".join(change.after.split("\n")) + end
    gone = {change.line for change in changes if not change.after}
    return "\n".join(line for number, line in enumerate(lines, 1) if number not in gone).encode("utf-8")
