"""What a command prints: results on stdout, progress and errors on stderr; with --json one object on stdout."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

from rich.console import Console
from rich.text import Text

from regauge.errors import RegaugeError
from regauge.findings import Finding
from regauge.language import N_, _, translate_message
from regauge.progress import Stopped

LABELS = (N_("where"), N_("received"), N_("why"), N_("next"))
SEVERITIES = {"info": N_("note"), "warning": N_("warning"), "error": N_("error")}
STYLES = {"info": "cyan", "warning": "yellow", "error": "red"}


class Interrupted(RegaugeError):
    """The person pressed Ctrl-C: no error, but it is told in the form of one, so that --json prints one object."""

    default_code = "U130"
    exit_code = 130


def stdout() -> Console:
    """The console of results. Markup is off: ``regauge[vision]`` and ``Tensor[]`` are meant as they are written."""
    return Console(highlight=False, markup=False, emoji=False, soft_wrap=True)


def stderr() -> Console:
    """The console of progress, hints and errors."""
    return Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)


def print_json(data: Mapping[str, Any]) -> None:
    """One JSON object on stdout: UTF-8, infinities and NaN as null, since JSON has none."""
    print(json.dumps(_finite(data), ensure_ascii=False, indent=1))


def print_error(error: RegaugeError, as_json: bool) -> None:
    """The one printed form of every error, with its labels in the current language."""
    if as_json:
        print_json({"ok": False, "error": error.to_json()})
        return
    console = stderr()
    first, *rest = error.lines()
    code, _space, what = first.partition(" ")
    console.print(Text(f"{code} ", "bold red").append(translate_message(what), "bold"))
    for line in rest:
        console.print(_labelled(line))


def print_findings(console: Console, findings: Sequence[Finding]) -> None:
    """One line for each finding."""
    for finding in findings:
        line = Text(f"{finding.code} {_(SEVERITIES[finding.severity])}: ", STYLES[finding.severity])
        line.append(translate_message(finding.text))
        if finding.where:
            line.append(f" ({finding.where})", "dim")
        console.print(line)


def print_next(console: Console, *commands: str) -> None:
    """What to do next."""
    for command in commands:
        console.print(Text(_("next: "), "dim").append(command))


@contextmanager
def resumable() -> Iterator[None]:
    """Within the block Ctrl-C is an `Interrupted` that says what is kept and how to go on."""
    try:
        yield
    except Stopped as stopped:
        raise Interrupted(
            f"stopped by Ctrl-C; {stopped.kept} of {stopped.launches} launches are kept",
            why="launches of one block are compared with each other, so a block that is not whole is made again"
            if stopped.made > stopped.kept
            else "",
            next="the same command goes on from there",
        ) from stopped
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped by Ctrl-C", next="what is done is kept; the same command goes on from there"
        ) from error


@contextmanager
def whole_or_nothing() -> Iterator[None]:
    """Within the block Ctrl-C is an `Interrupted` of a command that writes all or nothing."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(
            "stopped by Ctrl-C", next="nothing was written; the same command starts from the beginning"
        ) from error


def _labelled(line: str) -> Text:
    label, colon, rest = line.strip().partition(": ")
    if colon and label in LABELS:
        return Text(f"  {_(label)}" + _(": "), "dim").append(translate_message(rest), "bold" if label == "next" else "")
    return Text(f"  {translate_message(line.strip())}" if line == f"  {line.strip()}" else line)


def _finite(data: Any) -> Any:
    if isinstance(data, float):
        return data if data - data == 0 else None
    if isinstance(data, Mapping):
        return {str(key): _finite(value) for key, value in data.items()}
    return [_finite(item) for item in data] if isinstance(data, list | tuple) else data
