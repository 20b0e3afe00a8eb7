"""What holds for any needs: the promises of the recommendation, on generated ones."""

from __future__ import annotations

import random
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import pytest
from comparisons import store_comparison
from hypothesis import HealthCheck, assume, example, given, settings
from hypothesis import strategies as st

from regauge.decide import facts
from regauge.decide.assess import Assessment, Assumptions, assess
from regauge.decide.criteria import Inputs
from regauge.decide.evidence import Scope, Timing
from regauge.decide.facts import FactBase
from regauge.decide.libraries import KINDS
from regauge.decide.needs import CANDIDATES, CRITERIA, Device, Hardware, Needs, Target, needs_of
from regauge.decide.questions import features
from regauge.decide.recommend import recommend
from regauge.errors import BadNeeds

COUNT = 256
SEED = 3
RULES = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])

subsets = st.lists(st.sampled_from(features()), unique=True, max_size=3)
hardware = st.fixed_dictionaries(
    {},
    optional={
        "train": st.lists(st.sampled_from([d for d in get_args(Device) if d != "apple-gpu"]), unique=True, max_size=2),
        "serve": st.lists(st.sampled_from(get_args(Target)), unique=True, max_size=2),
        "devices": st.integers(4, 64),
        "nodes": st.integers(1, 4),
        "os": st.just("linux"),
    },
)
said = st.fixed_dictionaries(
    {"kind": st.sampled_from(KINDS)},
    optional={
        "must": subsets,
        "nice": subsets,
        "hardware": hardware,
        "team": st.fixed_dictionaries(
            {"experience": st.dictionaries(st.sampled_from(CANDIDATES), st.integers(0, 5), min_size=1)}
        ),
        "timeline_weeks": st.floats(0.5, 60),
        "existing_code": st.fixed_dictionaries({"framework": st.sampled_from([*CANDIDATES, "mxnet"])}),
        "candidates": st.lists(st.sampled_from([*CANDIDATES, "theano"]), unique=True, min_size=2),
        "cases": st.just(["net.py:case"]),
    },
)
weights = st.fixed_dictionaries({}, optional={criterion: st.floats(0.01, 100) for criterion in CRITERIA}).filter(bool)
weighted = st.builds(lambda data, given: data | {"weights": given}, said, weights)
anything = st.one_of(said, weighted)


def timings(ratio: float, device: str = "cpu", task: str = "train") -> tuple[Timing, ...]:
    scope = Scope("net.py:case", task, device, "strict32")
    rest = ("5f2c", False, "2026-11-01", "build/document.json")
    return (
        Timing("pytorch", "torch eager", scope, 1.0, 1.0, 1.0, *rest),
        Timing("jax", "jax jit", scope, ratio, ratio * 0.95, ratio * 1.05, *rest),
    )


def needs(data: dict[str, Any]) -> Needs:
    try:
        return needs_of(data)
    except BadNeeds:
        assume(False)
        raise


def inputs(wanted: Needs, measured: tuple[Timing, ...] = (), base: FactBase | None = None) -> Inputs:
    return Inputs(wanted, base or facts.load(), frozenset(), measured, {})


def assessed(wanted: Needs, measured: tuple[Timing, ...] = (), base: FactBase | None = None) -> Assessment:
    return assess(inputs(wanted, measured, base), SEED, count=COUNT, full=False)


def one_less(wanted: Needs) -> list[Needs]:
    """The needs with one of them removed, in every way."""
    fewer = [wanted.model_copy(update={"must": tuple(n for n in wanted.must if n != name)}) for name in wanted.must]
    fewer += [wanted.model_copy(update={"nice": tuple(n for n in wanted.nice if n != name)}) for name in wanted.nice]
    for field in ("train", "serve"):
        for device in getattr(wanted.hardware, field):
            kept = tuple(other for other in getattr(wanted.hardware, field) if other != device)
            changed: Hardware = wanted.hardware.model_copy(update={field: kept})
            fewer.append(wanted.model_copy(update={"hardware": changed}))
    single = wanted.hardware.model_copy(update={"devices": None, "nodes": None})
    return [*fewer, wanted.model_copy(update={"hardware": single})]


@RULES
@given(anything)
def test_removing_a_need_never_eliminates_more(data: dict[str, Any]) -> None:
    wanted = needs(data)
    before = set(assessed(wanted).eliminated)
    for fewer in one_less(wanted):
        assert set(assessed(fewer).eliminated) <= before


@RULES
@given(anything, st.sampled_from(CRITERIA), st.floats(1.01, 50), st.floats(0.3, 3))
def test_a_weight_never_hurts_who_is_best_in_it(
    data: dict[str, Any], criterion: str, factor: float, ratio: float
) -> None:
    wanted = needs(data)
    given_ = inputs(wanted, timings(ratio))
    before = assess(given_, SEED, count=COUNT, full=False)
    assume(len(before.contenders) > 1)
    best = [
        name
        for name in before.contenders
        if all(
            before.values[name, criterion].low >= before.values[other, criterion].high
            for other in before.contenders
            if other != name
        )
    ]
    assume(best)
    after = assess(given_, SEED, Assumptions(weights={criterion: factor}), COUNT, full=False)
    for name in best:
        assert after.share(name) >= before.share(name) - 1e-12


@RULES
@given(anything, st.randoms(use_true_random=False))
def test_the_order_of_lists_means_nothing(data: dict[str, Any], source: random.Random) -> None:
    shuffled = {key: shuffle(value, source) for key, value in data.items()}
    one, other = needs(data), needs(shuffled)
    assert one == other
    assert assessed(one).choice == assessed(other).choice


def shuffle(value: Any, source: random.Random) -> Any:
    if isinstance(value, dict):
        return {key: shuffle(item, source) for key, item in source.sample(list(value.items()), len(value))}
    return source.sample(value, len(value)) if isinstance(value, list) else value


@RULES
@given(anything, st.floats(0.3, 3))
def test_duplicating_evidence_changes_nothing(data: dict[str, Any], ratio: float) -> None:
    wanted, measured = needs(data), timings(ratio)
    twice = {key: value * 2 if isinstance(value, list) else value for key, value in data.items()}
    doubled = FactBase(facts.load().facts * 2)
    assert needs(twice) == wanted
    one, other = assessed(wanted, measured), assessed(wanted, measured * 2, doubled)
    assert (one.choice, one.eliminated, one.open, one.values) == (
        other.choice,
        other.eliminated,
        other.open,
        other.values,
    )
    assert [one.share(name) for name in one.contenders] == [other.share(name) for name in other.contenders]


UNSAID = ("must", "nice", "hardware", "team", "existing_code", "weights")


@RULES
@given(said)
def test_nothing_said_never_gives_a_firm_choice(data: dict[str, Any]) -> None:
    bare = needs({key: value for key, value in data.items() if key not in UNSAID})
    assert assessed(bare).choice in ("either", "not_enough_evidence")


@RULES
@given(said)
def test_no_evidence_and_no_weights_never_give_a_firm_choice(data: dict[str, Any]) -> None:
    wanted = needs({key: value for key, value in data.items() if key not in ("team", "existing_code")})
    assert assessed(wanted, (), FactBase(())).choice in ("either", "not_enough_evidence")


@RULES
@given(anything, st.floats(0.3, 3))
def test_every_reason_resolves_to_evidence_that_counts(data: dict[str, Any], ratio: float) -> None:
    wanted = needs(data)
    assume(assessed(wanted).contenders)
    found = recommend(wanted, seed=SEED, count=COUNT, sensitivity=False)
    evidence = {item.id: item for item in found.evidence}
    for reason in (*found.reasons, *found.against):
        assert reason.evidence
        assert all(evidence[id].counts for id in reason.evidence)


@RULES
@given(anything)
@example({"kind": "vision", "weights": {"community": 0.03125, "migration": 1.0}})  # decided by a small difference
def test_a_firm_choice_has_a_reason(data: dict[str, Any]) -> None:
    wanted = needs(data)
    assume(assessed(wanted).contenders)
    found = recommend(wanted, seed=SEED, count=COUNT, sensitivity=False)
    assume(found.firm)
    assert [reason for reason in found.reasons if reason.about == found.choice]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.filter_too_much])
@given(anything, st.integers(0, 2**31))
def test_the_same_seed_gives_the_same_answer(data: dict[str, Any], seed: int) -> None:
    wanted = needs(data)
    assume(assessed(wanted).contenders)
    one = recommend(wanted, seed=seed, count=COUNT)
    other = recommend(wanted, seed=seed, count=COUNT)
    assert replace(one, created="") == replace(other, created="")


def test_results_in_two_places_count_once(tmp_path: Path) -> None:
    wanted = needs_of({"kind": "other", "cases": ["net.py:case"], "hardware": {"train": ["cpu"]}})
    for place in ("one", "two"):
        store_comparison(tmp_path / place, ratio=0.5)
    once = recommend(wanted, results=[tmp_path / "one"], sensitivity=False)
    twice = recommend(wanted, results=[tmp_path / "one", tmp_path / "two", tmp_path], sensitivity=False)
    assert once.ranking == twice.ranking
    assert len([item for item in twice.evidence if item.kind == "measured"]) == 2


@pytest.mark.parametrize("kind", KINDS)
def test_bare_needs_of_every_kind(kind: str) -> None:
    assert recommend(needs_of({"kind": kind}), sensitivity=False).choice == "not_enough_evidence"
