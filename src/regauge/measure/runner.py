"""Running a plan: one fresh process after the other, each result stored before the next one starts."""

from __future__ import annotations

import contextlib
import datetime
import random
import shutil
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

from regauge.errors import BadCase, BadResult, OutputError, RegaugeError
from regauge.language import _
from regauge.measure import environment
from regauge.measure.plan import Launch, run_key, schedule
from regauge.measure.result import Measurement, MeasurementPlan, Status
from regauge.measure.store import Store
from regauge.run.launch import Interpreters, launch

# (launches done, launches in all, seconds left or None while unknown, what runs next)
Progress = Callable[[int, int, float | None, str], None]
Launcher = Callable[..., dict[str, Any]]

# Errors that another try would meet again: a gate not passed, values that are not finite, a compiler or a framework
# that is missing (both are part of the machine's fingerprint, so installing them makes another run).
FINAL_CODES = ("M120", "M121", "M130", "B150")
# Whatever a person must mend in the case or the conversion ends the run; all else is a result of one launch.
FATAL = (BadCase, BadResult, OutputError)
STATUS_OF_CODE: dict[str, Status] = {"P120": "timed out", "M130": "skipped", "B150": "skipped"}
# After as many failures in a row the rest of a variant's launches of that task is not tried.
GIVE_UP_AFTER = 2


@dataclass
class _Run:
    """What stays the same for all launches of a run, and what has failed so far."""

    plan: MeasurementPlan
    case: str
    folder: Path
    store: Store
    key: str
    interpreters: Interpreters | None
    launcher: Launcher
    failures: Counter[tuple[str, str]] = field(default_factory=Counter)
    last_error: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    @property
    def work(self) -> Path:
        return self.store.directory / "work" / self.key

    @property
    def gate(self) -> Path:
        return self.work / "gate"

    def caches(self, item: Launch) -> Path:
        """Of the variant; in a full plan of the task too, whose cold start must not empty another task's caches."""
        own = self.work / "caches" / item.variant.name.replace(" ", "-")
        return own if self.plan.quick else own / "-".join(item.tasks)


def run_plan(
    plan: MeasurementPlan,
    case: str,
    folder: Path,
    store: Store,
    *,
    interpreters: Interpreters | None = None,
    progress: Progress | None = None,
    launcher: Launcher = launch,
) -> list[Measurement]:
    """Make every launch of the plan that the store does not hold yet.

    A launch that fails, is killed or runs out of time is stored with its error; the others go on. An interrupt stops
    the worker under way, and a later call with the same plan makes the launches that are missing or failed.

    Args:
        case: the reference that the torch worker loads.
        folder: the saved conversion.
        progress: called before every launch, and once at the end.

    Returns:
        All measurements of this run, those of earlier calls included.

    Raises:
        RegaugeError: the gate's reference cannot be computed, the case or the conversion cannot be read, or the
            results cannot be written.
    """
    return run_launches(
        plan,
        schedule(plan),
        case,
        folder,
        store,
        interpreters=interpreters,
        progress=progress,
        launcher=launcher,
    )


def run_launches(
    plan: MeasurementPlan,
    launches: Sequence[Launch],
    case: str,
    folder: Path,
    store: Store,
    *,
    interpreters: Interpreters | None = None,
    progress: Progress | None = None,
    launcher: Launcher = launch,
) -> list[Measurement]:
    """`run_plan` for launches that are given; the plan says how each is made."""
    folder = Path(folder).resolve()
    key = run_key(plan, folder, case, environment.fingerprint())
    run = _Run(plan, case, folder, store, key, interpreters, launcher)
    todo = missing(run.key, launches, store.load(run.key))
    notify = progress or (lambda done, total, left, label: None)
    with _work_directory(run.work):
        if todo:
            _prepare_gate(run, notify, len(todo))
        _launch_all(run, todo, notify)
    store.rebuild_index()
    return store.load(run.key)


def missing(run: str, launches: Sequence[Launch], stored: Sequence[Measurement]) -> list[Launch]:
    """The launches of which some result is not stored, or failed in a way that another try may not.

    A timed block is paired in time, so it is made again as a whole if one of its launches is missing.
    """
    done = {(m.task, m.variant, m.purpose, m.block) for m in stored if m.run == run and _is_final(m)}

    def is_done(item: Launch) -> bool:
        return all((task, item.variant.name, p, item.block) in done for task in item.tasks for p in item.purposes)

    def paired_block(item: Launch) -> tuple[Any, ...]:
        return (item.tasks, item.block) if "time" in item.purposes else (item,)

    incomplete = {paired_block(item) for item in launches if not is_done(item)}
    return [item for item in launches if paired_block(item) in incomplete]


def _is_final(measurement: Measurement) -> bool:
    return measurement.status == "ok" or (measurement.error or {}).get("code") in FINAL_CODES


def _launch_all(run: _Run, todo: Sequence[Launch], notify: Progress) -> None:
    spent: dict[tuple[str, ...], list[float]] = {}
    for done, item in enumerate(todo):
        notify(done, len(todo), _seconds_left(todo[done:], spent), item.label)
        measurements = _given_up(run, item) or _one_launch(run, item)
        for measurement in measurements:
            run.store.append(measurement)
        _count_failures(run, measurements)
        spent.setdefault(_kind(item), []).append(measurements[0].seconds)
    notify(len(todo), len(todo), 0.0, "")


def _kind(item: Launch) -> tuple[str, ...]:
    """Launches of one kind take about as long as each other."""
    return (item.variant.name, *item.tasks, *item.purposes)


def _seconds_left(rest: Sequence[Launch], spent: Mapping[tuple[str, ...], list[float]]) -> float | None:
    """The sum over the launches to come of the mean of their kind, or of all where none of the kind is done."""
    known = [seconds for many in spent.values() for seconds in many]
    if not known:
        return None
    overall = sum(known) / len(known)
    return sum(sum(many) / len(many) if (many := spent.get(_kind(item))) else overall for item in rest)


def _one_launch(run: _Run, item: Launch) -> list[Measurement]:
    """Make one launch; its measurements by task and purpose."""
    started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
    before, start = environment.context(), time.monotonic()
    status: Status = "ok"
    error: dict[str, Any] | None = None
    result: dict[str, Any] = {}
    try:
        result = _launch(run, item)
    except FATAL:
        raise
    except RegaugeError as failure:
        status, error = STATUS_OF_CODE.get(failure.code, "failed"), failure.to_json()
    seconds = time.monotonic() - start
    surroundings = before | {"steal": _steal_share(before, seconds)} | result.get("environment", {})
    return [
        _measurement(run, item, task, purpose, result.get("tasks", {}).get(task), surroundings)(
            status=status, error=error, seconds=seconds, started=started
        )
        for task in item.tasks
        for purpose in item.purposes
    ]


def _measurement(
    run: _Run, item: Launch, task: str, purpose: str, found: Mapping[str, Any] | None, surroundings: Mapping[str, Any]
) -> Callable[..., Measurement]:
    """A measurement with what belongs to its purpose; the caller adds status and time."""
    found = found or {}
    timed, weighed = purpose in ("time", "self-test"), purpose == "memory"

    def make(**rest: Any) -> Measurement:
        return Measurement(
            run=run.key,
            task=task,
            variant=item.variant.name,
            purpose=purpose,
            block=item.block,
            position=item.position,
            samples=tuple(found.get("samples", ())) if timed else (),
            phases=dict(found.get("phases", {})),
            memory=dict(found.get("memory", {})) if weighed else {},
            environment={**surroundings, **found.get("environment", {})},
            gate=dict(found.get("gate", {})),
            **rest,
        )

    return make


def _launch(run: _Run, item: Launch) -> dict[str, Any]:
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


def _prepare_gate(run: _Run, notify: Progress, total: int) -> None:
    """The reference that every launch passes before its clock starts, computed once for a run."""
    if (run.gate / "gate.json").is_file():
        return
    notify(0, total, None, _("reference of the gate"))
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
    try:
        run.launcher("torch", job, interpreters=run.interpreters, environment=variables, timeout=run.plan.timeout)
    except BaseException:
        (run.gate / "gate.json").unlink(missing_ok=True)
        raise


def _given_up(run: _Run, item: Launch) -> list[Measurement]:
    """Skipped measurements of a launch whose variant failed too often; empty if it is to be made."""
    for task in item.tasks:
        failed = run.failures[task, item.variant.name]
        if failed < GIVE_UP_AFTER:
            continue
        reason = dict(run.last_error[task, item.variant.name])
        if reason["code"] not in STATUS_OF_CODE:
            reason["why"] = f"not tried: the {failed} launches of this variant before it failed"
        started = datetime.datetime.now(datetime.UTC).isoformat(timespec="milliseconds")
        return [
            _measurement(run, item, task, purpose, None, {})(status="skipped", error=reason, started=started)
            for task in item.tasks
            for purpose in item.purposes
        ]
    return []


def _count_failures(run: _Run, measurements: Sequence[Measurement]) -> None:
    by_launch = {(m.task, m.variant): m for m in measurements}
    for pair, m in by_launch.items():
        if m.error is None:
            run.failures[pair] = 0
        else:
            # what is missing on this machine stays missing: one launch is enough to know
            run.failures[pair] += GIVE_UP_AFTER if m.status == "skipped" else 1
            run.last_error.setdefault(pair, m.error)


def _steal_share(before: Mapping[str, Any], seconds: float) -> float:
    """The share of this machine's CPU time since `before` that its host gave to others."""
    stolen = getattr(psutil.cpu_times(), "steal", 0.0) - before["steal_seconds"]
    return round(max(0.0, stolen) / max(seconds * (psutil.cpu_count() or 1), 1e-9), 4)


@contextlib.contextmanager
def _work_directory(work: Path) -> Iterator[None]:
    """The run's own directory; removed after a whole run, kept for a resumed one after an interrupt."""
    try:
        work.mkdir(parents=True, exist_ok=True)
        yield
        shutil.rmtree(work, ignore_errors=True)
        with contextlib.suppress(OSError):
            work.parent.rmdir()
    except OSError as error:
        raise OutputError(
            f"the measurement cannot go on: {error.strerror or error}",
            where=str(error.filename or work),
            next="make room or choose another place with --out; what was measured is kept",
        ) from error


@contextlib.contextmanager
def _job_directory(work: Path) -> Iterator[Path]:
    directory = Path(tempfile.mkdtemp(prefix="launch-", dir=work))
    try:
        yield directory
    finally:
        shutil.rmtree(directory, ignore_errors=True)
