"""A loss that takes other outputs in evaluation than in training: what rests on it there is not checked, and said."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("loss_cases.py")


@pytest.mark.parametrize("name", ["both_modes", pytest.param("training_only", marks=pytest.mark.slow)])
def test_evaluation_is_judged_without_the_loss(name, tmp_path):
    command = [sys.executable, "-m", "regauge", "check", f"{CASES}:{name}", "--quick"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "not checked; the converted loss is that of the outputs in training" in " ".join(done.stdout.split())
    check = json.loads((tmp_path / "build" / "check.json").read_text(encoding="utf-8"))
    assert check["verdict"] == "equal"
    left_out = {(tier["name"], tier["mode"]) for tier in check["tiers"] if tier["verdict"] != "equal"}
    assert left_out == {("tier 1 loss", "eval"), ("tier 2 loss", "eval")}
    equal = {(tier["name"], tier["mode"]) for tier in check["tiers"]} - left_out
    assert {("tier 1 outputs", "eval"), ("tier 1 gradients", "eval"), ("tier 2 outputs", "eval")} <= equal
    assert {("tier 1 loss", "train"), ("tier 1 gradients", "train"), ("trajectory SGD", "train")} <= equal
