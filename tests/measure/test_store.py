"""The store: nothing is lost, a torn line is dropped and said, what cannot be read or written is refused in words."""

from __future__ import annotations

import errno
import json
import os
import sqlite3
from pathlib import Path

import pytest

from regauge.errors import BadResult, OutputError
from regauge.measure.result import Measurement
from regauge.measure.store import Store


def measurement(block: int = 0, **changes: object) -> Measurement:
    known = {
        "status": "ok",
        "samples": (0.1, 0.30000000000000004, 1e-7),
        "phases": {"import": 1.5},
        "memory": {"host_peak": 2**31},
        "environment": {"device": {"kind": "cpu"}, "load": None},
        "gate": {"passed": True},
        "seconds": 3.25,
        "started": "2026-01-01T00:00:00.000+00:00",
    }
    return Measurement("run", "train", "jax jit", "time", block, 1, **{**known, **changes})  # type: ignore[arg-type]


def test_every_field_and_every_raw_sample_comes_back(tmp_path: Path) -> None:
    stored = [measurement(0), measurement(1, samples=(), error={"code": "P120", "what": "…"}, status="timed out")]
    store = Store(tmp_path / "deep" / "directory")
    for m in stored:
        store.append(m)
    again = Store(tmp_path / "deep" / "directory")
    assert again.load() == stored == store.load()
    assert again.load("another run") == []
    assert again.notes == ()


def test_of_a_launch_that_was_made_again_the_last_counts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(measurement(0, status="failed"))
    store.append(measurement(1))
    store.append(measurement(0, seconds=9.0))
    assert [(m.block, m.status, m.seconds) for m in store.load()] == [(1, "ok", 3.25), (0, "ok", 9.0)]
    assert len(store.lines.read_text(encoding="utf-8").splitlines()) == 3


def test_a_torn_last_line_is_dropped_and_said(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(measurement(0))
    store.append(measurement(1))
    content = store.lines.read_bytes()
    store.lines.write_bytes(content[:-40])
    again = Store(tmp_path)
    assert [m.block for m in again.load()] == [0]
    assert len(again.notes) == 1
    assert "torn" in again.notes[0]
    again.append(measurement(1))
    assert [m.block for m in Store(tmp_path).load()] == [0, 1]
    assert Store(tmp_path).lines.read_bytes() == content


def test_a_damaged_line_in_the_middle_is_refused_with_its_place(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(measurement(0))
    store.lines.write_bytes(b"not json\n" + store.lines.read_bytes())
    with pytest.raises(BadResult, match="damaged") as caught:
        Store(tmp_path)
    assert caught.value.where == f"{store.lines}:1"
    assert caught.value.received == "not json"


def test_lines_of_another_version_are_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.lines.write_text(json.dumps({"schema": 99, "measurement": {}}) + "\n", encoding="utf-8")
    with pytest.raises(BadResult, match="another version") as caught:
        Store(tmp_path)
    assert "schema 99" in caught.value.received
    assert "--out" in caught.value.next


def test_a_line_without_a_field_is_refused(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.lines.write_text(json.dumps({"schema": 1, "measurement": {"samples": []}}) + "\n", encoding="utf-8")
    with pytest.raises(BadResult, match="lacks a field"):
        Store(tmp_path)


def test_a_place_that_is_no_directory_is_refused(tmp_path: Path) -> None:
    place = tmp_path / "file"
    place.write_text("here already", encoding="utf-8")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        Store(place)
    assert "--out" in caught.value.next


def test_a_full_disk_leaves_what_was_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = Store(tmp_path)
    store.append(measurement(0))
    before = store.lines.read_bytes()

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OutputError, match="No space left"):
        store.append(measurement(1))
    monkeypatch.undo()
    assert store.lines.read_bytes() == before
    assert [m.block for m in store.load()] == [0]


def test_the_index_is_rebuilt_from_the_lines(tmp_path: Path) -> None:
    store = Store(tmp_path)
    store.append(measurement(0))
    store.append(measurement(1, samples=(), status="failed", memory={}))
    store.index.write_text("an index that is damaged", encoding="utf-8")
    with sqlite3.connect(store.rebuild_index()) as database:
        rows = database.execute("select block, status, steps, median, host_peak from measurement").fetchall()
    database.close()
    assert rows == [(0, "ok", 3, 0.1, 2**31), (1, "failed", 0, None, None)]
