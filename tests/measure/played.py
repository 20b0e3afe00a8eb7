"""Workers that are played, for tests of the parent."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

CASE = "case.py:case"


class PlayedWorkers:
    """Answers jobs at once, as workers would; `spoil` may raise for a job."""

    def __init__(self, spoil: Callable[[str, dict[str, Any]], None] | None = None) -> None:
        self.jobs: list[dict[str, Any]] = []
        self.variables: list[dict[str, str]] = []
        self.cpus: list[int] = []
        self.spoil = spoil or (lambda framework, job: None)

    def __call__(self, framework: str, job: dict[str, Any], **options: Any) -> dict[str, Any]:
        if job["job"] == "gate":
            (Path(job["out"]) / "gate.json").write_text("{}", encoding="utf-8")
            return {}
        assert Path(job["gate"], "gate.json").is_file()
        self.jobs.append(job | {"framework": framework})
        self.variables.append(dict(options["environment"]))
        self.cpus.append(len(os.sched_getaffinity(0)))
        self.spoil(framework, job)
        seconds = 0.1 if framework == "jax" else 0.2 + 0.001 * len(self.jobs)
        task = {"samples": [seconds] * 5, "phases": {"import": 1.0}, "memory": {"host_peak": 7}, "gate": {"ratio": 0.5}}
        # launches of no length, of which the host may have taken any share
        surroundings = {"device": {"kind": "cpu"}, "steal": 0.0}
        return {"tasks": dict.fromkeys(job["tasks"], task), "environment": surroundings}
