from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from sample import COMPILED, EAGER, JITTED, measurements, plan

from regauge.measure.result import Measurement
from regauge.report.figures import (
    break_evens,
    failures,
    launches,
    memory_uses,
    quantile,
    start_costs,
    step_times,
    tasks_of,
    variants_of,
)


def _timed(variant: str, block: int, *samples: float, status: str = "ok") -> Measurement:
    return Measurement("r", "train", variant, "time", block, 0, status, samples=samples)


def _cold(variant: str, seconds: float) -> Measurement:
    return Measurement("r", "train", variant, "compile-cold", 0, 0, "ok", phases={"import": 1.0, "compile": seconds})


def test_quantile_is_numpys() -> None:
    values = [0.3, 0.1, 0.9, 0.4, 0.7, 0.2]
    for share in (0.0, 0.05, 0.25, 0.5, 0.95, 1.0):
        assert quantile(values, share) == pytest.approx(float(np.quantile(values, share)), rel=1e-14)


def test_step_time_is_the_median_of_launch_medians() -> None:
    """A launch counts once, however many steps it has."""
    found = step_times([_timed("jax jit", 0, 1.0, 2.0, 9.0), _timed("jax jit", 1, *[4.0] * 50)], None)
    assert (found[0].median, found[0].lowest, found[0].highest, found[0].launches) == (3.0, 2.0, 4.0, 2)


def test_failed_launch_is_counted_and_gives_no_time() -> None:
    found = step_times([_timed("jax jit", 0, status="timed out"), _timed("jax jit", 1, 5.0)], None)
    assert (found[0].median, found[0].launches, found[0].failed) == (5.0, 1, 1)
    all_failed = step_times([_timed("jax jit", 0, status="failed")], None)
    assert (all_failed[0].median, all_failed[0].launches, all_failed[0].failed) == (None, 0, 1)
    spread = launches([_timed("jax jit", 0, status="failed"), _timed("jax jit", 1, 1.0, math.nan, -1.0)], "train")
    assert [launch.failed for launch in spread] == [True, False]
    assert spread[1].steps == 1


def test_break_even_solves_the_two_lines() -> None:
    """20 s more at the start, 0.5 s less each step: 40 steps."""
    rows = [_cold("torch eager", 1.0), _cold("jax jit", 21.0)]
    rows += [_timed("torch eager", 0, 2.0), _timed("jax jit", 0, 1.5)]
    (found,) = break_evens(rows, plan())
    assert (found.variant, found.reference, found.steps, found.never) == ("jax jit", "torch eager", 40, False)


@pytest.mark.parametrize(
    ("start", "step", "never", "told"),
    [(21.0, 2.5, True, True), (0.5, 1.5, False, True), (0.5, 2.5, False, False), (21.0, 2.0, True, True)],
)
def test_break_even_that_never_or_always_holds(start: float, step: float, never: bool, told: bool) -> None:
    rows = [_cold("torch eager", 1.0), _cold("jax jit", start)]
    found = break_evens([*rows, _timed("torch eager", 0, 2.0), _timed("jax jit", 0, step)], plan())
    assert len(found) == told
    for row in found:
        assert (row.steps, row.never) == (None, never)


def test_sample_gives_every_figure() -> None:
    rows = measurements()
    assert tasks_of(rows) == ("train", "infer")
    assert variants_of(rows, plan()) == (EAGER.name, COMPILED.name, JITTED.name)
    assert variants_of(rows, None) == ("jax jit", "torch compile", "torch eager")
    assert len(failures(rows)) == 1
    assert len(start_costs(rows, plan())) == 2 * 3 * 2
    cost = next(c for c in start_costs(rows, plan()) if (c.variant, c.purpose) == ("jax jit", "compile-cold"))
    assert cost.total == pytest.approx(1.1 + 0.4 + 6.2 + 0.1)
    use = next(u for u in memory_uses(rows, plan()) if u.variant == "torch compile")
    assert (use.host_peak, use.host_above_import, use.device_peak) == (910 * 2**20, 570 * 2**20, None)


def test_memory_of_a_device_is_kept_apart() -> None:
    row = next(m for m in measurements() if m.purpose == "memory")
    row = dataclasses.replace(row, memory={"device_peak": 5 * 2**30})
    (use,) = memory_uses([row], None)
    assert (use.host_peak, use.device_peak) == (None, 5 * 2**30)
