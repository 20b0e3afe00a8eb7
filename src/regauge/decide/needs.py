"""The needs of a project: what NEEDS.yaml may say, read and checked with every error at once.

    needs = read_needs(Path("NEEDS.yaml"))
    needs = needs_of({"name": "detector", "kind": "vision", "must": ["onnx_export"]})

What contradicts itself is found by `needs_conflicts`; what the fact base says about it, by `requirements`.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator

from regauge.decide import facts
from regauge.decide.facts import FactBase
from regauge.decide.libraries import Kind
from regauge.decide.needs_file import Document, Path_, Problem, dotted, parse, read_file, refuse, shortened
from regauge.language import N_

Device = Literal["cpu", "nvidia-gpu", "amd-gpu", "intel-gpu", "tpu", "apple-gpu"]
Target = Literal["cpu", "nvidia-gpu", "amd-gpu", "intel-gpu", "tpu", "apple-gpu", "mobile"]
System = Literal["linux", "macos", "windows"]
Precision = Literal["strict32", "tf32"]
Criterion = Literal["performance", "functions", "community", "migration", "learning"]
CRITERIA: tuple[Criterion, ...] = get_args(Criterion)

# What a reader sees of a criterion.
CRITERIA_WORDS: dict[Criterion, str] = {
    "performance": N_("performance"),
    "functions": N_("functions"),
    "community": N_("community"),
    "migration": N_("migration"),
    "learning": N_("learning"),
}

# What may be recommended, in the order that everything is shown in.
CANDIDATES = ("pytorch", "jax", "keras", "tensorflow")

# What people call a dimension before they have seen its name.
SHORT_NAMES = {
    "dynamic_shapes": "dynamic_shapes_in_compiled_code",
    "huggingface_models": "hugging_face_transformers",
}

# Bounds that only a slip of the keyboard goes beyond.
MOST_DEVICES = 1_000_000
MOST_WEEKS = 1_000
LARGEST_WEIGHT = 1_000_000.0
SMALLEST_WEIGHT = 1e-6

Experience = Annotated[int, Field(ge=0, le=5)]
Weight = Annotated[float, Field(ge=SMALLEST_WEIGHT, le=LARGEST_WEIGHT, allow_inf_nan=False)]
Name = Annotated[str, Field(min_length=1, max_length=200)]


class Part(BaseModel):
    """Frozen, strict (no text is read as a number), and without fields of other names."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)


class Hardware(Part):
    """What the project trains and serves on; `devices` is the number over all `nodes`."""

    train: tuple[Device, ...] = ()
    devices: Annotated[int, Field(ge=1, le=MOST_DEVICES)] | None = None
    nodes: Annotated[int, Field(ge=1, le=MOST_DEVICES)] | None = None
    serve: tuple[Target, ...] = ()
    os: System | None = None


class Team(Part):
    """Who does the work; experience from 0 (none) to 5 (expert) by framework."""

    people: Annotated[int, Field(ge=1, le=100_000)] | None = None
    experience: dict[str, Experience] = Field(default_factory=dict)


class ExistingCode(Part):
    """Code that there is already; `path` feeds the audit."""

    framework: str
    path: str | None = None


class Weights(Part):
    """How much each criterion counts, in relation to the others; one without a weight does not count."""

    performance: Weight | None = None
    functions: Weight | None = None
    community: Weight | None = None
    migration: Weight | None = None
    learning: Weight | None = None

    def stated(self) -> dict[Criterion, float]:
        """The criteria that have a weight, in the order of `CRITERIA`."""
        found = {criterion: getattr(self, criterion) for criterion in CRITERIA}
        return {criterion: float(weight) for criterion, weight in found.items() if weight is not None}


class Needs(Part):
    """What a project needs; every field but the kind may be left out.

    Attributes:
        name: what the project is called.
        kind: the kind of project.
        cases: regauge cases whose measurements count, as they are named to ``regauge compare``.
        hardware, team, existing_code, weights: see their classes.
        timeline_weeks: until it must work.
        precision: the profile of `regauge compare` that measurements must have been made with.
        must: dimensions of the fact base (or their `SHORT_NAMES`) without which a framework cannot be chosen.
        nice: dimensions that are wanted.
        candidates: frameworks to choose from; all when empty.
    """

    name: Name = "project"
    kind: Kind = "other"
    cases: tuple[Name, ...] = ()
    hardware: Hardware = Hardware()
    team: Team = Team()
    timeline_weeks: Annotated[float, Field(gt=0, le=MOST_WEEKS, allow_inf_nan=False)] | None = None
    precision: Precision = "strict32"
    existing_code: ExistingCode | None = None
    must: tuple[str, ...] = ()
    nice: tuple[str, ...] = ()
    weights: Weights = Weights()
    candidates: Annotated[tuple[str, ...], Field(min_length=1)] = CANDIDATES

    @field_validator("must", "nice")
    @classmethod
    def _whole_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(SHORT_NAMES.get(name, name) for name in names)


def read_needs(path: Path, base: FactBase | None = None) -> Needs:
    """The needs of a file; `existing_code.path` is then relative to the directory of the file.

    Raises:
        BadNeeds: with every problem of the file, each with line, field, what was read and what is allowed.
    """
    return _checked(read_file(path), str(path), path.parent, base)


def parse_needs(text: str, file: str = "NEEDS.yaml", base: FactBase | None = None) -> Needs:
    """The needs in a YAML text; raises as `read_needs`."""
    return _checked(parse(text, file), file, Path(), base)


def needs_of(data: Needs | Mapping[str, Any], base: FactBase | None = None) -> Needs:
    """The needs in plain values, as a program has them; raises as `read_needs`, without lines."""
    plain = data.model_dump(exclude_none=True) if isinstance(data, Needs) else data
    return _checked(Document(_as_tuples(plain)), "needs", Path(), base)


def _as_tuples(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {key: _as_tuples(item) for key, item in value.items()}
    return tuple(_as_tuples(item) for item in value) if isinstance(value, list | tuple) else value


def _checked(document: Document, file: str, directory: Path, base: FactBase | None) -> Needs:
    from regauge.decide.needs_conflicts import conflicts

    problems = list(document.problems)
    if not isinstance(document.data, Mapping):
        read = shortened(_as_yaml(document.data))
        problems.append(Problem("needs are fields with values", "", read, "kind: vision", document.mark(())))
        raise refuse(file, problems)
    needs: Needs | None = None
    try:
        needs = Needs.model_validate(document.data)
    except ValidationError as error:
        problems += [_problem(document, item) for item in error.errors(include_url=False)]
    known = base or facts.load()
    problems += _names(document, known)
    if needs is not None:
        problems += [
            Problem(item.what, dotted(item.place), item.read, item.allowed, document.mark(item.place))
            for item in conflicts(needs, known)
        ]
        problems += _missing_path(document, needs, directory)
    if problems or needs is None:
        raise refuse(file, problems)
    return _resolved(needs, directory)


def _resolved(needs: Needs, directory: Path) -> Needs:
    """Lists in which order and repetition mean nothing become sorted sets; the path of the code becomes absolute."""
    changes: dict[str, Any] = {
        "cases": tuple(sorted(set(needs.cases))),
        "must": tuple(sorted(set(needs.must))),
        "nice": tuple(sorted(set(needs.nice) - set(needs.must))),
        "candidates": _in_order(needs.candidates),
        "hardware": needs.hardware.model_copy(
            update={
                "train": tuple(sorted(set(needs.hardware.train))),
                "serve": tuple(sorted(set(needs.hardware.serve))),
            }
        ),
    }
    code = needs.existing_code
    if code is not None and code.path is not None:
        changes["existing_code"] = code.model_copy(update={"path": str((directory / code.path).resolve())})
    return needs.model_copy(update=changes)


def _in_order(names: Sequence[str]) -> tuple[str, ...]:
    rank = {name: index for index, name in enumerate(CANDIDATES)}
    return tuple(sorted(set(names), key=lambda name: (rank.get(name, len(rank)), name)))


def frameworks_known(base: FactBase) -> tuple[str, ...]:
    """Frameworks that may be named: those that can be chosen, then those that the fact base calls retired."""
    return (*CANDIDATES, *(name for name in base.frameworks() if base.retired(name) is not None))


def _names(document: Document, base: FactBase) -> list[Problem]:
    """Dimensions and frameworks that nobody knows; near names are suggested."""
    data = document.data
    problems = []
    for field in ("must", "nice"):
        for index, written in enumerate(_texts(data.get(field))):
            name = SHORT_NAMES.get(written, written)
            if name not in base.dimensions():
                near = ", ".join(base.near_dimensions(name)) or "regauge facts lists all dimensions"
                problems.append(_unknown("no fact has this dimension", (field, index), name, near, document))
            elif _is_number(base, name):
                what = "the facts of this dimension are numbers, which no need can decide"
                problems.append(_unknown(what, (field, index), name, "a dimension with yes or no", document))
    team, code = data.get("team"), data.get("existing_code")
    experience = team.get("experience") if isinstance(team, Mapping) else None
    named: list[tuple[Path_, Any]] = [
        (("candidates", index), name) for index, name in enumerate(_texts(data.get("candidates")))
    ]
    if isinstance(experience, Mapping):
        named += [(("team", "experience", str(name)), name) for name in experience]
    if isinstance(code, Mapping) and isinstance(code.get("framework"), str):
        named.append((("existing_code", "framework"), code["framework"]))
    known = frameworks_known(base)
    for place, name in named:
        if name not in known:
            problems.append(_unknown("not a framework that is known", place, str(name), ", ".join(known), document))
    return problems


def _unknown(what: str, place: Path_, read: str, allowed: str, document: Document) -> Problem:
    return Problem(what, dotted(place), shortened(read), allowed, document.mark(place))


def _is_number(base: FactBase, dimension: str) -> bool:
    return any(not isinstance(fact.value, str) for fact in base.about(dimension))


def _texts(value: Any) -> list[str]:
    return [item for item in value if isinstance(item, str)] if isinstance(value, tuple) else []


def _missing_path(document: Document, needs: Needs, directory: Path) -> list[Problem]:
    code = needs.existing_code
    if code is None or code.path is None or (directory / code.path).exists():
        return []
    place: Path_ = ("existing_code", "path")
    return [_unknown("no such file or directory", place, code.path, "a path that exists", document)]


def _mistake_what(kind: str) -> str:
    """A kind of error of pydantic that a reader can meet, as a sentence; empty for others."""
    match kind:
        case "missing":
            return "the field is missing"
        case "extra_forbidden":
            return "there is no such field"
        case "literal_error":
            return "not one of the allowed values"
        case "string_type" | "string_unicode":
            return "this is not text"
        case "string_too_short":
            return "an empty text"
        case "string_too_long":
            return "this is too long"
        case "int_type" | "int_from_float":
            return "not a whole number"
        case "float_type":
            return "not a number"
        case "finite_number":
            return "not a finite number"
        case "dict_type" | "model_type":
            return "not a group of fields"
        case "tuple_type":
            return "not a list"
        case "too_short":
            return "an empty list"
        case "greater_than" | "greater_than_equal" | "less_than_equal":
            return "out of range"
    return ""


def _wanted_what(kind: str) -> str:
    """What could stand there, where the kind of error alone says it."""
    match kind:
        case "int_type" | "int_from_float":
            return "a whole number"
        case "float_type" | "finite_number":
            return "a number"
        case "dict_type" | "model_type":
            return "fields with values"
        case "tuple_type":
            return "a list, such as [a, b]"
        case "too_short":
            return "at least one entry"
        case "string_type" | "string_too_short":
            return "some text"
    return ""


def _problem(document: Document, error: Any) -> Problem:
    kind, context = error["type"], error.get("ctx", {})
    place: Path_ = tuple(part for part in error["loc"] if part != "[key]")
    read = "" if kind == "missing" else shortened(_as_yaml(error["input"]))
    allowed = _wanted_what(kind)
    if kind == "literal_error":
        allowed = context["expected"].replace("'", "").replace(" or ", ", ")
    elif kind == "extra_forbidden":
        allowed, read = _fields_near(place), str(place[-1])
    elif kind in ("greater_than", "greater_than_equal", "less_than_equal"):
        bound = next(iter(context.values()))
        allowed = f"{_COMPARED[kind]} {bound:g}"
    return Problem(_mistake_what(kind) or error["msg"], dotted(place), read, allowed, document.mark(place))


_COMPARED = {"greater_than": ">", "greater_than_equal": ">=", "less_than_equal": "<="}


def _as_yaml(value: Any) -> str:
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, tuple):
        return f"[{', '.join(_as_yaml(item) for item in value)}]"
    if isinstance(value, Mapping):
        return f"{{{', '.join(f'{key}: {_as_yaml(item)}' for key, item in value.items())}}}"
    return str(value)


def _fields_near(place: Path_) -> str:
    """The fields of the group that a wrong one stands in; only the near ones if there are some."""
    model: type[BaseModel] = Needs
    for part in place[:-1]:
        kinds: dict[str, type[BaseModel]] = {
            "hardware": Hardware,
            "team": Team,
            "existing_code": ExistingCode,
            "weights": Weights,
        }
        model = kinds.get(str(part), model)
    names = list(model.model_fields)
    return ", ".join(difflib.get_close_matches(str(place[-1]), names, 3) or names)
