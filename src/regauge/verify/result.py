"""The check's result: frozen, serialisable, the same for the terminal, the report and a test."""

from __future__ import annotations

from dataclasses import asdict, dataclass, field
from typing import Any, Literal

from regauge.findings import Finding

Verdict = Literal["equal", "different", "not checked"]
Kind = Literal["outputs", "loss", "gradients", "input gradients", "state", "parameters", "finite difference"]


@dataclass(frozen=True)
class Distance:
    """One tensor's distance between original and converted, both judged against float64.

    Attributes:
        name: the tensor's name in the original.
        norm: ``||x - x64|| / s`` of the candidate, s as in docs/equivalence.md section 2.
        largest: ``max|x - x64| / max|x64|``.
        original_norm: the same distance of the original's own arithmetic (tier 2 only).
        limit: what `norm` must not exceed.
        null: whether the tensor is zero in theory (its scale is then that of its kind).
        passed: whether norm and largest are within their limits.
        note: shape or dtype differences, NaN places, in words.
    """

    name: str
    norm: float
    largest: float
    limit: float
    passed: bool
    original_norm: float | None = None
    null: bool = False
    note: str = ""


@dataclass(frozen=True)
class Tier:
    """One question with its answer: e.g. gradients, float64 against float64, in training mode, on 5 inputs."""

    name: str  # "tier 1 outputs", "tier 2 gradients", "trajectory adamw", "finite difference", "randomness"
    verdict: Verdict
    mode: Literal["train", "eval", ""] = ""
    inputs: int = 0
    bound: float | None = None  # the largest distance seen
    limit: float | None = None
    why: str = ""  # why it could not run, or what differs
    distances: tuple[Distance, ...] = ()
    seconds: float = 0.0  # time of the evaluations that the tier rests on; tiers of one pass share it


@dataclass(frozen=True)
class Place:
    """One operation or module of one side, where a difference begins.

    Attributes:
        module: module path, "" for none.
        operation: aten overload, lax primitive or module class, "" for none.
        file: path as the person knows it, "" if unknown.
        line: 0 if unknown.
        code: the line's text.
        distance: to float64 of the original (norm, as docs/equivalence.md section 2).
    """

    module: str
    operation: str
    file: str
    line: int
    code: str
    distance: float | None


@dataclass(frozen=True)
class Cause:
    """A probable cause that was tried by substitution.

    Attributes:
        name: short stable key, e.g. "eps", "gelu-approximation", "biased-variance".
        text: one sentence (msgid): what differs and the numbers that show it.
        before: distance without the substitution.
        after: distance with it.
        change: the line to change, and how: "port.py:41: eps=1e-5".
        proven: the substitution made the difference vanish (after within the tier 1 limit); else it was tried and
            helped.
    """

    name: str
    text: str
    before: float
    after: float
    change: str
    proven: bool


@dataclass(frozen=True)
class ModuleDistance:
    """One row of the per-module table, in order of the forward pass.

    Attributes:
        module: module path in the original.
        original: where the original computes what it returns.
        converted: where the converted model does.
        distance: float64 against float64.
        distance32: of the converted model in float32, None if it was not measured.
        passed: whether `distance` is within the limit of tier 1.
    """

    module: str
    original: Place | None
    converted: Place | None
    distance: float
    distance32: float | None
    passed: bool


@dataclass(frozen=True)
class Check:
    """Whether two models are the same function, tier by tier.

    `verdict` is ``equal`` only when no tier differs and the float64 tiers ran; what did not run is listed by
    name in `not_checked`.

    Attributes:
        case: the case, or both sides of a pair.
        tiers: every question with its answer.
        first_difference: module path of the first tensor beyond its limit, in order of the forward pass.
        findings: what a person should know.
        inputs_tried: names of the input sets.
        sides: what the two models of a pair are called; empty for a conversion that regauge made.
        causes: probable causes that were tried by substitution, most likely first.
        places: where the difference begins, in the original and in the converted model.
        modules: distances along the depth of the network.
        reproduce: path of a file that fails alone; none is written yet.
    """

    case: str
    verdict: Verdict
    tiers: tuple[Tier, ...]
    first_difference: str = ""
    findings: tuple[Finding, ...] = field(default=())
    inputs_tried: tuple[str, ...] = ()
    seconds: float = 0.0
    versions: dict[str, str] = field(default_factory=dict)
    sides: tuple[str, ...] = ()
    causes: tuple[Cause, ...] = ()
    places: tuple[Place, ...] = ()
    modules: tuple[ModuleDistance, ...] = ()
    reproduce: str | None = None

    @property
    def equal(self) -> bool:
        return self.verdict == "equal"

    @property
    def not_checked(self) -> tuple[str, ...]:
        return tuple(tier.name for tier in self.tiers if tier.verdict == "not checked")

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Check:
        tiers = tuple(
            Tier(**{**tier, "distances": tuple(Distance(**d) for d in tier["distances"])}) for tier in data["tiers"]
        )
        findings = tuple(Finding.from_json(f) for f in data["findings"])
        names = {key: tuple(data.get(key, ())) for key in ("inputs_tried", "sides")}
        placed: dict[str, Any] = {
            "causes": tuple(Cause(**cause) for cause in data.get("causes", ())),
            "places": tuple(Place(**place) for place in data.get("places", ())),
            "modules": tuple(_module_distance(row) for row in data.get("modules", ())),
        }
        return Check(**{**data, "tiers": tiers, "findings": findings, **names, **placed})


def _module_distance(row: dict[str, Any]) -> ModuleDistance:
    places = {side: Place(**row[side]) if row[side] else None for side in ("original", "converted")}
    return ModuleDistance(**{**row, **places})
