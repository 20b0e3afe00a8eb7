"""Running a plan: one fresh process after the other, each result stored before the next one starts."""

from __future__ import annotations

import contextlib
import shutil
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from regauge.conversion import read_conversion
from regauge.errors import OutputError
from regauge.language import _
from regauge.measure import environment
from regauge.measure.launching import STATUS_OF_CODE, Launcher, Run, make_launch, prepare_gate, skip_launch
from regauge.measure.plan import Launch, run_key, schedule
from regauge.measure.result import Measurement, MeasurementPlan
from regauge.measure.store import Store
from regauge.progress import Stopped
from regauge.run.launch import Interpreters, launch

# (launches done, launches in all, seconds left or None while unknown, what runs next)
Progress = Callable[[int, int, float | None, str], None]

# Errors that another try would meet again: a gate not passed, values that are not finite, a compiler or a framework
# that is missing (both are part of the machine's fingerprint, so installing them makes another run).
FINAL_CODES = ("M120", "M121", "M130", "B150")
# After as many failures in a row the rest of a variant's launches of that task is not tried.
GIVE_UP_AFTER = 2


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
    the worker under way, and a later call with the same plan makes the launches that are missing or failed; `Stopped`
    says how many that are.

    Args:
        case: the reference of the original.
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
    original = read_conversion(folder).original
    run = Run(plan, case, folder, store.directory / "work" / key, key, interpreters, launcher, original)
    todo = missing(key, launches, store.load(key))
    notify = progress or (lambda done, total, left, label: None)
    try:
        with _work_directory(run.work):
            if todo:
                notify(0, len(todo), None, _("reference of the gate"))
                prepare_gate(run)
            _launch_all(run, todo, store, notify)
    except KeyboardInterrupt as error:
        stored = store.load(key)
        again = missing(key, launches, stored)
        raise Stopped(len(_ended(key, launches, stored)), len(launches) - len(again), len(launches)) from error
    store.rebuild_index()
    return store.load(key)


def missing(run: str, launches: Sequence[Launch], stored: Sequence[Measurement]) -> list[Launch]:
    """The launches of which some result is not stored, or failed in a way that another try may not.

    A timed block is paired in time, so it is made again as a whole if one of its launches is missing.
    """
    ended = _ended(run, launches, stored)

    def paired_block(item: Launch) -> tuple[Any, ...]:
        return (item.tasks, item.block) if "time" in item.purposes else (item,)

    incomplete = {paired_block(item) for item in launches if item not in ended}
    return [item for item in launches if paired_block(item) in incomplete]


def _ended(run: str, launches: Sequence[Launch], stored: Sequence[Measurement]) -> set[Launch]:
    """The launches all of whose results are stored, and final."""
    done = {(m.task, m.variant, m.purpose, m.block) for m in stored if m.run == run and _is_final(m)}
    return {
        item
        for item in launches
        if all((task, item.variant.name, p, item.block) in done for task in item.tasks for p in item.purposes_of(task))
    }


def _is_final(measurement: Measurement) -> bool:
    return measurement.status == "ok" or (measurement.error or {}).get("code") in FINAL_CODES


@dataclass
class _Failures:
    """Failures in a row of each task and variant, and the first error of each."""

    counts: Counter[tuple[str, str]] = field(default_factory=Counter)
    first: dict[tuple[str, str], dict[str, Any]] = field(default_factory=dict)

    def count(self, measurements: Sequence[Measurement]) -> None:
        for pair, error in {(m.task, m.variant): m.error for m in measurements}.items():
            if error is None:
                self.counts[pair] = 0
                continue
            # what is missing on this machine stays missing: one launch is enough to know
            self.counts[pair] += GIVE_UP_AFTER if STATUS_OF_CODE.get(error["code"]) == "skipped" else 1
            self.first.setdefault(pair, error)

    def reason(self, task: str, variant: str) -> dict[str, Any] | None:
        """Why the task is not tried any more; None if it is."""
        failed = self.counts[task, variant]
        if failed < GIVE_UP_AFTER:
            return None
        reason = dict(self.first[task, variant])
        if reason["code"] not in STATUS_OF_CODE:
            reason["why"] = f"not tried: {GIVE_UP_AFTER} launches of this variant before it failed"
        return reason


def _launch_all(run: Run, todo: Sequence[Launch], store: Store, notify: Progress) -> None:
    failures = _Failures()
    spent: dict[tuple[str, ...], list[float]] = {}
    for done, item in enumerate(todo):
        notify(done, len(todo), _seconds_left(todo[done:], spent), item.label)
        reasons = {task: failures.reason(task, item.variant.name) for task in item.tasks}
        tried = tuple(task for task, reason in reasons.items() if reason is None)
        measurements = make_launch(run, replace(item, tasks=tried)) if tried else []
        failures.count(measurements)
        for task, reason in reasons.items():
            measurements += skip_launch(run, item, task, reason) if reason else []
        for measurement in measurements:
            store.append(measurement)
        spent.setdefault(_kind(item), []).append(max(m.seconds for m in measurements))
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
