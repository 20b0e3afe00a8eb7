"""One launch: its job, its surroundings, and the measurements that come of it; and the gate's reference before all."""

from __future__ import annotations

import contextlib
import datetime
import random
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

from regauge.errors import BadCase, BadResult, OutputError, RegaugeError
from regauge.measure import environment
from regauge.measure.plan import Launch
from regauge.measure.result import Measurement, MeasurementPlan, Status
from regauge.run.launch import Framework, Interpreters

Launcher = Callable[..., dict[str, Any]]

# Whatever a person must mend in the case or the conversion ends the run; all else is a result of one launch.
FATAL = (BadCase, BadResult, OutputError)
STATUS_OF_CODE: dict[str, Status] = {"P120": "timed out", "M130": "skipped", "B150": "skipped"}


@dataclass(frozen=True)
class Run:
    """What is the same for all launches of a run.

    Attributes:
        case: the reference of the original.
        folder: the saved conversion.
        original: the framework of the case.
        work: directory of the run's gate, caches and jobs.
        key: of `plan.run_key`.
    """

    plan: MeasurementPlan
    case: str
    folder: Path
    work: Path
    key: str
    interpreters: Interpreters | None
    launcher: Launcher
    original: Framework = "torch"

    @property
    def gate(self) -> Path:
        return self.work / "gate"

    def caches(self, item: Launch) -> Path:
        """Of the variant; in a full plan of the task too, whose cold start must not empty another task's caches."""
        own = self.work / "caches" / item.variant.name.replace(" ", "-")
        return own if self.plan.quick else own / "-".join(item.tasks)


def prepare_gate(run: Run) -> None:
    """The reference that every launch passes before its clock starts, computed once for a run.

    Raises:
        RegaugeError: the original cannot be loaded or run.
    """
    if (run.gate / "gate.json").is_file():
        return
    run.gate.mkdir(parents=True, exist_ok=True)
    job = {
        "job": "gate",
        "case": run.case,
        "folder": str(run.folder),
        "tasks": list(run.plan.tasks),
        "threads": run.plan.threads,
        "precision": run.plan.precision,
        "out": str(run.gate),
    }
    variables = environment.worker_variables(run.plan.threads, run.work / "caches" / "gate", random.Random(0))
    run.launcher(run.original, job, interpreters=run.interpreters, environment=variables, timeout=run.plan.timeout)


def make_launch(run: Run, item: Launch) -> list[Measurement]:
    """Make one launch.

    Returns:
        A measurement for each of its tasks and purposes; if the worker died, each with its error.

    Raises:
        RegaugeError: one of `FATAL`.
    """
    started, before, start = _now(), environment.context(), time.monotonic()
    failed: dict[str, Any] = {}
    result: dict[str, Any] = {}
    try:
        result = _launch(run, item)
    except FATAL:
        raise
    except RegaugeError as failure:
        failed = {"error": failure.to_json()}
    seconds = time.monotonic() - start
    surroundings = before | {"steal": _steal_share(before, seconds)} | result.get("environment", {})
    tasks = {task: result["tasks"][task] if result else failed for task in item.tasks}
    return [
        _measurement(run, item, task, purpose, found, surroundings, seconds=seconds, started=started)
        for task, found in tasks.items()
        for purpose in item.purposes_of(task)
    ]


def skip_launch(run: Run, item: Launch, task: str, error: Mapping[str, Any]) -> list[Measurement]:
    """The measurements of a task that is not launched, with the reason."""
    return [_measurement(run, item, task, p, {"error": error}, {}, status="skipped") for p in item.purposes_of(task)]


def _measurement(
    run: Run,
    item: Launch,
    task: str,
    purpose: str,
    found: Mapping[str, Any],
    surroundings: Mapping[str, Any],
    *,
    status: Status | None = None,
    seconds: float = 0.0,
    started: str = "",
) -> Measurement:
    """What a worker found for a task, as far as it belongs to the purpose."""
    error = found.get("error")
    timed, weighed = purpose in ("time", "self-test"), purpose == "memory"
    return Measurement(
        run=run.key,
        task=task,
        variant=item.variant.name,
        purpose=purpose,
        block=item.block,
        position=item.position,
        status=status or ("ok" if error is None else STATUS_OF_CODE.get(error["code"], "failed")),
        samples=tuple(found.get("samples", ())) if timed else (),
        phases=dict(found.get("phases", {})),
        memory=dict(found.get("memory", {})) if weighed else {},
        environment={**surroundings, **found.get("environment", {})},
        gate=dict(found.get("gate", {})),
        error=None if error is None else dict(error),
        seconds=seconds,
        started=started or _now(),
    )


def _launch(run: Run, item: Launch) -> dict[str, Any]:
    plan = run.plan
    caches = run.caches(item)
    if "compile-cold" in item.purposes:
        shutil.rmtree(caches, ignore_errors=True)
    # drawn for the launch alone, so that a resumed run gives every launch the same surroundings
    source = random.Random(f"{plan.seed} {item}")
    job = {
        "job": "time",
        "case": run.case,
        "folder": str(run.folder),
        "gate": str(run.gate),
        "tasks": list(item.tasks),
        "original": item.variant.framework == run.original,
        "mode": item.variant.mode,
        "purposes": list(item.purposes),
        "steps": plan.steps,
        "step_seconds": plan.step_seconds,
        "threads": plan.threads,
        "precision": plan.precision,
    }
    with _job_directory(run.work) as out, environment.on_cpus(plan.threads):
        for cache in environment.cache_directories(caches):
            cache.mkdir(parents=True, exist_ok=True)
        return run.launcher(
            item.variant.framework,
            job | {"out": str(out), "launched": time.monotonic()},
            interpreters=run.interpreters,
            environment=environment.worker_variables(plan.threads, caches, source),
            timeout=plan.timeout,
        )


def _now() -> str:
    return datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")


def _steal_share(before: Mapping[str, Any], seconds: float) -> float:
    """The share of this machine's CPU time since `before` that its host gave to others."""
    stolen = getattr(psutil.cpu_times(), "steal", 0.0) - before["steal_seconds"]
    return round(max(0.0, stolen) / max(seconds * (psutil.cpu_count() or 1), 1e-9), 4)


@contextlib.contextmanager
def _job_directory(work: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="launch-", dir=work))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
