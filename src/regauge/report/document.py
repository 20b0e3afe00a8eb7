"""The document: everything that a report shows, as one JSON that any reader can be rebuilt from.

`build_document` collects it from the results of a run, `Document.write` and `read_document` keep it; `text.py` and
`html.py` only show what it holds. Figures that derive from raw samples are computed by `figures.py` when shown, so
the raw launches stay the only source of every number.
"""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from regauge import __version__
from regauge.errors import BadResult, OutputError
from regauge.findings import Finding
from regauge.language import use_language
from regauge.measure.result import Effect, Measurement, MeasurementPlan
from regauge.report.sources import LineLink, Source, read_sources
from regauge.report.wording import check_sentence, effect_sentence
from regauge.run.protocol import read_json
from regauge.verify.result import Check

SCHEMA = 1
FILE_NAME = "document.json"


class Record(BaseModel):
    """Frozen; unknown fields are refused; NaN and infinity survive JSON as strings."""

    model_config = ConfigDict(frozen=True, extra="forbid", ser_json_inf_nan="strings")


class UnusedWeight(Record):
    """A weight of the original that the converted module does not read."""

    source: str
    reason: str


class WeightsSummary(Record):
    """What weights.json says: counts of arrays and elements, ties, what is not used."""

    arrays: int = 0
    parameters: int = 0
    trainable: int = 0
    buffers: int = 0
    tied: dict[str, str] = Field(default_factory=dict)
    unused: tuple[UnusedWeight, ...] = ()


class Summary(Record):
    """The verdict in English sentences, for readers of the JSON."""

    check: Literal["equal", "different", "not checked"] = "not checked"
    sentences: tuple[str, ...] = ()


class Document(Record):
    """Everything a report shows.

    Attributes:
        schema_version: version of this layout; a reader refuses newer ones.
        name: what the case is called; `case` is the reference it was loaded from.
        created: UTC, ISO 8601.
        check: None when equality was not checked in this run.
        plan: None when nothing was measured; so are measurements and effects empty.
        self_test: the A/A calibration of this machine (coverage, resolution), if there is one.
        environment: fingerprint of the machine and the versions, nested as measured.
        commands: what to type to see the same again.
    """

    schema_version: int = SCHEMA
    name: str
    case: str = ""
    created: str
    regauge: str = __version__
    direction: str = "torch->jax"
    summary: Summary = Summary()
    check: Check | None = None
    plan: MeasurementPlan | None = None
    measurements: tuple[Measurement, ...] = ()
    effects: tuple[Effect, ...] = ()
    self_test: dict[str, Any] | None = None
    environment: dict[str, Any] = Field(default_factory=dict)
    findings: tuple[Finding, ...] = ()
    weights: WeightsSummary | None = None
    sources: tuple[Source, ...] = ()
    lines: tuple[LineLink, ...] = ()
    commands: tuple[str, ...] = ()

    def write(self, path: Path) -> Path:
        """Write the JSON; raises OutputError if the place cannot be written."""
        return write_text(path, self.model_dump_json(indent=1))


def write_text(path: Path, text: str) -> Path:
    """Write a file whole or not at all, so that an interrupted run never leaves half a report.

    Raises:
        OutputError: the directory is full, read-only or not a directory.
    """
    temporary = path.with_name(f".{path.name}.partial")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_text(text, encoding="utf-8")
        temporary.replace(path)
    except OSError as error:
        raise OutputError(
            f"the report cannot be written: {error.strerror or error}",
            where=str(path),
            next="choose another place with --out",
        ) from error
    return path


def read_document(path: Path) -> Document:
    """The document in a file, or in the ``document.json`` of a results directory.

    Raises:
        BadResult: there is none, it is damaged, or another version of regauge wrote it.
    """
    file = path / FILE_NAME if path.is_dir() else path
    try:
        data = read_json(file)
    except FileNotFoundError as error:
        raise BadResult("no stored report here", where=str(file), next="run regauge compare first") from error
    except (OSError, ValueError) as error:
        raise BadResult(
            f"the stored report cannot be read: {error}", where=str(file), next="run regauge compare again"
        ) from error
    found = data.get("schema_version") if isinstance(data, dict) else None
    if found != SCHEMA:
        raise BadResult(
            "the stored report was written by another version of regauge",
            where=str(file),
            received=f"schema {found}; this version reads schema {SCHEMA}",
            next="rebuild it from its measurements with the version that wrote it, or run regauge compare again",
        )
    try:
        return Document.model_validate(data)
    except ValidationError as error:
        problem = error.errors()[0]
        place = ".".join(str(part) for part in problem["loc"])
        raise BadResult(
            "the stored report is damaged",
            where=f"{file}: {place}",
            received=problem["msg"],
            next="run regauge compare again",
        ) from error


def build_document(
    *,
    case: str,
    folder: Path | None = None,
    check: Check | None = None,
    plan: MeasurementPlan | None = None,
    measurements: Iterable[Measurement] = (),
    effects: Iterable[Effect] = (),
    self_test: Mapping[str, Any] | None = None,
    environment: Mapping[str, Any] | None = None,
    findings: Iterable[Finding] = (),
    commands: Sequence[str] = (),
    originals: Mapping[str, Path] | None = None,
    created: str | None = None,
) -> Document:
    """Collect a document from what a run produced; every part may be missing.

    Args:
        case: the reference of the case, ``file.py:name`` or a built-in name.
        folder: the saved conversion; gives sources, line map, weights, findings and the name.
        originals: the person's source files by base name, where they are not the file that `case` names.
        created: UTC time in ISO 8601; now when None.
    """
    conversion = _conversion(folder)
    check_findings = check.findings if check else ()
    stored = [Finding.from_json(item) for item in conversion.get("findings", ())]
    unique = dict.fromkeys((*stored, *check_findings, *findings))
    name = conversion.get("name") or (check.case if check else "") or case
    sources, lines = read_sources(case, folder, conversion, originals or {})
    effects = tuple(effects)
    return Document(
        name=name,
        case=case,
        created=created or datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        direction=conversion.get("direction", "torch->jax"),
        summary=_summary(name, check, effects, plan),
        check=check,
        plan=plan,
        measurements=tuple(measurements),
        effects=effects,
        self_test=dict(self_test) if self_test else None,
        environment={"conversion": conversion.get("versions", {}), **(environment or {})},
        findings=tuple(unique),
        weights=_weights(folder),
        sources=sources,
        lines=lines,
        commands=tuple(commands) or reproduce(case, plan),
    )


def reproduce(case: str, plan: MeasurementPlan | None) -> tuple[str, ...]:
    """Commands that repeat the run with the same plan, and one that only checks."""
    if plan is None:
        return (f"regauge check {case}",)
    size = "--quick " if plan.quick else ""
    options = f"{size}--blocks {plan.blocks} --steps {plan.steps} --threads {plan.threads} --seed {plan.seed}"
    precision = f"--precision {plan.precision} --tasks {','.join(plan.tasks)}"
    return (f"regauge compare {case} {options} {precision}", f"regauge check {case}", "regauge compare --self-test")


def _summary(name: str, check: Check | None, effects: Sequence[Effect], plan: MeasurementPlan | None) -> Summary:
    with use_language("en"):
        sentences = (check_sentence(name, check), *(effect_sentence(effect, plan) for effect in effects))
    return Summary(check=check.verdict if check else "not checked", sentences=sentences)


def _conversion(folder: Path | None) -> dict[str, Any]:
    if folder is None or not (folder / "conversion.json").is_file():
        return {}
    return read_json(folder / "conversion.json")


def _weights(folder: Path | None) -> WeightsSummary | None:
    if folder is None or not (folder / "weights.json").is_file():
        return None
    stored = read_json(folder / "weights.json")
    sizes = {"parameter": 0, "buffer": 0, "trainable": 0}
    for entry in stored["entries"]:
        size = math.prod(entry["shape"]) // math.prod(count for _, _, count in entry.get("sliced", ()))
        role = "parameter" if entry.get("role") == "parameter" else "buffer"
        sizes[role] += size
        sizes["trainable"] += size if entry.get("trainable") else 0
    return WeightsSummary(
        arrays=len(stored["entries"]),
        parameters=sizes["parameter"],
        trainable=sizes["trainable"],
        buffers=sizes["buffer"],
        tied=stored.get("tied", {}),
        unused=tuple(UnusedWeight(**item) for item in stored.get("unused", ())),
    )
