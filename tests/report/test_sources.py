from __future__ import annotations

import re
from html import unescape
from pathlib import Path

from sample import FIXTURE, document, folder

from regauge.cases import case_path
from regauge.report.document import build_document
from regauge.report.highlight import coloured_lines, listings


def test_sources_of_both_sides_with_the_original_first(tmp_path: Path) -> None:
    found = document(tmp_path).sources
    assert [(source.path, source.role) for source in found] == [
        ("original.py", "original"),
        ("model.py", "model"),
        ("train.py", "train"),
    ]
    assert found[0].text == (FIXTURE / "original.py").read_text()


def test_coloured_lines_hold_exactly_the_source() -> None:
    """Also with blank lines at both ends, strings over many lines, and characters of HTML."""
    text = '\n\nx = """a\n  <b>\n"""  # é & <i>\nif x < 3: y = \'"\'\n\n'
    lines = coloured_lines(text)
    plain = [unescape(re.sub(r"<[^>]+>", "", line)) for line in lines]
    assert plain == text.splitlines()
    for line in lines:
        assert line.count("<span") == line.count("</span>")


def test_links_join_the_lines_of_one_layer(tmp_path: Path) -> None:
    built = document(tmp_path)
    original, model, _train = listings(built.sources, built.lines)
    linked = [line for line in model.lines if line.target]
    assert {line.module for line in linked} == {"conv", "norm", "drop", "head"}
    for line in linked:
        number = int(line.target.rpartition("-")[2])
        assert f"self.{line.module} = " in re.sub(r"<[^>]+>", "", original.lines[number - 1].code)


def test_link_to_an_unknown_file_keeps_its_place(tmp_path: Path) -> None:
    place = folder(tmp_path)
    conversion = place / "conversion.json"
    conversion.write_text(conversion.read_text().replace("original.py:", "elsewhere.py:"))
    built = build_document(case="nowhere.missing:case", folder=place)
    listing = next(item for item in listings(built.sources, built.lines) if item.role == "model")
    linked = [line for line in listing.lines if line.place]
    assert linked
    assert all(line.place.startswith("elsewhere.py:") and not line.target for line in linked)


def test_case_is_found_without_importing_it() -> None:
    assert case_path("digits").name == "digits.py"
    assert case_path(f"{FIXTURE / 'original.py'}:case") == FIXTURE / "original.py"
    assert case_path("no.such.module:case") is None
    assert case_path("missing.py:case") is None
