"""From needs to an answer: who may be chosen at all, how they compare, and whether that supports a firm choice."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Literal

import numpy as np

from regauge.decide.acceptability import (
    DRAWS,
    STATED_SHAPE,
    UNKNOWN_SHAPE,
    Acceptability,
    Floats,
    analyse,
    draw,
)
from regauge.decide.criteria import Inputs, Value, evaluate
from regauge.decide.needs import CANDIDATES, CRITERIA, Criterion
from regauge.decide.requirements import Judgement, judge_all, requirements_of

Choice = Literal["pytorch", "jax", "keras", "tensorflow", "either", "not_enough_evidence"]

# A firm choice ranks first in three draws of four: three times as often as all others together. Below that, a change of
# preferences or a fact that is not known yet overturns it too easily to be called a recommendation.
FIRM = 0.75

# Share of the draws of criteria values that keep the choice first once the weights are its own typical ones. Below it
# the values are too uncertain for a decision, whatever the weights are: the use of the confidence factor in SMAA-2.
CONFIDENT = 0.75

# Share of all weight that must lie on known values before "either" is said: below it a tie cannot be told from
# ignorance.
KNOWN = 0.6

# A difference on the scale of a criterion that can connect an answer to a project: a quarter of a level of experience,
# or 15 % of step time. Smaller ones move the shares, and decide nothing by themselves.
AHEAD = 0.05

# Who ranks first at least half as often as the leader belongs to an "either".
NEAR = 0.5


@dataclass(frozen=True)
class Assumptions:
    """What a question of sensitivity sets in place of what is known; empty for the answer itself.

    Attributes:
        met: requirements that are taken as met, as (candidate, dimension).
        performance: bounds of performance by candidate.
        weights: factor on the weight of each criterion.
    """

    met: frozenset[tuple[str, str]] = frozenset()
    performance: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    weights: Mapping[Criterion, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Assessment:
    """All that the answer rests on.

    Attributes:
        choice: the answer.
        judgements: every candidate against every requirement.
        eliminated: candidates that a fact rules out, with the judgements that do it.
        open: candidates that are not ruled out, with the requirements that nobody showed them to meet.
        contenders: candidates that meet every requirement; everyone who is left if nobody does.
        values: by candidate and criterion.
        result: SMAA-2 over the contenders, in their order.
        weights: the mean weight of each criterion, sum 1.
        known: share of all weight on known values, of the two contenders that rank first most often: the lower one.
        ahead_of: contenders from whom something of this project sets the leader apart.
    """

    choice: Choice
    judgements: tuple[Judgement, ...]
    eliminated: Mapping[str, tuple[Judgement, ...]]
    open: Mapping[str, tuple[Judgement, ...]]
    contenders: tuple[str, ...]
    values: Mapping[tuple[str, Criterion], Value]
    result: Acceptability | None
    weights: Mapping[Criterion, float]
    known: float
    ahead_of: tuple[str, ...]

    @property
    def grounds(self) -> bool:
        """Whether something connects the leader to this project, against every rival (`_ahead_of`)."""
        leader, *rivals = self.leaders
        if not rivals:  # it has met what the others were not shown to meet
            return any(judgement.candidate == leader and judgement.answer == "yes" for judgement in self.judgements)
        return set(rivals) <= set(self.ahead_of)

    def share(self, candidate: str) -> float:
        """First-rank acceptability of a candidate; 0 for one that cannot be chosen."""
        if self.result is None or candidate not in self.contenders:
            return 0.0
        return float(self.result.first[self.contenders.index(candidate)])

    def values_of(self) -> tuple[str, ...]:
        """The candidates that have values: those that are not eliminated."""
        return tuple(dict.fromkeys(name for name, _criterion in self.values))

    @property
    def leaders(self) -> tuple[str, ...]:
        """The contenders, most often first before all others."""
        return tuple(sorted(self.contenders, key=lambda name: (-round(self.share(name), 6), name)))

    @property
    def between(self) -> tuple[str, ...]:
        """Whom an open answer is about: the leader, who is near to it, and from whom nothing sets it apart."""
        if not self.contenders:
            return ()
        leader, *rivals = self.leaders
        near = NEAR * self.share(leader)
        return (leader, *(name for name in rivals if self.share(name) >= near or name not in self.ahead_of))


def assess(
    inputs: Inputs, seed: int, assumptions: Assumptions | None = None, count: int = DRAWS, full: bool = True
) -> Assessment:
    """The assessment of needs; with `full` false ranks beyond the first are not computed."""
    assumed = assumptions or Assumptions()
    needs = inputs.needs
    requirements = requirements_of(needs)
    judgements = tuple(
        _assumed(judgement, assumed)
        for judgement in judge_all(inputs.base, needs.candidates, requirements, inputs.stale)
    )
    eliminated = _by_candidate(judgements, ("no",))
    left = tuple(name for name in needs.candidates if name in CANDIDATES and name not in eliminated)
    open_ = {name: found for name, found in _by_candidate(judgements, ("partial", "unknown")).items() if name in left}
    confirmed = tuple(name for name in left if name not in open_)
    contenders = confirmed or left
    values = dict(evaluate(inputs, left))
    for candidate, (low, high) in assumed.performance.items():
        if candidate in left:
            values[candidate, "performance"] = Value(candidate, "performance", low, high, ())
    stated = _weights(inputs, assumed)
    result = (
        _analyse(contenders, values, stated, bool(needs.weights.stated()), seed, count, full) if contenders else None
    )
    mean = stated / stated.sum()
    found = Assessment(
        choice="not_enough_evidence",
        judgements=judgements,
        eliminated=eliminated,
        open=open_,
        contenders=contenders,
        values=values,
        result=result,
        weights=dict(zip(CRITERIA, mean.tolist(), strict=True)),
        known=0.0,
        ahead_of=(),
    )
    return _answered(inputs, found, bool(confirmed))


def _assumed(judgement: Judgement, assumed: Assumptions) -> Judgement:
    if (judgement.candidate, judgement.requirement.dimension) in assumed.met:
        return Judgement(judgement.candidate, judgement.requirement, "yes", judgement.fact, "assumed")
    return judgement


def _by_candidate(judgements: tuple[Judgement, ...], answers: tuple[str, ...]) -> dict[str, tuple[Judgement, ...]]:
    found: dict[str, tuple[Judgement, ...]] = {}
    for judgement in judgements:
        if judgement.answer in answers:
            found[judgement.candidate] = (*found.get(judgement.candidate, ()), judgement)
    return found


def _weights(inputs: Inputs, assumed: Assumptions) -> Floats:
    """(5,) the person's weights, or ones; a criterion without a weight has 0 as soon as another has one."""
    stated = inputs.needs.weights.stated()
    base = [stated.get(criterion, 0.0) if stated else 1.0 for criterion in CRITERIA]
    factors = [assumed.weights.get(criterion, 1.0) for criterion in CRITERIA]
    return np.array(base) * np.array(factors)


def _analyse(
    contenders: tuple[str, ...],
    values: Mapping[tuple[str, Criterion], Value],
    weights: Floats,
    stated: bool,
    seed: int,
    count: int,
    full: bool,
) -> Acceptability:
    # Points belong to a framework, not to a place in a list: who else is a candidate does not change its draws.
    rows = [CANDIDATES.index(name) for name in contenders]
    points = draw(seed, len(CANDIDATES), len(CRITERIA), count)
    low = np.array([[values[name, criterion].low for criterion in CRITERIA] for name in contenders])
    high = np.array([[values[name, criterion].high for criterion in CRITERIA] for name in contenders])
    drawn = low[None] + points.value_points[:, rows] * (high - low)[None]
    return analyse(drawn, points.weights(weights, STATED_SHAPE if stated else UNKNOWN_SHAPE), full)


def _ahead_of(inputs: Inputs, found: Assessment) -> tuple[str, ...]:
    """The rivals from whom something of this project sets the leader apart, so that it is not facts about frameworks in
    general that decide alone.

    That is a stated or measured value that puts the leader ahead for certain, a wanted dimension, or, once the person
    has said what counts, any known difference.
    """
    leader, *rivals = found.leaders
    own: tuple[Criterion, ...] = ("performance", "migration", "learning")
    if inputs.needs.nice:
        own = (*own, "functions")
    if inputs.needs.weights.stated():
        own = CRITERIA
    own = tuple(criterion for criterion in own if found.weights[criterion] > 0)
    return tuple(name for name in rivals if any(_ahead(found, leader, name, criterion) for criterion in own))


def _ahead(found: Assessment, leader: str, rival: str, criterion: Criterion) -> bool:
    """Whether the leader's value is never below the rival's, and by `AHEAD` above it in the middle."""
    own, other = found.values[leader, criterion], found.values[rival, criterion]
    return own.low >= other.high and own.middle - other.middle >= AHEAD


def _answered(inputs: Inputs, found: Assessment, confirmed: bool) -> Assessment:
    if found.result is None or not confirmed:
        return found
    leaders = found.leaders
    known = _known(found, leaders[:2])
    best = found.contenders.index(leaders[0])
    firm = found.share(leaders[0]) >= FIRM and float(found.result.confidence[best]) >= CONFIDENT
    choice: Choice
    found = replace(found, known=known, ahead_of=_ahead_of(inputs, found))
    if firm and found.grounds:
        choice = _as_choice(leaders[0])
    elif len(leaders) > 1 and known >= KNOWN:
        choice = "either"
    else:
        choice = "not_enough_evidence"
    return replace(found, choice=choice)


def _known(found: Assessment, pair: tuple[str, ...]) -> float:
    """Weight on what is known of a candidate, the lower of the two: a value of width w is known to the share 1 - w."""
    shares = [
        sum(weight * (1 - found.values[name, criterion].width) for criterion, weight in found.weights.items())
        for name in pair
    ]
    return float(min(shares))


def _as_choice(candidate: str) -> Choice:
    choices: dict[str, Choice] = {"pytorch": "pytorch", "jax": "jax", "keras": "keras", "tensorflow": "tensorflow"}
    return choices[candidate]
