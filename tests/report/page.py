"""Reads a page as a person does: its text without what another language, the style or the script says."""

from __future__ import annotations

from html.parser import HTMLParser

VOID = {"meta", "link", "br", "input", "rect", "line", "circle", "hr", "img"}
SILENT = {"style", "script", "code", "pre", "title"}


class _Reader(HTMLParser):
    def __init__(self, language: str) -> None:
        super().__init__()
        self.language = language
        self.open: list[tuple[str, bool]] = []
        self.texts: list[str] = []
        self.elements: list[tuple[str, dict[str, str]]] = []

    @property
    def silent(self) -> bool:
        return any(hidden for _, hidden in self.open)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = {name: value or "" for name, value in attrs}
        self.elements.append((tag, values))
        other = values.get("class") == "in" and values.get("lang") != self.language
        hidden = other or tag in SILENT or values.get("translate") == "no"
        if not (self.silent or hidden):
            self.texts += [values[name] for name in ("aria-label", "title") if name in values]
        if tag not in VOID and not self.get_starttag_text().endswith("/>"):
            self.open.append((tag, hidden))

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID:
            assert self.open[-1][0] == tag, f"{tag} closes {self.open[-1][0]}"
            self.open.pop()

    def handle_data(self, data: str) -> None:
        if data.strip() and not self.silent:
            self.texts.append(data.strip())


def texts_in(html: str, language: str) -> list[str]:
    """Every text that a reader of `language` sees or hears; names, code and records are left out."""
    return _read(html, language).texts


def elements(html: str) -> list[tuple[str, dict[str, str]]]:
    """Every element with its attributes; fails on tags that are not closed in order."""
    return _read(html, "en").elements


def _read(html: str, language: str) -> _Reader:
    reader = _Reader(language)
    reader.feed(html)
    reader.close()
    assert not reader.open, f"not closed: {reader.open}"
    return reader
