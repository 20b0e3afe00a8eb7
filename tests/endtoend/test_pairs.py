"""Two models by hand through the command line: verdict, exit code, map, and what was found."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

import regauge
from regauge.cli.main import main

HERE = Path(__file__).parent / "pair"
ORIGINAL = f"{HERE / 'torch_side.py'}:case"
PORT = f"{HERE / 'jax_side.py'}:case"
WRONG = f"{HERE / 'jax_side.py'}:wrong"
Captured = pytest.CaptureFixture[str]


def tiers(data: dict[str, Any]) -> dict[tuple[str, str], str]:
    return {(tier["name"], tier["mode"]): tier["verdict"] for tier in data["check"]["tiers"]}


def test_a_port_with_weights_of_its_own(tmp_path: Path, capsys: Captured) -> None:
    saved = tmp_path / "map.json"
    arguments = ["check", ORIGINAL, PORT, "--quick", "--json", "--out", str(tmp_path / "out")]
    code = main([*arguments, "--save-map", str(saved), "--original-python", sys.executable])
    data = json.loads(capsys.readouterr().out)
    found = tiers(data)
    assert (code, data["ok"], data["check"]["verdict"]) == (1, False, "different")
    assert [name for name, verdict in found.items() if verdict == "different"] == [("weights", "")]
    assert found["tier 1 outputs", "train"] == found["tier 2 outputs", "eval"] == "equal"
    assert found["trajectory AdamW", "train"] == found["trajectory AdamW float32", "train"] == "equal"
    assert "V160" in {finding["code"] for finding in data["check"]["findings"]}
    assert data["check"]["sides"] == [ORIGINAL, PORT]
    entries = {entry["target"]: entry["from"][0] for entry in json.loads(saved.read_text(encoding="utf-8"))["entries"]}
    assert entries["a.kernel"] == {"source": "a.weight", "layout": [["permute", [1, 0]]]}
    assert (tmp_path / "out" / "check.json").is_file()


@pytest.mark.slow
def test_a_wrong_port_is_named_with_the_saved_map(tmp_path: Path, capsys: Captured) -> None:
    out = tmp_path / "out"
    (tmp_path / "names.json").write_text(json.dumps({"a.weight": "a.kernel", "b.weight": "b.kernel"}), encoding="utf-8")
    arguments = ["check", ORIGINAL, WRONG, "--quick", "--out", str(out), "--map", str(tmp_path / "names.json")]
    assert main([*arguments, "--fail-on", "different"]) == 1
    shown = capsys.readouterr().out
    assert f"{ORIGINAL} and {WRONG} are not the same function; the first difference is in norm" in shown
    check = regauge.check(ORIGINAL, WRONG, weight_map=out / "weight_map.json", quick=True, out=out)
    assert (check.equal, check.first_difference) == (False, "norm")


@pytest.mark.slow
def test_a_jax_original_and_a_torch_port(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", WRONG, ORIGINAL, "--quick", "--json", "--out", str(tmp_path)]) == 1
    data = json.loads(capsys.readouterr().out)
    assert data["check"]["verdict"] == "different"
    assert data["check"]["first_difference"] == "norm"


def test_a_case_of_neither_framework(tmp_path: Path, capsys: Captured) -> None:
    (tmp_path / "neither.py").write_text("import regauge\ncase = regauge.Case(abs, inputs=(1,))\n", encoding="utf-8")
    assert main(["check", f"{tmp_path / 'neither.py'}:case", PORT, "--out", str(tmp_path / "out")]) == 2
    shown = capsys.readouterr().err
    assert "holds a model of neither PyTorch nor JAX" in shown
    assert "next: " in shown


def test_a_file_that_is_not_there(tmp_path: Path, capsys: Captured) -> None:
    assert main(["check", "no_such.py:case", PORT, "--out", str(tmp_path / "out")]) == 2
    assert "no such file: no_such.py" in capsys.readouterr().err
