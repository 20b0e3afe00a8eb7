"""The recommendation: one frozen value that terminal, page and JSON are all made from."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from regauge.decide.assess import Choice
from regauge.decide.evidence import Evidence
from regauge.decide.needs import Criterion, Needs
from regauge.decide.stack import Stack

FlipKind = Literal["weight", "measurement", "need", "fact"]


@dataclass(frozen=True)
class Reason:
    """One sentence for or against the choice, with the ids of the evidence that it rests on (at least one).

    Attributes:
        text: in English; `regauge.language.translate_message` gives it in another language.
        about: the framework that it is about.
        evidence: ids of `Recommendation.evidence`.
    """

    text: str
    about: str
    evidence: tuple[str, ...]


@dataclass(frozen=True)
class Flip:
    """One change that gives another answer, computed with everything else left as it is.

    Attributes:
        kind: what changes.
        text: the change in words.
        subject: the criterion, need or framework that changes.
        before, after: its value before and after, as a text.
        size: how large the change is: doublings for weights and measured ratios, 1 for each need or fact.
        choice: the answer after it.
    """

    kind: FlipKind
    text: str
    subject: str
    before: str
    after: str
    size: float
    choice: Choice


@dataclass(frozen=True)
class Unknown:
    """Something that is not known and could matter, with what would settle it: a command, or a field of the needs."""

    text: str
    settle: str
    where: str = ""


@dataclass(frozen=True)
class Ranked:
    """A candidate that is not eliminated.

    Attributes:
        acceptability: share of draws in which it ranks first; 0 where it cannot be chosen because `open` needs stand.
        score: mean of its additive value, 0 to 1; None where it was not compared.
        confidence: confidence factor; None where it never ranks first.
        central: mean weights with which it ranks first, by criterion; empty where it never does.
        ranks: share of draws for each rank, first to last.
        values: bounds of its value on each criterion.
        open: needs that nobody showed it to meet.
    """

    candidate: str
    acceptability: float
    score: float | None
    confidence: float | None
    central: Mapping[Criterion, float]
    ranks: tuple[float, ...]
    values: Mapping[Criterion, tuple[float, float]]
    open: tuple[str, ...] = ()


@dataclass(frozen=True)
class Eliminated:
    """A candidate that a fact rules out: the need, the fact, and where the fact was read."""

    candidate: str
    need: str
    fact: str
    statement: str
    source: str
    urls: tuple[str, ...]


@dataclass(frozen=True)
class Shift:
    """How the answer moves when one weight moves: first-rank shares by factor on that weight.

    Attributes:
        criterion: the weight that moves; all others stay.
        factors: what it is multiplied by.
        shares: by candidate, one share for each factor.
    """

    criterion: Criterion
    factors: tuple[float, ...]
    shares: Mapping[str, tuple[float, ...]]


@dataclass(frozen=True)
class Recommendation:
    """What regauge recommends for these needs, and everything that it rests on.

    Attributes:
        choice: a framework, ``either``, or ``not_enough_evidence``.
        ranking: candidates that are not eliminated, the likeliest first.
        eliminated: candidates that facts rule out.
        reasons, against: for and against the choice; for and against the leader where there is no firm choice.
        flips_if: changes that give another answer, the smallest first.
        unknowns: what is not known and what would settle it.
        stack: what goes with the choice; None unless a framework was chosen.
        evidence: everything that was used, and measurements that were out of scope (`Evidence.counts` is false).
        needs: what was asked; `seed` of the draws.
        weights: mean weight of each criterion, sum 1; `weighted` says whether the person gave them.
        known: share of all weight that lies on known values, of the less known of the two leaders.
        between: whom an answer that is not firm is about, the leader first.
        shifts: the sensitivity chart.
    """

    choice: Choice
    ranking: tuple[Ranked, ...]
    eliminated: tuple[Eliminated, ...]
    reasons: tuple[Reason, ...]
    against: tuple[Reason, ...]
    flips_if: tuple[Flip, ...]
    unknowns: tuple[Unknown, ...]
    stack: Stack | None
    evidence: tuple[Evidence, ...]
    needs: Needs
    seed: int
    weights: Mapping[Criterion, float]
    weighted: bool
    known: float
    between: tuple[str, ...] = ()
    shifts: tuple[Shift, ...] = ()
    created: str = ""

    @property
    def firm(self) -> bool:
        """Whether a framework was chosen."""
        return self.choice not in ("either", "not_enough_evidence")

    @property
    def front(self) -> tuple[str, ...]:
        """The candidates that an open answer is about, the likeliest first."""
        return tuple(row.candidate for row in self.ranking if not row.open) or tuple(
            row.candidate for row in self.ranking
        )

    def to_json(self) -> dict[str, Any]:
        """Plain data with the keys of ``regauge choose --json``."""
        return {
            "choice": self.choice,
            "ranking": [_plain(row) for row in self.ranking],
            "eliminated": [_plain(row) for row in self.eliminated],
            "reasons": [_plain(row) for row in self.reasons],
            "against": [_plain(row) for row in self.against],
            "flips_if": [_plain(row) for row in self.flips_if],
            "unknowns": [_plain(row) for row in self.unknowns],
            "stack": self.stack.to_json() if self.stack else None,
            "evidence": [item.to_json() for item in self.evidence],
        }


def _plain(row: Any) -> dict[str, Any]:
    return asdict(row)
