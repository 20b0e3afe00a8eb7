"""From a person's optimizer to the verdict on the training trajectory, through the command line."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

CASES = Path(__file__).with_name("training_cases.py")


def regauge(*arguments, cwd):
    command = [sys.executable, "-m", "regauge.cli.main", *map(str, arguments)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, timeout=600)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["spec", "with_scheduler", "with_text"])
def test_twenty_steps_are_torchs(name, tmp_path):
    done = regauge("check", f"{CASES}:{name}", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    tiers = json.loads(done.stdout)["check"]["tiers"]
    trajectory = [tier for tier in tiers if "trajectory" in tier["name"]]
    assert trajectory
    assert all(tier["verdict"] == "equal" for tier in trajectory)
    assert any(tier["bound"] < 1e-12 for tier in trajectory)


def test_an_optimizer_without_a_counterpart(tmp_path):
    done = regauge("convert", f"{CASES}:refused", "--to", "jax", "--out", tmp_path / "out", cwd=tmp_path)
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert "O100 the optimizer cannot be written for JAX as it is" in text
    assert "the optimizer ASGD: optax has no transformation that makes its steps" in text
    assert "the scheduler ReduceLROnPlateau: it follows a measurement that a training step does not have" in text
    assert "regauge.optimizers.AdamW" in text
    assert not (tmp_path / "out").exists()
