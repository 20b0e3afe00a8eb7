"""Source text as coloured HTML lines; the colours are classes, so that light, dark and print share one markup."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from markupsafe import Markup
from pygments import highlight
from pygments.formatters import HtmlFormatter
from pygments.lexers import PythonLexer

from regauge.report.sources import LineLink, Source


@dataclass(frozen=True)
class CodeLine:
    """One line: its number, its coloured text, and what it is linked with on the other side.

    `target` is the anchor of the person's own line, or empty; `module` the module path that it belongs to.
    """

    number: int
    code: Markup
    target: str = ""
    place: str = ""
    module: str = ""


@dataclass(frozen=True)
class Listing:
    """One file, its lines ready to be shown; `anchor` starts the id of each line."""

    path: str
    role: str
    anchor: str
    lines: tuple[CodeLine, ...]


def listings(sources: Sequence[Source], links: Sequence[LineLink]) -> tuple[Listing, ...]:
    """All files in the order of the document; only the emitted model.py carries links to original lines."""
    anchors = {source.path: f"original-{index}" for index, source in enumerate(sources) if source.role == "original"}
    by_line = {link.line: link for link in links}
    found = []
    for index, source in enumerate(sources):
        anchor = anchors[source.path] if source.role == "original" else f"emitted-{index}"
        length = {s.path: len(s.text.splitlines()) for s in sources if s.role == "original"}
        lines = []
        for number, code in enumerate(coloured_lines(source.text), start=1):
            link = by_line.get(number) if source.role == "model" else None
            lines.append(_line(number, code, link, anchors, length))
        found.append(Listing(source.path, source.role, anchor, tuple(lines)))
    return tuple(found)


def coloured_lines(text: str) -> list[Markup]:
    """One piece of escaped HTML per line of Python source; spans never cross a line."""
    formatter = HtmlFormatter(nowrap=True)
    html = highlight(text, PythonLexer(stripnl=False, ensurenl=True), formatter)
    return [Markup(line) for line in html.removesuffix("\n").split("\n")]


def _line(
    number: int, code: Markup, link: LineLink | None, anchors: dict[str, str], length: dict[str, int]
) -> CodeLine:
    if link is None:
        return CodeLine(number, code)
    known = link.original in anchors and link.original_line <= length[link.original]
    target = f"{anchors[link.original]}-{link.original_line}" if known else ""
    return CodeLine(number, code, target, f"{link.original}:{link.original_line}", link.module)
