"""Bad input gets a clear answer: each message says what is wrong, where, and what to do. Real workers, no stand-ins."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import psutil
import pytest

from regauge.cli.main import main

HERE = Path(__file__).parent
PACKAGE = HERE.parents[1] / "src"
Captured = pytest.CaptureFixture[str]
CASES = HERE / "bad_cases.py"
SOURCE = CASES.read_text(encoding="utf-8").splitlines()


def line_of(text: str) -> str:
    """``bad_cases.py:N`` of the one line of the bad cases that holds `text`."""
    numbers = [number for number, line in enumerate(SOURCE, 1) if text in line]
    assert len(numbers) == 1, (text, numbers)
    return f"bad_cases.py:{numbers[0]}"


@dataclass(frozen=True)
class Bad:
    """A case that must be refused: with which code, and what the message must hold."""

    reference: str
    code: str
    exit_code: int
    says: tuple[str, ...]


def bad(name: str, code: str, exit_code: int, *says: str) -> Bad:
    return Bad(f"{CASES}:{name}", code, exit_code, says)


class Usage(NamedTuple):
    """What shutil.disk_usage returns, in bytes."""

    total: int
    used: int
    free: int


LOADING = {
    "no such file": Bad("no_such.py:case", "B100", 2, ("no such file: no_such.py",)),
    "no such name": bad("nothing", "B100", 2, "has no name 'nothing'", "it defines: "),
    "no such package": Bad("no_such_package.models:case", "B100", 2, ("no module named 'no_such_package'", "install")),
    "no name at all": Bad(
        str(CASES), "B100", 2, ("file.py:name or package.module:name", "functions of the file: ", "hanging")
    ),
    "neither file nor case": Bad("digit", "B100", 2, ("file.py:name or package.module:name", "digits")),
    "a file that fails": Bad(
        f"{HERE / 'unfinished.py'}:case", "B100", 2, ("NameError", "unfinished.py:5", "undefined_name  # noqa")
    ),
    "a function that fails": bad("raising", "B100", 2, "FileNotFoundError: weights.bin", line_of("raise FileNot")),
    "a number": bad("NUMBER", "B100", 2, "not a regauge.Case", "received: int"),
    "a bare model": bad("a_module", "B100", 2, "not a regauge.Case", "Linear", "regauge.Case(model"),
}
MODEL = {
    "inputs of another shape": bad("wrong_width", "B", 2, "mat1 and mat2 shapes cannot be multiplied", "5x3"),
    "inputs that a line of the model rejects": bad(
        "wrong_width_inside", "B110", 2, "mat1 and mat2 shapes", line_of("return self.fc(y)"), "return self.fc(y)"
    ),
    "inputs of another name": bad("wrong_name", "B", 2, "unexpected keyword argument 'picture'"),
    "operators without a rule": bad(
        "unsupported",
        "R201",
        1,
        "3 of ",
        "aten.poisson.default",
        "2x",
        "regauge_test.fold.default",
        line_of("y = torch.poisson(x.exp())"),
        line_of("z = fold(x)"),
        "regauge ops aten.poisson.default",
        '@regauge.rule("regauge_test::fold")',
    ),
    "control flow on data": bad("branching", "C", 2, line_of("if x.sum() > 0"), "torch.where"),
    "NaN in weights": bad("nan_weight", "B", 2, "weight", "NaN"),
    "NaN in outputs": bad("nan_output", "B", 2, "output", "NaN"),
    "an optimizer without a counterpart": bad("lbfgs", "O100", 1, "LBFGS"),
    "a loss without a rule": bad(
        "untranslatable_loss",
        "R201",
        1,
        "regauge_test.fold.default",
        line_of("return F.cross_entropy(fold(outputs), targets)"),
    ),
    "targets that the loss rejects": bad(
        "unknown_class", "B110", 2, "the loss cross_entropy rejects", "Target 7 is out of bounds", "loss(model(*inputs)"
    ),
    "a loss that is no scalar": bad("vector_loss", "B", 2, "scalar", "float32[", ".mean()"),
}
WORKERS = {
    "a crash": bad("crashing", "P100", 1, "crashed (signal 11)", "about to crash"),
    "killed for memory": bad("killed", "P100", 1, "killed (signal 9)", "memory", "allocating 4 TB", "smaller batch"),
    "leaving without a word": bad("leaving", "P100", 1, "exit code 3", "goodbye"),
}


@pytest.mark.parametrize("case", [pytest.param(case, id=name) for name, case in (LOADING | MODEL | WORKERS).items()])
def test_a_bad_case_is_explained(case: Bad, tmp_path: Path, capsys: Captured) -> None:
    shown = refused(["check", case.reference, "--out", str(tmp_path / "out")], case.exit_code, capsys)
    assert re.search(rf"^{case.code}", shown, re.MULTILINE), shown
    for part in case.says:
        assert part in shown


def test_a_hanging_worker_is_stopped(tmp_path: Path, capsys: Captured) -> None:
    started = time.monotonic()
    shown = refused(["check", f"{CASES}:hanging", "--timeout", "20", "--out", str(tmp_path)], 1, capsys)
    assert time.monotonic() - started < 90
    assert "P120 the torch worker did not finish within 20 s" in shown
    assert "waiting for a lock" in shown
    assert "--timeout" in shown


def _with_interrupts() -> None:
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize("as_json", [False, True], ids=["text", "json"])
def test_ctrl_c_says_how_to_go_on(as_json: bool, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "regauge.cli.main", "check", f"{CASES}:hanging", "--out", str(tmp_path)]
    command += ["--json"] if as_json else []
    # a runner in the background may have SIGINT ignored, which children inherit
    process = subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, preexec_fn=_with_interrupts
    )
    log = tmp_path / "work" / "capture" / "log.txt"
    deadline = time.monotonic() + 120
    while not (log.is_file() and "waiting for a lock" in log.read_text()) and time.monotonic() < deadline:
        time.sleep(0.2)
    worker = psutil.Process(process.pid).children()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    if as_json:
        assert "the same command goes on from there" in json.loads(out)["error"]["next"]
    else:
        assert out == ""
        assert "the same command goes on from there" in err
    assert len(worker) == 1
    assert not worker[0].is_running()


def test_a_conversion_survives_a_later_mistake(tmp_path: Path, capsys: Captured) -> None:
    """What was converted before stays, whole, when the next version of the case is refused."""
    folder = tmp_path / "converted"
    assert main(["convert", f"{CASES}:linear", "--out", str(folder), "--json"]) == 0
    capsys.readouterr()
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert "model.py" in before
    refused(["convert", f"{CASES}:unsupported", "--out", str(folder)], 1, capsys)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


def refused(arguments: Sequence[str], exit_code: int, capsys: Captured) -> str:
    """What a command that must fail prints on stderr; it prints nothing on stdout, and no traceback of regauge."""
    assert main([*arguments, "--lang", "en"]) == exit_code
    captured = capsys.readouterr()
    assert captured.out == ""
    return captured.err


def test_a_file_where_the_output_should_go(tmp_path: Path, capsys: Captured) -> None:
    taken = tmp_path / "taken"
    taken.write_text("mine")
    shown = refused(["compare", f"{CASES}:linear", "--out", str(taken)], 2, capsys)
    assert "S200 the output directory cannot be written" in shown
    assert str(taken) in shown
    assert "--out" in shown
    assert taken.read_text() == "mine"


def test_a_read_only_place(capsys: Captured) -> None:
    shown = refused(["compare", f"{CASES}:linear", "--out", "/proc/regauge"], 2, capsys)
    assert "S200 the output directory cannot be written" in shown
    assert "/proc/regauge" in shown


def test_a_full_disk_before_work_starts(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**9, 10**9, 0))
    shown = refused(["compare", f"{CASES}:linear", "--out", str(tmp_path)], 2, capsys)
    assert "S210 the disk of the output directory is full" in shown
    assert not (tmp_path / "work").exists()


def test_a_disk_that_fills_up_under_a_worker(tmp_path: Path, capsys: Captured, monkeypatch: pytest.MonkeyPatch) -> None:
    free = iter([10**9])  # enough when the run starts, nothing afterwards
    monkeypatch.setattr(shutil, "disk_usage", lambda _path: Usage(10**9, 0, next(free, 0)))
    shown = refused(["check", f"{CASES}:full_disk", "--out", str(tmp_path)], 2, capsys)
    assert "S210 the disk of the output directory is full" in shown
    assert "No space left on device" in shown  # the worker's own words


@pytest.mark.parametrize(
    ("file", "content"),
    [("run.json", '{"schema": 99}'), ("measurements.jsonl", '{"schema": 99, "measurement": {}}\n')],
)
def test_results_of_another_version(file: str, content: str, tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / file).write_text(content)
    shown = refused(["compare", f"{CASES}:linear", "--out", str(tmp_path)], 2, capsys)
    assert "another version of regauge" in shown
    assert "99" in shown
    assert file in shown
    assert (tmp_path / file).read_text() == content


def test_a_report_of_another_version(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "document.json").write_text(json.dumps({"schema_version": 99}))
    shown = refused(["report", str(tmp_path)], 2, capsys)
    assert "another version of regauge" in shown
    assert "schema 99" in shown


def test_a_report_of_nothing(tmp_path: Path, capsys: Captured) -> None:
    shown = refused(["report", str(tmp_path)], 2, capsys)
    assert "no stored report here" in shown
    assert "regauge compare" in shown


_HIDING = """
import importlib.abc, sys

class Hidden(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {hidden!r}:
            raise ModuleNotFoundError(f"No module named {{name!r}}", name=name)

sys.meta_path.insert(0, Hidden())
"""


def python_without(directory: Path, *hidden: str) -> str:
    """An interpreter that has everything that this one has, but for these packages."""
    (directory / "sitecustomize.py").write_text(_HIDING.format(hidden=hidden))
    stub = directory / "python-without"
    stub.write_text(f'#!/bin/sh\nPYTHONPATH={directory}:{PACKAGE} exec {sys.executable} "$@"\n')
    stub.chmod(0o755)
    return str(stub)


def test_no_torch_in_the_interpreter(tmp_path: Path, capsys: Captured) -> None:
    python = python_without(tmp_path, "torch")
    arguments = ["check", f"{CASES}:linear", "--torch-python", python, "--out", str(tmp_path / "out")]
    shown = refused(arguments, 2, capsys)
    assert "B150 torch is not installed" in shown
    assert "--torch-python" in shown


@pytest.mark.parametrize("hidden", ["jax", "flax"])
def test_no_jax_in_the_interpreter(hidden: str, tmp_path: Path, capsys: Captured) -> None:
    python = python_without(tmp_path, hidden)
    arguments = ["check", f"{CASES}:linear", "--jax-python", python, "--out", str(tmp_path / "out")]
    shown = refused(arguments, 2, capsys)
    assert f"B150 {hidden} is not installed" in shown
    assert "--jax-python" in shown


def test_no_regauge_in_the_interpreter(tmp_path: Path, capsys: Captured) -> None:
    stub = tmp_path / "foreign-python"
    stub.write_text(f'#!/bin/sh\nexec {sys.executable} -E -S "$@"\n')
    stub.chmod(0o755)
    arguments = ["check", f"{CASES}:linear", "--torch-python", str(stub), "--out", str(tmp_path / "out")]
    shown = refused(arguments, 2, capsys)
    assert "B150 regauge is not installed in the Python interpreter of the torch side" in shown
    assert f"{stub} -m pip install regauge" in shown


def test_no_such_interpreter(tmp_path: Path, capsys: Captured) -> None:
    arguments = ["check", f"{CASES}:linear", "--torch-python", "/no/such/python", "--out", str(tmp_path)]
    shown = refused(arguments, 2, capsys)
    assert "B150 the Python interpreter of the torch side cannot be started" in shown
    assert "/no/such/python" in shown
