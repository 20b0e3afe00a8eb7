"""From a case with an optimizer of optax to the verdict on its training, and to the verdict on a wrong port of it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from regauge.verify import Check, CheckOptions, check_folder

CASES = Path(__file__).with_name("training_cases.py")


def convert(name: str, out: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "regauge.cli.main", "convert", f"{CASES}:{name}", "--out", str(out)]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run(command, cwd=out.parent, env=environment, capture_output=True, text=True, timeout=600)


def checked(name: str, folder: Path, work: Path) -> Check:
    return check_folder(f"{CASES}:{name}", folder, work, options=CheckOptions(quick=True, locate=False))


MISTAKES = {
    "chained": ('"weight_decay": 0.0', '"weight_decay": 0.1'),
    "accumulated": ("number % 3", "number % 4"),
    "divided": (", nesterov=True", ""),
    "stacked": ('"weight_decay": 0.0', '"weight_decay": 0.1'),
}


@pytest.mark.slow
@pytest.mark.parametrize("name", MISTAKES)
def test_twenty_steps_are_those_of_optax_and_a_mistake_in_them_is_seen(name: str, tmp_path: Path) -> None:
    done = convert(name, tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    check = checked(name, tmp_path / "out", tmp_path / "work")
    assert check.verdict == "equal"
    assert all(tier.verdict == "equal" for tier in check.tiers), [(t.name, t.verdict, t.why) for t in check.tiers]
    assert {"trajectory", "float32"} <= {word for tier in check.tiers for word in tier.name.split()}
    train = tmp_path / "out" / "train.py"
    old, new = MISTAKES[name]
    assert old in train.read_text()
    train.write_text(train.read_text().replace(old, new))
    mutant = checked(name, tmp_path / "out", tmp_path / "mutant")
    different = {tier.name for tier in mutant.tiers if tier.verdict == "different"}
    assert mutant.verdict == "different"
    assert any(tier.startswith("trajectory") for tier in different)
    assert all(tier.startswith("trajectory") for tier in different)


def test_layers_stay_stacked_for_an_optimizer_that_takes_norms(tmp_path: Path) -> None:
    done = convert("whole", tmp_path / "out")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "C176" in done.stdout
    assert "ops.scan(" in (tmp_path / "out" / "model.py").read_text()


def test_dropout_in_layers_that_have_to_stay_stacked(tmp_path: Path) -> None:
    done = convert("dropping", tmp_path / "out")
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert "O100 lamb of layers that are stacked, with dropout in them" in text
    assert "call the layers in a loop of Python" in text


def test_an_optimizer_without_a_counterpart(tmp_path: Path) -> None:
    done = convert("refused", tmp_path / "out")
    assert done.returncode == 1
    text = " ".join(done.stderr.split())
    assert "O100 the optimizer cannot be written for torch as it is" in text
    assert "the transformation centralize" in text
    assert "the transformation scale_by_factored_rms" in text
    assert not (tmp_path / "out").exists()
