"""Reasons for and against the leader, each with the evidence that it rests on."""

from __future__ import annotations

from collections.abc import Iterator

from regauge.decide.assess import Assessment
from regauge.decide.criteria import Inputs, Part, Value
from regauge.decide.fact_words import FRAMEWORKS
from regauge.decide.needs import CRITERIA, Criterion
from regauge.decide.recommendation import Reason

# A difference of weight times value below this hardly moves a share: it is not worth a sentence.
WORTH_SAYING = 0.02


def reasons_of(inputs: Inputs, found: Assessment) -> tuple[tuple[Reason, ...], tuple[Reason, ...]]:
    """What speaks for the leader and what against it.

    The leader is the choice, or who ranks first most often where there is no firm choice. Only what rests on evidence
    is a reason: a value that nobody knows is an unknown.
    """
    leader, *rivals = found.leaders
    for_, against = [*_met(found, leader)], [*_open(found, leader)]
    compared = [one for rival in rivals or _open_rivals(found) for one in _compared(found, leader, rival)]
    for_ += [reason for difference, reason in compared if difference >= WORTH_SAYING]
    against += [reason for difference, reason in compared if difference <= -WORTH_SAYING]
    ahead = [one for one in compared if one[0] > 0]
    if ahead and not for_:  # a small one may decide where nothing else differs
        for_.append(max(ahead, key=lambda one: one[0])[1])
    against += _missing(inputs, found, leader)
    for_ += _ended(inputs)
    return tuple(dict.fromkeys(for_)), tuple(dict.fromkeys(against))


def _met(found: Assessment, leader: str) -> Iterator[Reason]:
    for judgement in found.judgements:
        if judgement.candidate == leader and judgement.answer == "yes" and judgement.fact is not None:
            text = f"{FRAMEWORKS[leader]} is shown to meet {judgement.requirement.need}"
            yield Reason(text, leader, (judgement.fact.id,))


def _open(found: Assessment, leader: str) -> Iterator[Reason]:
    for judgement in found.open.get(leader, ()):
        if judgement.fact is not None:
            text = f"{FRAMEWORKS[leader]} meets {judgement.requirement.need} in part only"
            if judgement.note:
                text = f"a doubtful fact about {FRAMEWORKS[leader]} leaves {judgement.requirement.need} open"
            yield Reason(text, leader, (judgement.fact.id,))


def _open_rivals(found: Assessment) -> list[str]:
    """Whom a leader without rivals is compared with: who would be one if their open needs were settled."""
    return [name for name in found.open if name not in found.contenders][:1]


def _compared(found: Assessment, leader: str, rival: str) -> Iterator[tuple[float, Reason]]:
    """Criteria that something speaks about, each with how far it moves the share of the leader."""
    for criterion in CRITERIA:
        reason = _criterion(found, leader, rival, criterion)
        if reason is not None:
            yield found.weights[criterion] * _gap(found, leader, rival, criterion), reason


def _gap(found: Assessment, leader: str, rival: str, criterion: Criterion) -> float:
    return found.values[leader, criterion].middle - found.values[rival, criterion].middle


def _criterion(found: Assessment, leader: str, rival: str, criterion: Criterion) -> Reason | None:
    """A sentence on one criterion, if it rests on something whatever is unknown."""
    own, other = found.values[leader, criterion], found.values[rival, criterion]
    name, rival_name = FRAMEWORKS[leader], FRAMEWORKS[rival]
    if _rests(own) and not _rests(other) and own.low >= other.high:
        text = f"{name} cannot be behind {rival_name} in {criterion}: nothing is above {_bounds(own)}"
        return Reason(text, leader, tuple(dict.fromkeys(part.evidence for part in own.parts if part.evidence)))
    evidence = tuple(dict.fromkeys([*_telling(own, other), *_telling(other, own)]))
    if not evidence or not _rests(own) or not _rests(other):
        return None
    text = f"{name} is behind {rival_name} in {criterion}: {_bounds(own)} against {_bounds(other)}"
    if own.middle > other.middle:
        text = f"{name} is ahead of {rival_name} in {criterion}: {_bounds(own)} against {_bounds(other)}"
    return Reason(text, leader, evidence)


def _rests(value: Value) -> bool:
    return any(part.evidence for part in value.parts)


def _telling(own: Value, other: Value) -> list[str]:
    """Evidence of the parts in which the two differ."""
    theirs: dict[str, Part] = {part.what: part for part in other.parts}
    found = []
    for part in own.parts:
        match = theirs.get(part.what)
        if part.evidence and (match is None or (part.low, part.high) != (match.low, match.high)):
            found.append(part.evidence)
    return found


def _bounds(value: Value) -> str:
    low, high = round(value.low, 2), round(value.high, 2)
    return f"{low:g}" if low == high else f"{low:g}–{high:g}"


def _missing(inputs: Inputs, found: Assessment, leader: str) -> Iterator[Reason]:
    """What the leader does not have although it was wanted or matters for this kind of project."""
    name = FRAMEWORKS[leader]
    for part in found.values[leader, "functions"].parts:
        if not part.evidence or part.high == 1:
            continue
        wanted = part.what in inputs.needs.nice
        if part.high == 0:
            text = f"{name} lacks {part.what}, which was wanted"
            if not wanted:
                text = f"{name} lacks {part.what}, which matters for this kind of project"
        else:
            text = f"{name} has {part.what} in part only, which was wanted"
            if not wanted:
                text = f"{name} has {part.what} in part only, which matters for this kind of project"
        yield Reason(text, leader, (part.evidence,))


def _ended(inputs: Inputs) -> Iterator[Reason]:
    """A retired framework that the person named: its state, date and successor."""
    code = inputs.needs.existing_code
    named = list(inputs.needs.candidates) + ([code.framework] if code else []) + list(inputs.needs.team.experience)
    for name in dict.fromkeys(named):
        ended = inputs.base.retired(name)
        if ended is None:
            continue
        successor = ended.successor or "none was named"
        yield Reason(f"{FRAMEWORKS[name]} has ended ({ended.date}), successor: {successor}", name, (ended.fact_id,))
