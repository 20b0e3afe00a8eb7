"""Stored comparisons like those of a real run, with step times that a test chooses."""

from __future__ import annotations

import random
from pathlib import Path

from regauge.measure.result import Measurement, MeasurementPlan, Variant
from regauge.measure.statistics import compute_effects
from regauge.measure.store import Store
from regauge.report.document import FILE_NAME, build_document

EAGER, JITTED = Variant("torch", "eager"), Variant("jax", "jit")
BLOCKS = 8


def store_comparison(
    place: Path,
    *,
    case: str = "net.py:case",
    ratio: float = 0.5,
    tasks: tuple[str, ...] = ("train",),
    device: str = "cpu",
    name: str = "cpu",
    precision: str = "strict32",
    run: str = "5f2c",
) -> Path:
    """Write what ``regauge compare`` leaves behind: raw launches and the document; JAX takes `ratio` times as long."""
    plan = MeasurementPlan(case, tasks, (EAGER, JITTED), EAGER, BLOCKS, 20, 2, precision, 7)
    random_ = random.Random(run)
    store = Store(place)
    for task in tasks:
        for block in range(BLOCKS):
            drift = random_.gauss(1.0, 0.02)
            for position, variant in enumerate((EAGER, JITTED)):
                step = (ratio if variant is JITTED else 1.0) * 0.01 * drift * random_.gauss(1.0, 0.005)
                store.append(
                    Measurement(
                        run,
                        task,
                        variant.name,
                        "time",
                        block,
                        position,
                        "ok",
                        samples=(step,) * 20,
                        environment={"device": {"kind": device, "name": name}},
                        gate={"passed": True},
                    )
                )
    measured = store.load(run)
    document = build_document(
        case=case, plan=plan, measurements=measured, effects=compute_effects(plan, measured), created="2026-11-01T00:00"
    )
    return document.write(place / FILE_NAME)
