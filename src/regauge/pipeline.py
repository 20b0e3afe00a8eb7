"""The main job: convert, check, measure, report; every stage leaves its result on disk and is resumed from it.

Each stage runs its framework in a worker, so this process imports neither. What the directory already holds is used
again while it still answers the same question: a conversion while the person's files and regauge's version are
unchanged, a check while the conversion is, a measurement launch by launch.

    OUT/run.json            what the results below belong to
    OUT/conversion/         the saved folder
    OUT/check.json          the check
    OUT/check.html          what `regauge check` shows of it
    OUT/reproduce.py        fails alone as long as the two differ; its inputs may lie in reproduce.npz
    OUT/weight_map.json     which weight of one model is which of the other, if two models were judged
    OUT/measurements.jsonl  every launch with every raw sample
    OUT/self_test.json      how far the intervals of this machine hold, if that was tested
    OUT/document.json       everything that the report shows
    OUT/report.html         the report
    OUT/work/               jobs and logs of the workers; work/lock is held by the run that uses OUT
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Iterable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from regauge import __version__
from regauge.cases import case_files
from regauge.conversion import Conversion, convert, empty_directory, read_conversion
from regauge.errors import BadResult
from regauge.findings import Finding
from regauge.measure.result import Effect, Measurement, MeasurementPlan
from regauge.occupied import occupied
from regauge.output import prepare_output, writing
from regauge.progress import Progress, Silence
from regauge.run.launch import Interpreters
from regauge.run.protocol import read_json, write_json
from regauge.verify.result import Check

if TYPE_CHECKING:
    from regauge.measure.store import Store
    from regauge.report.document import Document

RUN_SCHEMA = 1
REPORT = "report.html"

# Stages import what they run inside their functions: scipy, pydantic and templates would slow down every command.


@dataclass(frozen=True)
class Options:
    """What a person may choose about a run; None leaves a choice to the plan of `measure`.

    Attributes:
        quick: one to two minutes of measuring with wide intervals; fewer inputs and steps in the check.
        tasks: ``infer``, ``train``; empty takes all that the case allows.
        variants: names such as ``torch eager``; empty takes the defaults.
        blocks: launches of each variant and task.
        steps: timed steps of a launch.
        threads: threads of both frameworks.
        precision: profile of both frameworks.
        seed: of the order of launches.
        margin: practical margin of the verdicts; 0.03 is 3 %.
        timeout: seconds after which a worker is stopped.
        self_test: measure one variant against itself and say how far the intervals of this machine hold.
        layers: how equal layers are converted, one of `regauge.case.LAYERS`; the case's own choice when None.
        fresh: convert and check again even where results are there.
        report: write report.html, in `language`.
        interpreters: the Python executables of both sides.
    """

    quick: bool = False
    tasks: tuple[str, ...] = ()
    variants: tuple[str, ...] = ()
    blocks: int | None = None
    steps: int | None = None
    threads: int | None = None
    precision: str | None = None
    seed: int | None = None
    margin: float | None = None
    timeout: float | None = None
    self_test: bool = False
    layers: str | None = None
    fresh: bool = False
    report: bool = True
    language: str = "en"
    interpreters: Interpreters = field(default_factory=Interpreters)


@dataclass(frozen=True)
class Comparison:
    """Everything that `compare` found out, and where it lies.

    `exit_code` is 0 when the two are equal, every launch ended well and a self-test held, else 1.
    """

    case: str
    out: Path
    conversion: Conversion
    check: Check
    plan: MeasurementPlan | None
    measurements: tuple[Measurement, ...]
    effects: tuple[Effect, ...]
    self_test: dict[str, Any] | None
    document: Document
    html: Path | None
    seconds: float

    @property
    def failures(self) -> tuple[Measurement, ...]:
        """Launches that failed or ran out of time; a skipped one was announced by the plan."""
        return tuple(m for m in self.measurements if m.status not in ("ok", "skipped"))

    @property
    def exit_code(self) -> int:
        held = self.self_test is None or self.self_test["passed"]
        return 0 if self.check.equal and not self.failures and held else 1


def compare(reference: str, out: Path, options: Options | None = None, progress: Progress | None = None) -> Comparison:
    """Convert a case, check it, measure both sides and write the report; resumes what `out` already holds.

    When the check finds a difference nothing is measured: a ratio of two different functions means nothing.

    Raises:
        RegaugeError: a stage could not answer; what earlier stages found stays in `out`.
    """
    from regauge.measure.environment import fingerprint
    from regauge.measure.store import Store
    from regauge.report.document import FILE_NAME, build_document

    measurements: tuple[Measurement, ...]
    effects: tuple[Effect, ...]
    options, progress = options or Options(), progress or Silence()
    started = time.monotonic()
    out = prepare_output(out)
    refuse_bad_options(options)
    with writing(out), alone(out):
        store = Store(out)  # first of all: results that this version cannot read are refused before work starts
        conversion = convert_stage(reference, out, options, progress)
        planned = plan_stage(reference, conversion, options)
        check = check_stage(reference, conversion, out, options, progress)
        plan = planned if check.equal else None
        measurements, effects = (), ()
        if plan and not options.self_test:
            measurements, effects = measure_stage(plan, conversion, store, options, progress)
        self_test = self_test_stage(plan, conversion, store, options, progress) if plan else None
        progress.begin("report")
        document = build_document(
            case=reference,
            folder=conversion.folder,
            check=check,
            plan=plan,
            measurements=measurements,
            effects=effects,
            self_test=self_test,
            environment={"machine": fingerprint()},
            findings=[Finding("M210", "info", str(store.lines), note) for note in store.notes],
        )
        document.write(out / FILE_NAME)
        html = write_html(document, out / REPORT, options.language) if options.report else None
    return Comparison(
        case=reference,
        out=out,
        conversion=conversion,
        check=check,
        plan=plan,
        measurements=measurements,
        effects=effects,
        self_test=self_test,
        document=document,
        html=html,
        seconds=time.monotonic() - started,
    )


def alone(out: Path) -> AbstractContextManager[None]:
    """Within the block no other run works in `out`; `OutputError` if one does already."""
    return occupied(out, out / "work" / "lock")


def convert_stage(reference: str, out: Path, options: Options, progress: Progress) -> Conversion:
    """The conversion in ``out/conversion``, made again only if the case's files or regauge's version changed."""
    folder = out / "conversion"
    question = {"regauge": __version__, "case": reference, "files": digests(case_files(reference))}
    question |= {} if options.layers is None else {"layers": options.layers}
    # A case whose file cannot be told without importing it is converted every time.
    if question["files"] and not options.fresh and _answered(out, "conversion", question) and folder.is_dir():
        progress.reuse("convert")
        return read_conversion(folder, reused=True)
    progress.begin("convert")
    forget(out, "conversion", "check")
    work = out / "work"
    work.mkdir(exist_ok=True)
    conversion = convert(
        reference,
        folder,
        work,
        interpreters=options.interpreters,
        timeout=options.timeout,
        progress=progress,
        layers=options.layers,
    )
    _remember(out, "conversion", question)
    return conversion


def check_stage(reference: str, conversion: Conversion, out: Path, options: Options, progress: Progress) -> Check:
    """The check in ``out/check.json``, made again only if the conversion or the size of the check changed."""
    from regauge.measure.environment import fingerprint
    from regauge.verify import CheckOptions, check_folder

    question = {"quick": options.quick, "folder": folder_fingerprint(conversion.folder)}
    stored = out / "check.json"
    if not options.fresh and _answered(out, "check", question) and stored.is_file():
        progress.reuse("check")
        return Check.from_json(read_json(stored))
    progress.begin("check")
    forget(out, "check")
    work = empty_directory(out / "work" / "check")
    found = check_folder(
        reference,
        conversion.folder,
        work,
        interpreters=options.interpreters,
        options=CheckOptions(quick=options.quick, timeout=options.timeout, reproduce=out),
        progress=lambda what, done, total: progress.advance(done, total, None, what),
    )
    check = replace(found, environment=fingerprint())
    write_json(stored, check.to_json())
    _remember(out, "check", question)
    return check


def refuse_bad_options(options: Options) -> None:
    """Raise `BadPlan` for names and numbers that no case can make right, before a minute is spent on converting."""
    from regauge.measure.plan import TASKS, BadPlan, parse_variant, refuse_bad_numbers

    for variant in options.variants:
        parse_variant(variant)
    unknown = [task for task in options.tasks if task not in TASKS]
    if unknown:
        raise BadPlan("unknown task", received=", ".join(unknown), next=f"choose from: {', '.join(TASKS)}")
    names = ("threads", "blocks", "steps", "margin", "precision")
    refuse_bad_numbers(**{name: getattr(options, name) for name in names})


def plan_stage(reference: str, conversion: Conversion, options: Options) -> MeasurementPlan:
    """What will be measured; made before the check, since it may refuse the options."""
    from regauge.measure.plan import make_plan

    chosen = {
        name: getattr(options, name)
        for name in ("blocks", "steps", "threads", "precision", "seed", "margin", "timeout")
        if getattr(options, name) is not None
    }
    return make_plan(
        reference,
        conversion.folder,
        tasks=options.tasks or None,
        variants=options.variants or None,
        quick=options.quick,
        **chosen,
    )


def measure_stage(
    plan: MeasurementPlan, conversion: Conversion, store: Store, options: Options, progress: Progress
) -> tuple[tuple[Measurement, ...], tuple[Effect, ...]]:
    """The launches of a plan and their effects; only launches that the store does not hold yet are made."""
    from regauge.measure.runner import run_plan
    from regauge.measure.statistics import compute_effects

    progress.begin("measure")
    measurements = run_plan(
        plan,
        plan.case,
        conversion.folder,
        store,
        interpreters=options.interpreters,
        progress=progress.advance,
    )
    return tuple(measurements), compute_effects(plan, measurements)


def self_test_stage(
    plan: MeasurementPlan, conversion: Conversion, store: Store, options: Options, progress: Progress
) -> dict[str, Any] | None:
    """The self-test, made now if it was asked for; else the one that ``out`` holds of this very machine, or None."""
    from regauge.measure.environment import fingerprint
    from regauge.measure.self_test import self_test

    stored = store.directory / "self_test.json"
    machine = fingerprint()
    if options.self_test:
        progress.begin("measure")
        found = self_test(
            plan,
            plan.case,
            conversion.folder,
            store,
            interpreters=options.interpreters,
            progress=progress.advance,
        )
        write_json(stored, {"machine": machine, "result": found.to_json()})
    kept = read_json(stored) if stored.is_file() else {}
    return kept["result"] if kept.get("machine") == machine else None


def digests(files: Iterable[Path]) -> dict[str, str]:
    """SHA-256 of each file by its path."""
    return {str(path): hashlib.sha256(path.read_bytes()).hexdigest() for path in sorted(files)}


def folder_fingerprint(folder: Path) -> str:
    """One SHA-256 over the names and contents of the files of a conversion."""
    whole = hashlib.sha256()
    for path in sorted(path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts):
        whole.update(f"{path.relative_to(folder)}\0".encode())
        with path.open("rb") as file:
            whole.update(hashlib.file_digest(file, "sha256").digest())
    return whole.hexdigest()


def _answered(out: Path, stage: str, question: Mapping[str, Any]) -> bool:
    return _run(out).get(stage) == question


def _remember(out: Path, stage: str, question: Mapping[str, Any]) -> None:
    write_json(out / "run.json", {**_run(out), "schema": RUN_SCHEMA, stage: question})


def forget(out: Path, *stages: str) -> None:
    """Before a stage runs again, so that a result which an interrupted run left half done is never taken for whole."""
    kept = {key: value for key, value in _run(out).items() if key not in stages}
    write_json(out / "run.json", {**kept, "schema": RUN_SCHEMA})


def _run(out: Path) -> dict[str, Any]:
    path = out / "run.json"
    if not path.is_file():
        return {}
    try:
        run = read_json(path)
    except ValueError as error:
        raise BadResult(
            f"the run's state cannot be read: {error}", where=str(path), next="remove the file and run again"
        ) from error
    if run.get("schema") != RUN_SCHEMA:
        raise BadResult(
            "the results here were written by another version of regauge",
            where=str(path),
            received=f"schema {run.get('schema')}; this version reads schema {RUN_SCHEMA}",
            next="choose another place with --out, or use the version that wrote them",
        )
    return run


def write_html(document: Document, path: Path, language: str) -> Path:
    """Write the self-contained report."""
    from regauge.report.document import write_text
    from regauge.report.html import render_html

    return write_text(path, render_html(document, language))
