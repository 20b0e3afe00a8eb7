"""``regauge doctor``: interpreters as they are, without trusting what this one has."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import pytest

from regauge.cli.doctor import _compiler, _disk, _extras, _framework
from regauge.cli.main import main


def test_both_frameworks_are_found_here(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--json"]) == 0
    rows = {row["name"]: row for row in json.loads(capsys.readouterr().out)["rows"]}
    assert rows["PyTorch"]["state"] == rows["JAX"]["state"] == "ok"
    assert sys.executable in rows["JAX"]["found"]
    assert "flax" in rows["JAX"]["found"]


def test_an_interpreter_without_the_framework_is_named(tmp_path: Path) -> None:
    stub = tmp_path / "python"
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -S -I "$2"\n')  # -S: no site-packages, so no torch
    stub.chmod(0o755)
    row = _framework("PyTorch", str(stub), "torch", "", "pip install torch")
    assert row.state == "missing"
    assert "No module named 'torch'" in row.found
    assert str(stub) in row.found
    assert "--torch-python" in row.next


def test_no_such_interpreter() -> None:
    row = _framework("JAX", "/no/such/python", "jax", "", "pip install jax flax optax")
    assert row.state == "missing"
    assert "/no/such/python" in row.found


def test_a_missing_compiler_is_a_warning(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/no/such/directory")
    monkeypatch.delenv("CXX", raising=False)
    row = _compiler()
    assert row.state == "warning"
    assert "g++" in row.next


def test_what_an_extra_lacks_has_the_name_that_pip_knows(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("regauge.cli.doctor.importlib.util.find_spec", lambda module: None)
    rows = {row.name: row for row in _extras()}
    assert rows["digits"].found == "missing: scikit-learn"
    assert rows["digits"].next == "pip install 'regauge[vision]'"
    assert {row.state for row in rows.values()} == {"warning"}


@pytest.mark.parametrize("command", ["doctor", "cases"])
def test_no_cell_is_cut_in_chinese(
    command: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    main([command, "--lang", "zh"])
    shown = capsys.readouterr().out
    assert "│" in shown
    assert "…" not in shown


def test_a_full_disk_is_a_warning(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert _disk(tmp_path).state == "ok"
    monkeypatch.setattr("regauge.cli.doctor.LEAST_FREE", 2**80)
    assert _disk(tmp_path).state == "warning"
