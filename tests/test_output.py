"""The output directory: what is refused before work starts, and what a failure during work is called."""

from __future__ import annotations

import errno
from pathlib import Path

import pytest

from regauge import output
from regauge.errors import OutputError, WorkerFailed
from regauge.output import prepare_output, writing


def test_a_new_directory_is_made_and_left_empty(tmp_path: Path) -> None:
    place = prepare_output(tmp_path / "a" / "b")
    assert place.is_dir()
    assert list(place.iterdir()) == []


def test_a_file_in_its_place(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written") as caught:
        prepare_output(tmp_path / "taken")
    assert str(tmp_path / "taken") in caught.value.where
    assert "--out" in caught.value.next
    assert (tmp_path / "taken").read_text() == "mine"


def test_a_place_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "taken").write_text("mine")
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_output(tmp_path / "taken" / "below")


def test_a_place_that_the_system_refuses() -> None:
    with pytest.raises(OutputError, match="cannot be written"):
        prepare_output(Path("/proc/regauge"))


def test_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(output, "LEAST_FREE", 2**80)
    with pytest.raises(OutputError, match="full") as caught:
        prepare_output(tmp_path)
    assert caught.value.code == "S210"


def test_a_disk_that_fills_up_while_writing(tmp_path: Path) -> None:
    with pytest.raises(OutputError, match="full"), writing(tmp_path):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_a_worker_that_stumbles_over_a_full_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = WorkerFailed("the jax worker ended with exit code 1", details=["OSError: [Errno 28]"])
    with pytest.raises(WorkerFailed, match="exit code 1"), writing(tmp_path):
        raise failed
    monkeypatch.setattr(output, "LEAST_FREE", 2**80)
    with pytest.raises(OutputError, match="full") as caught, writing(tmp_path):
        raise failed
    assert caught.value.details == ("OSError: [Errno 28]",)


def test_other_errors_pass_through(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="No such process") as caught, writing(tmp_path):
        raise OSError(errno.ESRCH, "No such process")
    assert not isinstance(caught.value, OutputError)
