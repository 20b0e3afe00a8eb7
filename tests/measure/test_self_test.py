"""The self-test: it confirms intervals that hold, and it can fail."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from played import CASE, PlayedWorkers

from regauge.errors import WorkerFailed
from regauge.measure.plan import make_plan
from regauge.measure.result import Measurement
from regauge.measure.self_test import evaluate, self_test
from regauge.measure.store import Store


def launches(times: np.ndarray) -> list[Measurement]:
    return [
        Measurement("r", "infer", "torch eager", "self-test", i, 0, "ok", samples=(float(t),) * 3)
        for i, t in enumerate(times)
    ]


def test_independent_launches_are_covered_as_promised() -> None:
    source = np.random.default_rng(2)
    result = evaluate(launches(np.exp(source.normal(0, 0.02, 400))), blocks=10, margin=0.03, seed=0)
    assert 0.92 <= result.coverage <= 0.98
    assert result.false_verdicts <= 0.01
    assert result.carry_over_low <= 1 <= result.carry_over_high
    assert result.passed
    assert (result.launches, result.blocks, result.trials) == (400, 10, 2000)


def test_resolution_grows_with_the_noise_of_the_launches() -> None:
    source = np.random.default_rng(2)
    noise = source.normal(0, 1, 200)
    small, large = (evaluate(launches(np.exp(s * noise)), blocks=10, margin=0.03, seed=0) for s in (0.01, 0.1))
    assert large.resolution > 5 * small.resolution


def test_a_second_launch_that_is_always_slower_is_found() -> None:
    source = np.random.default_rng(2)
    logs = source.normal(0, 0.01, 80) + np.tile([0.0, 0.2], 40)
    result = evaluate(launches(np.exp(logs)), blocks=10, margin=0.03, seed=0)
    assert result.carry_over_low > 1.15
    assert not result.passed
    assert "second launch" in result.note


def test_too_few_launches_are_refused() -> None:
    with pytest.raises(WorkerFailed, match="needs 12 launches") as caught:
        evaluate(launches(np.ones(11)), blocks=6, margin=0.03, seed=0)
    assert caught.value.received == "11 of 11"


def test_launches_are_stored_and_resumed(folder: Path, tmp_path: Path) -> None:
    plan = make_plan(CASE, folder, quick=True, threads=1)
    workers = PlayedWorkers()
    result = self_test(plan, CASE, folder, Store(tmp_path / "out"), task="infer", launches=20, launcher=workers)
    assert len(workers.jobs) == 20
    assert {(job["mode"], *job["tasks"], *job["purposes"]) for job in workers.jobs} == {("eager", "infer", "self-test")}
    assert (result.launches, result.task, result.variant) == (20, "infer", "torch eager")
    again = PlayedWorkers()
    assert result == self_test(plan, CASE, folder, Store(tmp_path / "out"), task="infer", launches=20, launcher=again)
    assert again.jobs == []
