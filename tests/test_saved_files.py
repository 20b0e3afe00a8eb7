"""A conversion replaces an older one, and never what a person changed in it."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from regauge.conversion import _make_room
from regauge.run.protocol import write_json
from regauge.saved_files import changed_files, remember_files


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    saved = tmp_path / "rhythm"
    (saved / "__pycache__").mkdir(parents=True)
    (saved / "model.py").write_text("x = 1\n", encoding="utf-8")
    (saved / "weights.safetensors").write_bytes(b"1234")
    write_json(saved / "conversion.json", {"schema": 1})
    remember_files(saved)
    return saved


def test_what_was_written_is_no_change(folder: Path) -> None:
    (folder / "__pycache__" / "model.pyc").write_bytes(b"compiled")
    assert changed_files(folder) == []
    assert _make_room(folder) == []
    assert not folder.exists()


def test_changed_and_new_files_are_named(folder: Path) -> None:
    (folder / "model.py").write_text("x = 2\n", encoding="utf-8")
    (folder / "notes.txt").write_text("mine", encoding="utf-8")
    (folder / "weights.safetensors").write_bytes(b"12345")
    assert changed_files(folder) == ["model.py", "notes.txt", "weights.safetensors"]


def test_weights_that_were_saved_again_in_the_same_size_are_a_change(folder: Path) -> None:
    weights = folder / "weights.safetensors"
    before = weights.stat().st_mtime_ns
    weights.write_bytes(b"5678")
    os.utime(weights, ns=(before + 10**9, before + 10**9))  # a second later, whatever the clock of the disk resolves
    assert changed_files(folder) == ["weights.safetensors"]


def test_a_changed_conversion_is_kept_beside_the_new_one(folder: Path) -> None:
    folder.with_name("rhythm.1").mkdir()
    (folder / "model.py").write_text("x = 2\n", encoding="utf-8")
    (finding,) = _make_room(folder)
    kept = folder.with_name("rhythm.2")
    assert (finding.code, finding.where) == ("S221", str(kept))
    assert "model.py" in finding.text
    assert (kept / "model.py").read_text(encoding="utf-8") == "x = 2\n"
    assert not folder.exists()


def test_a_folder_that_says_nothing_of_its_files_is_replaced(folder: Path) -> None:
    write_json(folder / "conversion.json", {"schema": 1})
    (folder / "model.py").write_text("x = 2\n", encoding="utf-8")
    assert _make_room(folder) == []
    assert not folder.exists()
