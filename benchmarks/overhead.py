"""What regauge itself costs around the launches: plan, statistics, store, report, against the time of the launches.

Called by `python -m benchmarks`: ``python -m benchmarks.overhead`` measures the built-in case `digits` with a quick
plan and prints a JSON line.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from regauge import pipeline
from regauge.measure.result import launched_seconds
from regauge.progress import Silence, Stage


class Clock(Silence):
    """Notes when measuring begins."""

    def __init__(self) -> None:
        self.began = time.perf_counter()

    def begin(self, stage: Stage) -> None:
        if stage == "measure":
            self.began = time.perf_counter()


def main(case: str = "digits") -> None:
    clock = Clock()
    with TemporaryDirectory() as directory:
        found = pipeline.compare(case, Path(directory), pipeline.Options(quick=True), clock)
        wall = time.perf_counter() - clock.began
        launched = launched_seconds(found.measurements)
    share = (wall - launched) / launched
    print(json.dumps({"benchmark": "own cost", "model": case, "wall_s": wall, "launched_s": launched, "share": share}))


if __name__ == "__main__":
    main(*sys.argv[1:])
