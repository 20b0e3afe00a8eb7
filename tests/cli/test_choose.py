"""The command ``regauge choose``: files, JSON, errors, languages, questions."""

from __future__ import annotations

import json
import os
import pty
import select
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

import regauge
from regauge.cli import choose as command
from regauge.cli.main import main
from regauge.decide.needs import read_needs
from regauge.decide.questions import answers_of, ask_needs, questions
from regauge.errors import BadNeeds

KEYS = {"choice", "ranking", "eliminated", "reasons", "against", "flips_if", "unknowns", "stack", "evidence"}
VISION = "kind: vision\nteam: {experience: {pytorch: 4}}\nhardware: {train: [nvidia-gpu], os: linux}\n"


@pytest.fixture
def needs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "NEEDS.yaml"
    path.write_text(VISION, encoding="utf-8")
    return path


def run_json(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, Any]]:
    code = main(["choose", *arguments, "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_json_has_the_promised_keys_and_equals_the_document(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, found = run_json(capsys, str(needs), "--out", "build")
    assert code == 0
    assert found.pop("ok") is True
    assert set(found) == KEYS
    assert found["choice"] == "pytorch"
    assert {"candidate", "acceptability", "score"} <= set(found["ranking"][0])
    assert json.loads(Path("build/choice.json").read_text(encoding="utf-8")) == found
    assert found["stack"]["framework"] == "pytorch"
    assert Path("build/choice.html").is_file()


def test_eliminated_rows_name_need_fact_and_source(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.write_text("hardware: {train: [nvidia-gpu], os: windows}", encoding="utf-8")
    _code, found = run_json(capsys, str(needs))
    row = next(row for row in found["eliminated"] if row["candidate"] == "jax")
    assert row["need"] == "hardware.train: nvidia-gpu"
    assert row["fact"] == "jx-nvidia-windows"
    assert row["source"]


def test_the_terminal_shows_the_answer_and_what_it_rests_on(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(needs)]) == 0
    shown = capsys.readouterr()
    assert shown.out.startswith("PyTorch: ranks first in ")
    assert "[pt-nvidia-linux]" in shown.out
    assert "regauge compare CASE --tasks train" in shown.out
    assert "choice.html" in shown.err


def test_no_evidence_is_an_answer_with_exit_code_one(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.write_text("name: idea", encoding="utf-8")
    code, found = run_json(capsys, str(needs))
    assert code == 1
    assert found["ok"] is False
    assert found["choice"] == "not_enough_evidence"
    assert found["stack"] is None
    assert not Path("build/environment").exists()


def test_chinese(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", str(needs), "--lang", "zh"]) == 0
    shown = capsys.readouterr().out
    assert "PyTorch" in shown
    assert "排名第一" in shown
    assert "is ahead of" not in shown


@pytest.mark.parametrize(
    "text", ["kind: vison", "a: [", "\0", "must: [float64_available_by_default]\ncandidates: [jax]", "x: &a [*a]"]
)
def test_bad_needs_leave_nothing_behind(text: str, needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    needs.write_text(text, encoding="utf-8")
    before = set(needs.parent.rglob("*"))
    code, found = run_json(capsys, str(needs))
    assert code == 2
    assert found["error"]["error"] == "BadNeeds"
    assert set(needs.parent.rglob("*")) == before


def test_missing_needs_and_results(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", "nowhere.yaml"]) == 2
    assert "no such file: nowhere.yaml" in capsys.readouterr().err
    assert main(["choose", str(needs), "--results", "nowhere"]) == 2
    assert "no such directory: nowhere" in capsys.readouterr().err


def test_an_output_place_that_is_a_file(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    Path("taken").write_text("", encoding="utf-8")
    assert main(["choose", str(needs), "--out", "taken"]) == 2
    assert "cannot be written" in capsys.readouterr().err


def test_template_is_written_once_and_can_be_used(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["choose", "--template"]) == 2  # NEEDS.yaml is there
    assert "is there already" in capsys.readouterr().err
    assert main(["choose", "new.yaml", "--template"]) == 0
    assert read_needs(Path("new.yaml")).kind == "vision"
    assert main(["choose", "new.yaml"]) == 0


def test_without_a_terminal_nothing_is_asked(needs: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "regauge.cli.main", "choose"], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    assert done.returncode == 2
    assert "there is no terminal to ask in" in done.stderr
    assert "regauge choose --template" in done.stderr


def test_the_same_seed_the_same_document(needs: Path, capsys: pytest.CaptureFixture[str]) -> None:
    one = run_json(capsys, str(needs), "--seed", "5")
    assert run_json(capsys, str(needs), "--seed", "5") == one


def test_every_question_says_why_and_can_be_skipped() -> None:
    assert all(question.why and question.text for question in questions())
    assert ask_needs(lambda question: None) == regauge.choose({}).needs


def test_answers_become_needs() -> None:
    asker = answers_of(
        [
            ("name", "detector"),
            ("kind", "vision"),
            ("hardware.train", ["nvidia-gpu"]),
            ("hardware.devices", "8"),
            ("hardware.os", "linux"),
            ("team.experience.pytorch", "4 knows it well"),
            ("timeline_weeks", "2.5"),
            ("must", ["onnx_export"]),
            ("weights.performance", "3"),
        ]
    )
    needs = ask_needs(asker)
    assert (needs.name, needs.kind, needs.hardware.devices) == ("detector", "vision", 8)
    assert needs.team.experience == {"pytorch": 4}
    assert needs.timeline_weeks == 2.5
    assert needs.weights.stated() == {"performance": 3.0}


def test_contradictory_answers_are_refused() -> None:
    with pytest.raises(BadNeeds, match="macOS does not drive this device"):
        ask_needs(answers_of([("hardware.train", ["nvidia-gpu"]), ("hardware.os", "macos")]))


@pytest.mark.slow
def test_asking_in_a_real_terminal(tmp_path: Path) -> None:
    """Enter through every question: all are skipped, the answer comes, and the answers are saved."""
    leader, process = in_terminal(tmp_path)
    shown = answer(leader, process, b"\r")
    assert process.wait(timeout=60) == 1, shown
    assert "Not enough evidence" in shown
    assert read_needs(tmp_path / "NEEDS.yaml").kind == "other"


def test_giving_up_while_asked(tmp_path: Path) -> None:
    leader, process = in_terminal(tmp_path)
    shown = answer(leader, process, b"\x03")
    assert process.wait(timeout=60) == 130, shown
    assert "Traceback" not in shown
    assert list(tmp_path.iterdir()) == []


def in_terminal(place: Path) -> tuple[int, subprocess.Popen[bytes]]:
    leader, follower = pty.openpty()
    process = subprocess.Popen(
        [sys.executable, "-m", "regauge.cli.main", "choose"],
        stdin=follower,
        stdout=follower,
        stderr=follower,
        cwd=place,
        env={**os.environ, "TERM": "xterm", "REGAUGE_LANG": "en"},
        close_fds=True,
    )
    os.close(follower)
    return leader, process


def answer(leader: int, process: subprocess.Popen[bytes], key: bytes) -> str:
    """Press a key whenever the program waits; answer what it asks the terminal about its cursor."""
    shown, deadline = "", time.monotonic() + 120
    while time.monotonic() < deadline:
        ready, _, _ = select.select([leader], [], [], 0.4)
        if ready:
            try:
                piece = os.read(leader, 65536)
            except OSError:  # the program has gone
                return shown
            shown += piece.decode(errors="replace")
            if b"\x1b[6n" in piece:
                os.write(leader, b"\x1b[1;1R")
        elif process.poll() is not None:
            return shown
        else:
            os.write(leader, key)
    process.kill()
    return shown


def test_the_python_interface(needs: Path) -> None:
    assert regauge.choose(needs).choice == "pytorch"
    assert regauge.choose({"kind": "vision"}).choice == "not_enough_evidence"
    with pytest.raises(BadNeeds):
        regauge.choose({"kind": "vison"})


def test_names_of_files_are_documented() -> None:
    assert (command.DOCUMENT, command.PAGE, command.TEMPLATE) == ("choice.json", "choice.html", "NEEDS.yaml")
