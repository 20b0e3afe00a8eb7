"""The check of two cases that somebody else wrote, as a stage whose results lie beside those of the main job."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from regauge.conversion import empty_directory
from regauge.pipeline import Options, forget
from regauge.progress import Progress
from regauge.run.protocol import write_json
from regauge.verify.pair import MAP_FILE, check_pair, read_map
from regauge.verify.plan import CheckOptions
from regauge.verify.reproduce_file import remove_stale
from regauge.verify.result import Check
from regauge.verify.workers import sides_of_cases


def judge_cases(
    original: str,
    converted: str,
    out: Path,
    options: Options,
    progress: Progress,
    *,
    weight_map: Any = None,
    pythons: Mapping[Any, str | None] | None = None,
) -> Check:
    """The check of two cases that the person brought: ``out/check.json``, ``out/weight_map.json``.

    Where they differ there is ``out/reproduce.py`` as well.

    Args:
        original: reference of the original.
        converted: reference of the converted side.
        out: where results are kept.
        options: quick, timeout and interpreters count.
        progress: who watches.
        weight_map: as `verify.pair.check_pair` takes it, or the path of one.
        pythons: executables by role (``original``, ``converted``), where a side has one of its own.
    """
    from regauge.measure.environment import fingerprint

    progress.begin("check")
    forget(out, "check")
    given = read_map(weight_map)
    for stale in ("check.json", "check.html", MAP_FILE):
        (out / stale).unlink(missing_ok=True)
    remove_stale(out)
    work = empty_directory(out / "work" / "pair")
    found = check_pair(
        sides_of_cases(original, converted, work, options.interpreters, pythons),
        work,
        weight_map=given,
        options=CheckOptions(quick=options.quick, timeout=options.timeout, reproduce=out),
        progress=lambda what, done, total: progress.advance(done, total, None, what),
    )
    check = replace(found, environment=fingerprint())
    write_json(out / "check.json", check.to_json())
    if (work / MAP_FILE).is_file():
        shutil.copyfile(work / MAP_FILE, out / MAP_FILE)
    return check
