"""The main job with JAX as the original, through the command line, as short as it can be."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from regauge.cli.main import main

CASE = f"{Path(__file__).with_name('jax_cases.py')}:small"


def test_a_model_of_jax_is_compared_with_its_conversion(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "out"
    short = ["--quick", "--blocks", "1", "--steps", "5", "--threads", "1"]
    short += ["--tasks", "train", "--variants", "torch-eager,jax-jit"]
    assert main(["compare", CASE, "--out", str(out), *short, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["ok"], found["failed_launches"]) == (True, 0)
    document = found["document"]
    assert document["check"]["verdict"] == "equal"
    measured = {(m["task"], m["variant"]) for m in document["measurements"] if m["status"] == "ok"}
    assert measured == {("train", "torch eager"), ("train", "jax jit")}
    assert {(e["variant"], e["reference"]) for e in document["effects"]} == {("torch eager", "jax jit")}
    page = (out / "report.html").read_text(encoding="utf-8")
    assert "torch eager against jax jit" in page
    assert "class Small(nn.Module)" in (out / "conversion" / "model.py").read_text(encoding="utf-8")
