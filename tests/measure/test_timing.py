"""Timing inside a worker, with a stepper that is played: first calls, gate, warm-up, samples, memory."""

from __future__ import annotations

import gc
import json
import math
import mmap
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file

from regauge.errors import WorkerFailed
from regauge.run import process_memory
from regauge.run.gate import pass_gate, relative_distance
from regauge.run.timing import Settings, Stepper, measure_task, steadiness, tick_seconds

LOSS = 2.5


class Played(Stepper):
    """Steps that take `seconds`; the first ones more."""

    def __init__(self, seconds: float = 0.002, first: tuple[float, ...] = (), loss: float = LOSS) -> None:
        self.seconds = seconds
        self.first = list(first)
        self.loss = loss
        self.calls = 0
        self.collecting: list[bool] = []
        self.compiled = 0

    def step(self) -> float:
        self.calls += 1
        self.collecting.append(gc.isenabled())
        time.sleep(self.first.pop(0) if self.first else self.seconds)
        return self.loss

    def wait(self, result: Any) -> None:
        pass

    def observe(self, result: float) -> dict[str, Any]:
        return {"loss": result}

    def is_finite(self, result: float) -> bool:
        return math.isfinite(result)

    def compilations(self) -> int:
        return self.compiled


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    gate = {"train": {"loss": {"value": LOSS, "limit": 1e-3}, "update": {"value": 1.0, "limit": 0.1}, "note": ""}}
    (tmp_path / "gate.json").write_text(json.dumps(gate), encoding="utf-8")
    return Settings(purposes=("time",), steps=8, step_seconds=10.0, gate=tmp_path, compiled=False)


def test_samples_are_seconds_of_one_step(settings: Settings) -> None:
    stepper = Played(0.002)
    found = measure_task("train", stepper, settings, None)
    assert len(found["samples"]) == 8
    assert all(0.002 <= sample < 0.02 for sample in found["samples"])
    assert found["environment"]["steps_per_sample"] > 1
    assert found["memory"] == {}
    assert found["gate"]["passed"] is True


def test_the_collector_is_off_while_samples_are_taken_and_on_again_after(settings: Settings) -> None:
    stepper = Played(0.006)
    measure_task("train", stepper, settings, None)
    assert gc.isenabled()
    assert stepper.collecting.count(False) == settings.steps


def test_first_calls_are_phases_and_never_samples(settings: Settings) -> None:
    slow = (0.10, 0.05)
    eager = measure_task("train", Played(0.002, slow), settings, None)
    assert eager["phases"]["first_step"] == eager["phases"]["first_call"] >= 0.10
    assert "compile" not in eager["phases"]
    assert max(eager["samples"]) < 0.05
    compiled = measure_task("train", Played(0.002, slow), replace(settings, compiled=True), None)["phases"]
    assert compiled["compile"] == pytest.approx(0.146, abs=0.02)
    assert compiled["first_step"] < 0.02


def test_a_gate_that_is_not_passed_blocks_the_clock(settings: Settings) -> None:
    stepper = Played(loss=LOSS + 0.01)
    with pytest.raises(WorkerFailed, match="nothing was timed") as caught:
        measure_task("train", stepper, settings, None)
    assert stepper.calls == 1
    assert caught.value.code == "M120"
    assert "loss: 0.01 from float64" in caught.value.received


def test_a_nan_does_not_pass_the_gate(settings: Settings) -> None:
    with pytest.raises(WorkerFailed, match="nothing was timed"):
        measure_task("train", Played(loss=math.nan), settings, None)


def test_a_loss_that_diverges_while_timed_is_refused(settings: Settings) -> None:
    class Diverging(Played):
        def step(self) -> float:
            super().step()
            return LOSS if self.calls < 10 else math.inf

    with pytest.raises(WorkerFailed, match="NaN or infinite"):
        measure_task("train", Diverging(), settings, None)


def test_warm_up_goes_on_while_programs_are_compiled(settings: Settings) -> None:
    class Recompiling(Played):
        def compilations(self) -> int:
            return min(self.calls, 30)

    stepper = Recompiling(0.001)
    found = measure_task("train", stepper, settings, None)
    assert found["environment"]["compiled_while_timed"] == 0
    assert stepper.calls > 30


def test_warm_up_of_what_compiles_at_every_step_ends(settings: Settings) -> None:
    class AlwaysCompiling(Played):
        def compilations(self) -> int:
            return self.calls

    found = measure_task("train", AlwaysCompiling(0.02), replace(settings, step_seconds=0.3), None)
    assert found["phases"]["warmup"] < 1.0
    assert found["environment"]["compiled_while_timed"] >= len(found["samples"])


def test_slow_steps_stop_at_the_time_that_a_launch_has(settings: Settings) -> None:
    found = measure_task("train", Played(0.02), replace(settings, steps=1000, step_seconds=0.2), None)
    assert 5 <= len(found["samples"]) <= 15


def test_a_memory_launch_takes_no_samples(settings: Settings) -> None:
    class Allocating(Played):
        def step(self) -> float:
            with mmap.mmap(-1, 32_000_000) as memory:  # an array may lie where the process held memory before
                memory.write(b"1" * 32_000_000)
            return LOSS

    above = process_memory.resident_bytes()
    assert above is not None
    found = measure_task("train", Allocating(), replace(settings, purposes=("compile-warm", "memory")), above)
    assert found["samples"] == []
    assert found["memory"]["host_peak"] >= above + 0.8 * 32_000_000
    assert found["memory"]["host_above_import"] == found["memory"]["host_peak"] - above


def test_the_peak_of_memory_can_be_reset() -> None:
    # in a process of its own: what other tests left behind in this one is freed and taken again meanwhile
    code = (
        "import mmap\n"
        "from regauge.run import process_memory\n"
        "with mmap.mmap(-1, 96_000_000) as memory:\n"
        "    memory.write(b'1' * 96_000_000)\n"
        "before = process_memory.peak_bytes()\n"
        "print(before, process_memory.reset_peak(), process_memory.peak_bytes())\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    before, reset, after = done.stdout.split()
    assert reset == "True"
    assert int(after) < int(before) - 50_000_000


def test_distance_is_norm_wise_over_all_outputs() -> None:
    reference = {"a": np.array([3.0, 0.0]), "b": np.array([4.0])}
    assert relative_distance({"a": np.array([3.0, 0.0]), "b": np.array([4.0])}, reference) == 0
    moved = {"a": np.array([3.0, 1e-3], np.float32), "b": np.array([4.0], np.float32)}
    assert relative_distance(moved, reference) == pytest.approx(2e-4, rel=1e-6)


@pytest.mark.parametrize(
    "values",
    [{}, {"a": np.zeros(3)}, {"a": np.array([1.0, np.nan])}, {"a": np.array([np.inf, 1.0])}],
)
def test_what_cannot_be_compared_is_infinitely_far(values: dict[str, np.ndarray]) -> None:
    assert relative_distance(values, {"a": np.ones(2)}) == math.inf


def test_infinite_places_of_a_mask_must_agree() -> None:
    mask = {"a": np.array([0.5, -np.inf])}
    assert relative_distance(mask, mask) == 0
    assert relative_distance({"a": np.array([0.5, -1e9])}, mask) == math.inf


def test_outputs_pass_within_the_limit_only(tmp_path: Path) -> None:
    (tmp_path / "gate.json").write_text(json.dumps({"infer": {"outputs": {"limit": 1e-6}, "note": ""}}))
    save_file({"outputs": np.array([1.0, 2.0])}, tmp_path / "outputs.safetensors")
    passed = pass_gate(tmp_path, "infer", {"outputs": {"outputs": np.array([1.0, 2.0 + 1e-7])}})
    assert passed["ratio"] == pytest.approx(1e-7 / math.sqrt(5) / 1e-6, rel=1e-3)
    with pytest.raises(WorkerFailed, match="nothing was timed"):
        pass_gate(tmp_path, "infer", {"outputs": {"outputs": np.array([1.0, 2.0 + 1e-5])}})


def test_steadiness() -> None:
    assert steadiness([1.0] * 10) == "flat"
    assert steadiness([2.0] * 10 + [1.0] * 10) == "warm-up"
    assert steadiness([1.0] * 10 + [1.1] * 10) == "slowdown"
    noisy = (1 + 0.3 * np.random.default_rng(0).random(20)).tolist()
    assert steadiness(noisy) == "flat"


def test_the_clock_has_a_tick() -> None:
    assert 0 < tick_seconds() < 1e-3
