"""The lines around a place of a person's source, coloured, as long as the file still says what was judged."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from regauge.report.highlight import CodeLine, coloured_lines
from regauge.verify.result import Place

AROUND = 6  # lines before and after


@dataclass(frozen=True)
class Excerpt:
    """A place and the lines around it; none where the file is gone or has changed since."""

    place: Place
    lines: tuple[CodeLine, ...]
    changed: bool = False


def excerpt(place: Place, roots: Iterable[Path]) -> Excerpt:
    """The lines around a place.

    Args:
        place: of a check.
        roots: directories that its path may be relative to, in order.
    """
    text = _text(place.file, roots)
    if text is None or not place.line:
        return Excerpt(place, _alone(place))
    lines = text.splitlines()
    said = lines[place.line - 1].strip() if place.line <= len(lines) else ""
    if place.code.strip() and said != place.code.strip():
        return Excerpt(place, _alone(place), changed=True)
    first, last = max(1, place.line - AROUND), min(len(lines), place.line + AROUND)
    coloured = coloured_lines(text)
    return Excerpt(place, tuple(CodeLine(number, coloured[number - 1]) for number in range(first, last + 1)))


def _alone(place: Place) -> tuple[CodeLine, ...]:
    """The one line that the check itself kept."""
    return (CodeLine(place.line, coloured_lines(place.code)[0]),) if place.code.strip() else ()


def _text(file: str, roots: Iterable[Path]) -> str | None:
    for root in roots if file else ():
        try:
            return (root / file).read_text(encoding="utf-8", errors="replace")
        except OSError:
            continue
    return None
