"""Two steps in one process, timed in alternating blocks of random order."""

from __future__ import annotations

import math
import random
import statistics
import time
from collections.abc import Callable
from typing import Any

BLOCKS, SECONDS = 7, 0.4
Step = Callable[[], Any]


def seconds_per_step(step: Step, count: int, wait: Callable[[Any], Any]) -> float:
    """Args: wait: returns when its argument, the last step's result, is there."""
    started = time.perf_counter()
    for _ in range(count):
        result = step()
    wait(result)
    return (time.perf_counter() - started) / count


def compare(emitted: Step, handwritten: Step, order: random.Random, wait: Callable[[Any], Any]) -> dict[str, float]:
    """The median log ratio of emitted over handwritten, and the median milliseconds of the latter."""
    steps = {"emitted": emitted, "handwritten": handwritten}
    for name in sorted(steps, key=lambda _: order.random()):
        seconds_per_step(steps[name], 3, wait)
    count = max(1, round(SECONDS / seconds_per_step(handwritten, 3, wait)))
    differences, times = [], []
    for _ in range(BLOCKS):
        names = sorted(steps, key=lambda _: order.random())
        block = {name: seconds_per_step(steps[name], count, wait) for name in names}
        differences.append(math.log(block["emitted"] / block["handwritten"]))
        times.append(block["handwritten"])
    return {"difference": statistics.median(differences), "handwritten_ms": 1e3 * statistics.median(times)}
