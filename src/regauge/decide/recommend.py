"""From needs to a recommendation: collects the evidence, assesses, and says why, what against, and what is not known.

    recommendation = recommend(read_needs(Path("NEEDS.yaml")), results=[Path("build")])
    recommendation.choice, recommendation.reasons, recommendation.flips_if

`recommendation` holds the types, `assess` the decision, `sensitivity` what would change it.
"""

from __future__ import annotations

import datetime
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from regauge.decide import evidence as ev
from regauge.decide import facts
from regauge.decide.acceptability import DRAWS
from regauge.decide.assess import Assessment, assess
from regauge.decide.community import CLAIMS
from regauge.decide.criteria import Inputs
from regauge.decide.facts import Fact, FactBase
from regauge.decide.migration import migration_of
from regauge.decide.needs import CRITERIA, Needs
from regauge.decide.reasons import reasons_of
from regauge.decide.recommendation import Eliminated, Ranked, Recommendation
from regauge.decide.requirements import Judgement
from regauge.decide.sensitivity import flips_of, shifts_of
from regauge.decide.stack import Stack, stack_for
from regauge.decide.unknowns import unknowns_of
from regauge.errors import BadNeeds


def recommend(
    needs: Needs,
    *,
    results: Sequence[Path] = (),
    seed: int = 0,
    base: FactBase | None = None,
    count: int = DRAWS,
    sensitivity: bool = True,
) -> Recommendation:
    """The recommendation for needs.

    Args:
        results: output directories of ``regauge compare`` and ``regauge facts --check``.
        seed: of the draws; the same seed gives the same recommendation.
        base: the facts; those of the package when None.
        count: draws, a power of two.
        sensitivity: whether `flips_if` and `shifts` are computed, which takes most of the time.

    Raises:
        BadNeeds: no candidate is left; the message says which need and which fact removed each.
        BadResult: a stored result is damaged.
        RegaugeError: the existing code cannot be audited.
    """
    base = base or facts.load()
    known = _checked_facts(results)
    timings = ev.find_timings(results)
    costs, audits = migration_of(needs)
    inputs = Inputs(needs, base, known.stale, timings, costs)
    found = assess(inputs, seed, count=count)
    _require_candidates(found)
    reasons, against = reasons_of(inputs, found)
    used = {id for reason in (*reasons, *against) for id in reason.evidence}
    return Recommendation(
        choice=found.choice,
        ranking=_ranking(found),
        eliminated=tuple(
            _eliminated(judgement) for judgements in found.eliminated.values() for judgement in judgements
        ),
        reasons=reasons,
        against=against,
        flips_if=flips_of(inputs, found, seed, count) if sensitivity else (),
        unknowns=unknowns_of(inputs, found),
        stack=_stack(needs, found),
        evidence=_evidence(inputs, found, known, audits, used),
        needs=needs,
        seed=seed,
        weights=found.weights,
        weighted=bool(needs.weights.stated()),
        known=round(found.known, 4),
        between=found.between,
        shifts=shifts_of(inputs, found, seed, count) if sensitivity else (),
        created=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )


# A claim about reinforcement learning means nothing to other projects.
RL_CLAIM = "vendor_claim_rl_speedup"


@dataclass(frozen=True)
class _Checked:
    """Which facts the stored checks confirm and contradict."""

    confirmed: frozenset[str]
    stale: frozenset[str]


def _checked_facts(results: Iterable[Path]) -> _Checked:
    from regauge.decide.fact_results import stored_results

    stored = [result for place in results for result in stored_results(place).values()]
    stale = frozenset(result.id for result in stored if result.status == "stale")
    confirmed = frozenset(result.id for result in stored if result.status == "confirmed") - stale
    return _Checked(confirmed, stale)


def _require_candidates(found: Assessment) -> None:
    """Nobody left to choose from is an error of the needs: they ask for what no candidate has."""
    if found.contenders:
        return
    lines = []
    for candidate, judgements in found.eliminated.items():
        for judgement in judgements:
            fact = judgement.fact
            if fact is not None:
                what = f"{candidate} is removed by {judgement.requirement.need}: {fact.id}, {fact.sources[0].ref}"
                lines += [what, f"  {fact.statement}"]
    raise BadNeeds(
        "no candidate is left",
        code="N120",
        why="facts contradict a need of each of them",
        next="drop one of these needs, or name other candidates",
        details=lines,
    )


def _ranking(found: Assessment) -> tuple[Ranked, ...]:
    rows = [_ranked(found, name) for name in found.contenders]
    rows += [_ranked(found, name) for name in found.open if name not in found.contenders]
    return tuple(sorted(rows, key=lambda row: (-row.acceptability, row.candidate)))


def _ranked(found: Assessment, name: str) -> Ranked:
    values = {
        criterion: (found.values[name, criterion].low, found.values[name, criterion].high) for criterion in CRITERIA
    }
    open_ = tuple(judgement.requirement.need for judgement in found.open.get(name, ()))
    if found.result is None or name not in found.contenders:
        return Ranked(name, 0.0, None, None, {}, (), values, open_)
    index = found.contenders.index(name)
    result = found.result
    known = not np.isnan(result.confidence[index])
    central = dict(zip(CRITERIA, result.central[index].round(4).tolist(), strict=True)) if known else {}
    return Ranked(
        candidate=name,
        acceptability=round(float(result.first[index]), 4),
        score=round(float(result.scores[index]), 4),
        confidence=round(float(result.confidence[index]), 4) if known else None,
        central=central,
        ranks=tuple(result.ranks[index].round(4).tolist()),
        values=values,
        open=open_,
    )


def _eliminated(judgement: Judgement) -> Eliminated:
    fact = judgement.fact
    if fact is None:
        raise BadNeeds("a candidate was removed without a fact", received=judgement.candidate)
    urls = tuple(dict.fromkeys(url for source in fact.sources for url in source.links))
    source = "; ".join(source.ref for source in fact.sources)
    return Eliminated(judgement.candidate, judgement.requirement.need, fact.id, fact.statement, source, urls)


def _stack(needs: Needs, found: Assessment) -> Stack | None:
    if found.choice in ("either", "not_enough_evidence"):
        return None
    hardware = needs.hardware
    return stack_for(
        found.choice,
        kind=needs.kind,
        train=hardware.train,
        devices=hardware.devices or 1,
        nodes=hardware.nodes or 1,
        serve=hardware.serve,
        os=hardware.os or "linux",
    )


def _evidence(
    inputs: Inputs, found: Assessment, known: _Checked, audits: Iterable[ev.Evidence], used: set[str]
) -> tuple[ev.Evidence, ...]:
    """Everything that a judgement, a value or a reason names, once each; then measurements out of scope."""
    ids = set(used)
    ids |= {judgement.fact.id for judgement in found.judgements if judgement.fact}
    ids |= {part.evidence for value in found.values.values() for part in value.parts if part.evidence}
    by_id = {fact.id: fact for fact in inputs.base.facts}
    rows = [ev.of_fact(by_id[id], known.confirmed, inputs.stale) for id in sorted(ids) if id in by_id]
    rows += [item for item in ev.statements_of(inputs.needs) if item.id in ids]
    rows += [item for item in audits if item.id in ids]
    rows += [_claim(fact, known) for fact in _claims(inputs, found)]
    questions = ev.questions_of(inputs.needs)
    for timing in inputs.timings:
        rows.append(ev.of_timing(timing, any(ev.in_scope(timing, question) for question in questions)))
    return tuple(rows)


def _claims(inputs: Inputs, found: Assessment) -> list[Fact]:
    """What vendors say about speed: shown, because a reader will have met it, and never used."""
    dimensions = [name for name in CLAIMS if name != RL_CLAIM or inputs.needs.kind == "control"]
    known = (inputs.base.get(name, dimension) for name in found.values_of() for dimension in dimensions)
    return [fact for fact in known if fact is not None]


def _claim(fact: Fact, known: _Checked) -> ev.Evidence:
    note = "a claim, not a measurement: it counts for nothing here"
    return replace(ev.of_fact(fact, known.confirmed, known.stale), counts=False, limits=note)
