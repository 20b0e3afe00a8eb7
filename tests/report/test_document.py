from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path

import pytest
from sample import check, document, effects

from regauge.errors import BadResult, OutputError
from regauge.report.document import FILE_NAME, build_document, read_document, write_text
from regauge.report.html import render_html


def test_document_and_page_survive_the_file(tmp_path: Path) -> None:
    built = document(tmp_path / "folder")
    built.write(tmp_path / FILE_NAME)
    read = read_document(tmp_path)
    assert read == built
    assert render_html(read, "zh") == render_html(built, "zh")


def test_infinite_and_missing_numbers_survive_the_file(tmp_path: Path) -> None:
    odd = dataclasses.replace(effects()[0], ratio=math.nan, high=math.inf)
    file = build_document(case="x", effects=[odd]).write(tmp_path / "x.json")
    read = read_document(file).effects[0]
    assert math.isnan(read.ratio)
    assert read.high == math.inf
    json.loads(file.read_text(), parse_constant=lambda name: pytest.fail(f"{name} is not JSON"))


def test_summary_tells_the_verdict_in_english(tmp_path: Path) -> None:
    summary = document(tmp_path).summary
    assert summary.check == "equal"
    assert len(summary.sentences) == 1 + len(effects())


def test_weights_are_counted_from_the_map(tmp_path: Path) -> None:
    weights = document(tmp_path).weights
    stored = json.loads((tmp_path / "weights.json").read_text())
    assert weights is not None
    assert weights.arrays == len(stored["entries"])
    assert weights.parameters == 3 * 3 * 3 * 8 + 8 + 8 + 8 + 128 * 5 + 5  # conv, batch norm, head
    assert weights.buffers == 8 + 8
    assert [item.source for item in weights.unused] == ["norm.num_batches_tracked"]


def test_findings_of_all_stages_are_kept_once(tmp_path: Path) -> None:
    built = document(tmp_path)
    assert sorted(finding.code for finding in built.findings) == ["C120", "V310"]
    doubled = build_document(case="x", check=check(), findings=check().findings)
    assert doubled.findings == check().findings


def test_missing_result_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(BadResult, match=r"no stored report here(.|\n)*regauge compare"):
        read_document(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "cannot be read"),
        ("[]", "another version"),
        ('{"schema_version": 99}', r"schema 99; this version reads schema 1"),
        ('{"schema_version": 1, "name": "x", "created": "now", "colour": "red"}', r"damaged(.|\n)*colour"),
        ('{"schema_version": 1, "name": 3, "created": "now"}', r"damaged(.|\n)*name"),
    ],
)
def test_damaged_or_foreign_result_is_refused(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / FILE_NAME).write_text(content)
    with pytest.raises(BadResult, match=message):
        read_document(tmp_path)


def test_failed_write_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    target = write_text(tmp_path / "report.html", "old")

    def full(*_arguments: object, **_keywords: object) -> int:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", full)
        with pytest.raises(OutputError, match=r"No space left on device(.|\n)*--out"):
            write_text(target, "new")
    assert target.read_text() == "old"
    with pytest.raises(OutputError, match="cannot be written"):
        write_text(target / "below" / "report.html", "x")
