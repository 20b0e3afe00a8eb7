"""Converting a case in worker processes, and reading what a saved folder says about itself."""

from __future__ import annotations

import shutil
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from regauge.case import refuse_unknown_layers
from regauge.errors import BadResult, NoSuchDirection, OutputError
from regauge.findings import Finding
from regauge.language import N_
from regauge.occupied import occupied
from regauge.progress import Progress, Silence
from regauge.run.case_frameworks import framework_of_case
from regauge.run.launch import Framework, Interpreters, launch
from regauge.run.protocol import read_json
from regauge.saved_files import changed_files, remember_files, set_aside

SCHEMA = 1  # of conversion.json


@dataclass(frozen=True)
class Conversion:
    """A saved folder and how it came about.

    Attributes:
        folder: the saved conversion.
        name: of the case.
        trains: whether there is a training step.
        findings: what a person should know.
        seconds: what converting cost, 0.0 when it was `reused`.
        reused: whether it was there before.
        original: the framework of the case; the conversion is of the other.
    """

    folder: Path
    name: str
    trains: bool
    findings: tuple[Finding, ...]
    seconds: float = 0.0
    reused: bool = False
    original: Framework = "torch"

    @property
    def target(self) -> Framework:
        """The framework of the conversion."""
        return other_framework(self.original)

    def to_json(self) -> dict[str, Any]:
        return {
            "folder": str(self.folder),
            "name": self.name,
            "trains": self.trains,
            "findings": [finding.to_json() for finding in self.findings],
            "seconds": self.seconds,
            "reused": self.reused,
            "direction": f"{self.original}->{self.target}",
        }


def other_framework(framework: Framework) -> Framework:
    return "jax" if framework == "torch" else "torch"


def convert(
    reference: str,
    folder: Path,
    work: Path,
    *,
    to: Framework | None = None,
    interpreters: Interpreters | None = None,
    timeout: float | None = None,
    progress: Progress | None = None,
    layers: str | None = None,
) -> Conversion:
    """Convert a case to the other framework and write the saved folder, whole or not at all.

    Args:
        reference: ``file.py:name``, ``package.module:name`` or a built-in name.
        folder: where the conversion goes; an older conversion there is replaced, but kept under another name if a
            person has changed it; anything else is refused.
        work: an existing directory for the jobs of the workers; the captured graph stays in ``work/capture``.
        to: the framework to convert to; the one that the case is not of when None.
        timeout: seconds for each worker.
        layers: how equal layers are converted, one of `regauge.case.LAYERS`; the case's own choice when None.

    Raises:
        BadCase, CaptureError, UnsupportedOps, UnsupportedOptimizer: what the case asks cannot be converted.
        NoSuchDirection: the case is of the framework that it shall be converted to.
        WorkerFailed: a worker crashed, was killed or hung.
        OutputError: `folder` holds something else, or another run writes it.
    """
    with occupied(folder, folder.with_name(f".{folder.name}.lock"), keep=False):
        return _convert(reference, folder, work, to, interpreters, timeout, progress or Silence(), layers)


def _convert(
    reference: str,
    folder: Path,
    work: Path,
    to: Framework | None,
    interpreters: Interpreters | None,
    timeout: float | None,
    progress: Progress,
    layers: str | None,
) -> Conversion:
    if layers is not None:
        refuse_unknown_layers(layers)
    refuse_foreign(folder)
    original = framework_of_case(reference, work / "framework", interpreters or Interpreters())
    target = other_framework(original)
    if to not in (None, target):
        raise NoSuchDirection(
            f"the case is of {original} already",
            where=reference,
            received=f"--to {to}",
            next=f"convert it with --to {target}",
        )
    started = time.monotonic()
    captured = empty_directory(work / "capture")
    progress.advance(0, 2, None, N_("capturing the original"))
    chosen = {} if layers is None else {"layers": layers}
    job = {"job": "capture", "case": reference, "out": str(captured), "dynamic": "auto", **chosen}
    launch(original, job, interpreters=interpreters, timeout=timeout)
    progress.advance(1, 2, None, N_("writing the conversion"))
    partial = empty_directory(folder.with_name(f".{folder.name}.partial"))
    emitted = empty_directory(work / "emit")
    job = {"job": "emit", "capture": str(captured), "folder": str(partial), "out": str(emitted)}
    job |= chosen
    try:
        launch(target, job, interpreters=interpreters, timeout=timeout)
        remember_files(partial)
        noticed = _make_room(folder)
        partial.rename(folder)
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    progress.advance(2, 2, 0.0, "")
    conversion = read_conversion(folder, time.monotonic() - started)
    return replace(conversion, findings=(*conversion.findings, *noticed))


def _make_room(folder: Path) -> list[Finding]:
    """Remove an older conversion; one that a person has changed is kept under another name, which is said."""
    if not folder.exists():
        return []
    changed = changed_files(folder)
    if not changed:
        shutil.rmtree(folder)
        return []
    kept = set_aside(folder)
    shown = ", ".join(changed[:5]) + (", ..." if len(changed) > 5 else "")
    text = f"The older conversion held changes of yours ({shown}): it was kept as {kept.name}."
    return [Finding("S221", "warning", str(kept), text)]


def read_conversion(folder: Path, seconds: float = 0.0, reused: bool = False) -> Conversion:
    """The conversion in a saved folder.

    Raises:
        BadResult: there is none, it is damaged, or another version wrote it.
    """
    path = folder / "conversion.json"
    try:
        stored = read_json(path)
    except FileNotFoundError as error:
        raise BadResult("no conversion here", where=str(folder), next="regauge convert CASE --out DIR") from error
    except ValueError as error:
        raise BadResult(
            f"the conversion cannot be read: {error}", where=str(path), next="convert the case again"
        ) from error
    if stored.get("schema") != SCHEMA:
        raise BadResult(
            "the conversion was written by another version of regauge",
            where=str(path),
            received=f"schema {stored.get('schema')}; this version reads schema {SCHEMA}",
            next="convert the case again",
        )
    trains = bool(stored.get("has_loss")) and stored.get("optimizer") is not None
    findings = tuple(Finding.from_json(item) for item in stored.get("findings", ()))
    original: Framework = "jax" if stored.get("direction") == "jax->torch" else "torch"
    return Conversion(folder, stored["name"], trains, findings, seconds, reused, original)


def refuse_foreign(folder: Path) -> None:
    """Raise OutputError if `folder` holds anything but a conversion: regauge replaces only what it wrote."""
    if folder.is_dir() and any(folder.iterdir()) and not (folder / "conversion.json").is_file():
        raise OutputError(
            "the directory holds files that are not a conversion",
            code="S220",
            where=str(folder),
            why="a conversion replaces the whole directory",
            next="choose an empty or new directory with --out",
        )


def empty_directory(path: Path) -> Path:
    """An empty directory at `path`; what was there is removed."""
    if path.exists():
        shutil.rmtree(path)
    path.mkdir(parents=True)
    return path
