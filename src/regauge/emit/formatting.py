"""Formatting of emitted source, and what it does to line numbers."""

from __future__ import annotations

import ast
import subprocess
from collections.abc import Iterator, Mapping
from functools import cache

from regauge.emit.files import LINE_LENGTH, Place
from regauge.errors import EmitError


def format_source(text: str) -> str:
    """The text as `ruff format` writes it, with sorted imports.

    Raises:
        EmitError: the text is not Python (a defect of regauge).
    """
    process = subprocess.run(
        [_ruff(), "format", "--isolated", "--line-length", str(LINE_LENGTH), "-"],
        input=text,
        capture_output=True,
        text=True,
        encoding="utf-8",
        check=False,
    )
    if process.returncode != 0:
        numbered = [f"{number:4} {line}" for number, line in enumerate(text.splitlines(), 1)]
        raise EmitError(
            "the emitted source cannot be parsed",
            details=[*process.stderr.strip().splitlines(), *numbered[:400]],
            next="please report it with this message",
        )
    return process.stdout


@cache
def _ruff() -> str:
    from ruff import find_ruff_bin

    return str(find_ruff_bin())


def moved_places(before: str, after: str, places: Mapping[int, Place]) -> dict[int, Place]:
    """The places of lines after formatting: formatting moves statements but keeps their order."""
    moved: dict[int, Place] = {}
    for old, new in zip(_statements(before), _statements(after), strict=True):
        place = places.get(old.lineno)
        if place is not None:
            has_body = isinstance(new, ast.ClassDef | ast.FunctionDef | ast.For | ast.If)
            end = new.lineno if has_body else new.end_lineno or new.lineno
            for line in range(new.lineno, end + 1):
                moved.setdefault(line, place)
    return moved


def _statements(text: str) -> Iterator[ast.stmt]:
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.stmt):
            yield node
