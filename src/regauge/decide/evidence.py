"""Evidence: what a reason may rest on, each piece with its kind, source and scope.

    checked      a fact that its machine check confirmed for what is installed here
    measured     an effect of a stored comparison, within its scope
    documented   a fact with its sources
    stated       what the person said in the needs

`measured` evidence is read from the output directories of ``regauge compare``. A figure counts for a question only if
case, task, device and precision are those of the question; every other figure is kept, listed, and supports nothing.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Literal

from regauge.decide.fact_words import FRAMEWORKS
from regauge.decide.facts import Fact
from regauge.decide.needs import Needs

Kind = Literal["checked", "measured", "documented", "stated"]

# Frameworks that `regauge compare` measures, by its own names.
MEASURED = {"torch": "pytorch", "jax": "jax"}

# How deep below the output directory results are looked for: OUT itself, and one directory for each case.
RESULTS = ("document.json", "*/document.json")


@dataclass(frozen=True)
class Evidence:
    """One piece of evidence.

    Attributes:
        id: stable: the id of a fact, ``measured:run/task/variant``, ``stated:field``.
        claim: what it says, one sentence.
        value: its figure or answer; `unit` says of what.
        kind: see the module.
        source: where it can be looked up: sources of a fact, the file of a measurement, the field of the needs.
        urls: addresses of the sources.
        date: the version or date that it is about.
        limits: what it does not cover.
        counts: whether it was used; a measurement out of scope is listed and not used.
    """

    id: str
    claim: str
    value: str | float
    unit: str
    kind: Kind
    source: str
    urls: tuple[str, ...] = ()
    date: str = ""
    limits: str = ""
    counts: bool = True

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "urls": list(self.urls)}


@dataclass(frozen=True)
class Scope:
    """What a figure is about; all four must agree for it to count."""

    case: str
    task: str
    device: str
    precision: str


@dataclass(frozen=True)
class Timing:
    """Step time of one variant over that of PyTorch run eagerly, from one stored run.

    Attributes:
        framework: key of the fact base.
        ratio, low, high: estimate and 95 % interval; below 1 is faster. The reference itself is 1 exactly.
        quick: from a quick run, whose interval is preliminary.
        file: the document that it was read from.
    """

    framework: str
    variant: str
    scope: Scope
    ratio: float
    low: float
    high: float
    run: str
    quick: bool
    date: str
    file: str

    @property
    def id(self) -> str:
        return f"measured:{self.run}/{self.scope.task}/{self.variant}"


def of_fact(fact: Fact, confirmed: Collection[str] = (), stale: Collection[str] = ()) -> Evidence:
    """A fact as evidence: `checked` where a stored check confirmed it, `documented` otherwise."""
    urls = tuple(dict.fromkeys(url for source in fact.sources for url in source.links))
    limits = "a machine check contradicts it: look again" if fact.id in stale else ""
    if not limits and fact.confidence != "high":
        limits = f"confidence: {fact.confidence}"
    return Evidence(
        id=fact.id,
        claim=fact.statement,
        value=fact.value,
        unit="" if isinstance(fact.value, str) else fact.dimension,
        kind="checked" if fact.id in confirmed and fact.id not in stale else "documented",
        source="; ".join(source.ref for source in fact.sources),
        urls=urls,
        date=fact.about,
        limits=limits,
        counts=fact.id not in stale,
    )


def statements_of(needs: Needs) -> tuple[Evidence, ...]:
    """What the person said, as evidence that reasons can name."""
    rows = []
    for name in needs.candidates:
        level = needs.team.experience.get(name)
        claim = f"the team's experience with {FRAMEWORKS[name]}: {level} of 5"
        if level is None:
            claim = f"experience with {FRAMEWORKS[name]} is not among what was named, and counts as none"
        rows.append(_stated(f"team.experience.{name}", claim, float(level or 0), "/ 5"))
    if needs.existing_code is not None:
        framework = needs.existing_code.framework
        claim = f"the existing code uses {FRAMEWORKS[framework]}"
        rows.append(_stated("existing_code.framework", claim, framework))
    return tuple(rows)


def _stated(field: str, claim: str, value: str | float, unit: str = "") -> Evidence:
    return Evidence(
        id=f"stated:{field}", claim=claim, value=value, unit=unit, kind="stated", source=f"NEEDS.yaml: {field}"
    )


def of_timing(timing: Timing, counts: bool) -> Evidence:
    """A measured ratio as evidence."""
    scope = timing.scope
    limits = f"holds for {scope.case}, {scope.task}, on {scope.device} with {scope.precision}"
    if not counts:
        limits = f"out of scope: {scope.case}, {scope.task}, on {scope.device} with {scope.precision}"
    return Evidence(
        id=timing.id,
        claim=f"{timing.variant} took {timing.ratio:.3g} times the step time of torch eager",
        value=timing.ratio,
        unit=f"[{timing.low:.3g}, {timing.high:.3g}]",
        kind="measured",
        source=timing.file,
        date=timing.date,
        limits=limits,
        counts=counts,
    )


def find_timings(directories: Iterable[Path]) -> tuple[Timing, ...]:
    """The timings of every stored comparison in these output directories and one level below.

    Raises:
        BadResult: a stored result is damaged or of another version.
    """
    files = {file.resolve() for place in directories for pattern in RESULTS for file in place.glob(pattern)}
    found: dict[str, Timing] = {}
    for file in sorted(files):
        for timing in _timings(file):
            found.setdefault(timing.id, timing)
    return tuple(sorted(found.values(), key=lambda timing: timing.id))


def _timings(file: Path) -> list[Timing]:
    from regauge.measure.statistics import compute_effects
    from regauge.report.document import read_document

    document = read_document(file)
    plan = document.plan
    timed = [m for m in document.measurements if m.purpose == "time" and m.status == "ok"]
    if plan is None or not timed:
        return []
    # From the raw launches, which are the only source of every number; never from a figure that somebody wrote down.
    found = []
    for effect in compute_effects(plan, document.measurements):
        if effect.verdict == "not comparable" or not _usable(effect.ratio, effect.low, effect.high):
            continue
        launch = next((m for m in timed if m.task == effect.task and m.variant == effect.variant), None)
        if launch is None or effect.reference != "torch eager":
            continue
        scope = Scope(plan.case, effect.task, device_kind(launch.environment.get("device")), plan.precision)
        one = Timing(
            MEASURED[effect.variant.partition(" ")[0]],
            effect.variant,
            scope,
            effect.ratio,
            effect.low,
            effect.high,
            launch.run,
            plan.quick,
            document.created[:10],
            str(file),
        )
        found.append(one)
    found += [_reference(found, task) for task in dict.fromkeys(timing.scope.task for timing in found)]
    return found


def _reference(found: list[Timing], task: str) -> Timing:
    """The reference itself: what all ratios of the task are over."""
    any_ = next(timing for timing in found if timing.scope.task == task)
    return replace(any_, framework="pytorch", variant="torch eager", ratio=1.0, low=1.0, high=1.0)


def _usable(*figures: float) -> bool:
    return all(math.isfinite(figure) and figure > 0 for figure in figures)


_NAMES = (
    ("tpu", "tpu"),
    ("nvidia", "nvidia-gpu"),
    ("geforce", "nvidia-gpu"),
    ("tesla", "nvidia-gpu"),
    ("quadro", "nvidia-gpu"),
    ("amd", "amd-gpu"),
    ("instinct", "amd-gpu"),
    ("radeon", "amd-gpu"),
    ("intel", "intel-gpu"),
    ("apple", "apple-gpu"),
    ("metal", "apple-gpu"),
)


def device_kind(device: Any) -> str:
    """The device of a launch in the words of the needs; ``unknown`` where its name tells nothing."""
    if not isinstance(device, dict):
        return "cpu" if device == "cpu" else "unknown"
    if device.get("kind") == "cpu":
        return "cpu"
    name = str(device.get("name", "")).lower()
    return next((kind for part, kind in _NAMES if part in name), "unknown")


def questions_of(needs: Needs) -> tuple[Scope, ...]:
    """What would have to be measured for these needs: training on each device that trains, inference on each that
    serves, for every case; a case of ``?`` where none was named."""
    cases = needs.cases or ("?",)
    tasks = [("train", device) for device in needs.hardware.train]
    tasks += [("infer", device) for device in needs.hardware.serve if device != "mobile"]
    # Without hardware nothing says where it runs, and no figure of any machine can count.
    return tuple(Scope(case, task, device, needs.precision) for case in cases for task, device in tasks)


def same_case(one: str, other: str) -> bool:
    """Whether two references name one case: equal, or the same function of the same file."""
    if one == other:
        return True
    (file, _, name), (other_file, _, other_name) = one.rpartition(":"), other.rpartition(":")
    if not (file.endswith(".py") and other_file.endswith(".py")):
        return False
    return name == other_name and Path(file).resolve() == Path(other_file).resolve()


def in_scope(timing: Timing, question: Scope) -> bool:
    """Whether a figure answers a question: case, task, device and precision agree."""
    scope = timing.scope
    return same_case(scope.case, question.case) and replace(scope, case=question.case) == question


def command_for(question: Scope) -> str:
    """What would supply the figure, typed on a machine with that device."""
    case = "CASE" if question.case == "?" else question.case
    precision = "" if question.precision == "strict32" else f" --precision {question.precision}"
    return f"regauge compare {case} --tasks {question.task}{precision}"
