"""One run at a time in one place, and a lock that nobody has to remove."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import regauge
from regauge import occupied as module
from regauge.cli.main import main
from regauge.errors import OutputError
from regauge.occupied import occupied
from regauge.pipeline import alone, compare

HOLDER = """
import sys, time
from pathlib import Path
from regauge.pipeline import alone
with alone(Path(sys.argv[1])):
    print("held", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def holder(tmp_path: Path):
    """Another process that uses the directory."""
    process = subprocess.Popen([sys.executable, "-c", HOLDER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "held\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_refused_until_the_first_is_gone(tmp_path: Path, holder) -> None:
    with pytest.raises(OutputError, match="another run uses this directory") as caught, alone(tmp_path):
        pass
    assert caught.value.received == f"process {holder.pid}"
    assert "--out" in caught.value.next
    holder.kill()  # as a crash or the out-of-memory killer does: nothing is cleaned up
    holder.wait()
    with alone(tmp_path):
        pass


@pytest.mark.parametrize("command", ["check", "compare"])
def test_the_commands_refuse(command: str, tmp_path: Path, holder, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([command, "digits", "--out", str(tmp_path), "--lang", "zh"]) == 2
    assert "另一次运行正在使用这个目录" in capsys.readouterr().err


def test_the_python_interface_refuses(tmp_path: Path, holder) -> None:
    with pytest.raises(OutputError, match="another run"):
        regauge.check("digits", out=tmp_path)
    with pytest.raises(OutputError, match="another run"):
        compare("digits", tmp_path)


def test_two_conversions_into_one_folder(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder, lock = tmp_path / "converted", tmp_path / ".converted.lock"
    with occupied(folder, lock, keep=False):
        assert main(["convert", "digits", "--out", str(folder)]) == 2
    assert "another run uses this directory" in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == []


def test_a_file_that_is_removed_before_it_is_locked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the run that held it: the lock would be on a file that nobody else finds."""
    lock, lock_file, seen = tmp_path / "lock", module._lock, []

    def removed_first(file) -> None:
        if not seen:
            lock.unlink()
        seen.append(file)
        lock_file(file)

    monkeypatch.setattr(module, "_lock", removed_first)
    with occupied(tmp_path, lock):
        assert len(seen) == 2
        with pytest.raises(OutputError), occupied(tmp_path, lock):
            pass
