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
        causes: probable causes that were tried and made the difference vanish; none are tried yet.
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
    causes: tuple[str, ...] = ()
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
        names = {key: tuple(data.get(key, ())) for key in ("inputs_tried", "sides", "causes")}
        return Check(**{**data, "tiers": tiers, "findings": findings, **names})
