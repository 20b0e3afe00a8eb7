"""What an audit says: frozen values that become JSON and come back from it.

A *use* is one place where a file names a framework's API. Lines are counted once, under the heaviest class of their
uses: a line with an automatic and a manual use is a manual line.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from regauge.errors import BadResult
from regauge.findings import Finding

SCHEMA = 1

Degree = Literal["automatic", "equivalent", "manual", "none"]
# From light to heavy; a line counts as its heaviest use.
DEGREES: tuple[Degree, ...] = ("automatic", "equivalent", "manual", "none")

Target = Literal["jax", "torch"]
Outcome = Literal["converted", "refused", "failed"]


@dataclass(frozen=True)
class Counts:
    """Numbers of lines.

    Attributes:
        files: Python files and notebooks that were read.
        lines: lines of them, without empty ones.
        framework_lines: lines that use the framework that is left; the four below add up to it.
        automatic: regauge converts them.
        equivalent: another API does the same; it is named.
        manual: to be rewritten; the reason is named.
        none: nothing on the other side does this.
    """

    files: int = 0
    lines: int = 0
    framework_lines: int = 0
    automatic: int = 0
    equivalent: int = 0
    manual: int = 0
    none: int = 0

    def share(self, degree: Degree) -> float | None:
        """Part of the framework's lines that has this class, 0 to 1; None where nothing uses the framework."""
        return getattr(self, degree) / self.framework_lines if self.framework_lines else None

    @property
    def shares(self) -> dict[Degree, float | None]:
        """`share` of every class."""
        return {degree: self.share(degree) for degree in DEGREES}

    def __add__(self, other: Counts) -> Counts:
        return Counts(*(getattr(self, name) + getattr(other, name) for name in self.__dataclass_fields__))


@dataclass(frozen=True)
class Directory:
    """The counts of one directory, sub-directories not included; `path` is relative to the audited one."""

    path: str
    counts: Counts
    hazards: int


@dataclass(frozen=True)
class Framework:
    """How much of a framework there is.

    Attributes:
        name: pytorch, jax, tensorflow, keras, mxnet, theano, chainer, paddle.
        files: files that import it or a library built on it.
        lines: lines that use it.
        uses: places that name its API.
        role: ``left`` (what the switch leaves), ``kept`` (the target), ``other``.
        note: what is known of its state, such as that it is retired; may be empty.
        source: where the note is from.
    """

    name: str
    files: int
    lines: int
    uses: int
    role: Literal["left", "kept", "other"]
    note: str = ""
    source: str = ""


@dataclass(frozen=True)
class Library:
    """A third-party library of the framework that is left, and what stands in its place.

    Attributes:
        name: its name on the package index; `imported` is the module.
        files: files that import it; `uses` are places that name it.
        counterparts: names on the other side, empty if there is none.
        degree: same (it works on both sides), equivalent, partial, none, unknown.
        why: in a sentence, in English; `why_zh` in Chinese. `source`: where it was read.
    """

    name: str
    imported: str
    files: int
    uses: int
    counterparts: tuple[str, ...]
    degree: Literal["same", "equivalent", "partial", "none", "unknown"]
    why: str = ""
    why_zh: str = ""
    source: str = ""


@dataclass(frozen=True)
class Name:
    """One name of the framework's API with its class, in one context.

    Attributes:
        name: such as ``torch.nn.Linear``; methods of tensors are ``torch.Tensor.view``.
        area: model, operation, loss, optimizer, ...: see `regauge.decide.audit.areas.AREAS`.
        degree: its class there.
        counterpart: the API on the other side; empty if there is none or nobody recorded it.
        why: the reason, in English.
        recorded: False where no table knows the name: then it counts as manual.
        uses: number of places.
    """

    name: str
    area: str
    degree: Degree
    counterpart: str
    why: str
    recorded: bool
    uses: int


@dataclass(frozen=True)
class Hazard:
    """A construct in traced code that stops tracing or loses its meaning there.

    Attributes:
        kind: see `regauge.decide.audit.hazards.KINDS`.
        function: qualified name of the function in its file.
        what: the construct, a few words of code.
    """

    kind: str
    file: str
    line: int
    function: str
    what: str


@dataclass(frozen=True)
class File:
    """One file: its counts, and the lines of each of its uses.

    Attributes:
        path: relative to the audited path.
        uses: pairs of an index into `Audit.names` and the lines of that use.
        needs: paths of the files of the tree that it imports.
        framework: the framework that it uses most; empty if none.
        cells: of a notebook, the line before each cell's first: `files.place` makes ``cell 3, line 2`` of a line.
    """

    path: str
    counts: Counts
    uses: tuple[tuple[int, tuple[int, ...]], ...]
    needs: tuple[str, ...]
    framework: str
    cells: tuple[int, ...] = ()


@dataclass(frozen=True)
class Change:
    """One line of the tool chain that changes. An empty `after` means that the line goes."""

    file: str
    line: int
    before: str
    after: str
    why: str


@dataclass(frozen=True)
class Work:
    """One step of the work list; files that import each other form one step.

    Attributes:
        step: 1 for the first; every file that a step needs stands in an earlier one.
        files: paths, one unless they import each other.
        counts: sums over the files.
        hazards: constructs to rewrite before the code can be traced.
        needs: steps that come before.
    """

    step: int
    files: tuple[str, ...]
    counts: Counts
    hazards: int
    needs: tuple[int, ...]


@dataclass(frozen=True)
class CaseOutcome:
    """What a real conversion of a case gave; its classes' estimates are replaced by it.

    Attributes:
        case: the reference.
        outcome: converted, refused (regauge names what it lacks), failed (the case itself does not work).
        classes: classes of the tree that the case's module is made of, as ``path:Class``.
        gaps: what was in the way, as the conversion said it.
    """

    case: str
    outcome: Outcome
    classes: tuple[str, ...]
    gaps: tuple[str, ...]


@dataclass(frozen=True)
class Audit:
    """The result of `regauge.audit`.

    Attributes:
        path: what was audited, absolute.
        source: pytorch or jax: the framework that is left; empty if the tree uses neither.
        target: jax or torch.
        totals: of the whole tree; their `shares` feed `regauge choose`.
        seconds: wall time of the audit.
    """

    path: str
    source: str
    target: Target
    totals: Counts
    frameworks: tuple[Framework, ...] = ()
    libraries: tuple[Library, ...] = ()
    directories: tuple[Directory, ...] = ()
    files: tuple[File, ...] = ()
    names: tuple[Name, ...] = ()
    hazards: tuple[Hazard, ...] = ()
    tool_chain: tuple[Change, ...] = ()
    work: tuple[Work, ...] = ()
    cases: tuple[CaseOutcome, ...] = ()
    findings: tuple[Finding, ...] = ()
    seconds: float = 0.0
    regauge: str = ""
    schema: int = field(default=SCHEMA)

    def to_json(self) -> dict[str, Any]:
        """Plain data; `from_json` reads it."""
        return {**asdict(self), "shares": self.totals.shares}

    @staticmethod
    def from_json(data: dict[str, Any]) -> Audit:
        """The audit that `to_json` wrote.

        Raises:
            BadResult: it is damaged, or another version wrote it.
        """
        from pydantic import TypeAdapter, ValidationError

        if data.get("schema") != SCHEMA:
            raise BadResult(
                "the audit was written by another version of regauge",
                received=f"schema {data.get('schema')}; this version reads schema {SCHEMA}",
                next="audit the tree again",
            )
        plain = {key: value for key, value in data.items() if key != "shares"}
        try:
            return TypeAdapter(Audit).validate_python(plain)
        except ValidationError as error:
            raise BadResult(f"the audit cannot be read: {error}", next="audit the tree again") from error
