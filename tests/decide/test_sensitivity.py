"""What would change the answer: every change that is named really does, and none smaller of its kind."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from comparisons import store_comparison

from regauge.decide import facts
from regauge.decide.acceptability import DRAWS
from regauge.decide.assess import Assumptions, assess
from regauge.decide.criteria import Inputs
from regauge.decide.evidence import find_timings
from regauge.decide.needs import CANDIDATES, Needs, needs_of
from regauge.decide.recommend import recommend
from regauge.decide.recommendation import Recommendation
from regauge.decide.sensitivity import WIDTH, first_change

VISION: dict[str, Any] = {
    "kind": "vision",
    "team": {"experience": {"pytorch": 4, "jax": 2}},
    "weights": {"performance": 2, "functions": 2, "community": 1, "learning": 2},
    "candidates": ["pytorch", "jax"],
}


def answer(needs: Needs, **assumed: Any) -> str:
    inputs = Inputs(needs, facts.load(), frozenset(), (), {})
    return assess(inputs, 0, Assumptions(**assumed), DRAWS, full=False).choice


def test_bisection_finds_the_first_change() -> None:
    found = first_change(lambda x: "jax" if 1.3 < x < 2.2 else "pytorch", "pytorch", 6.0)
    assert found is not None
    assert 1.3 < found[0] <= 1.3 + WIDTH
    assert found[1] == "jax"
    assert first_change(lambda x: "pytorch", "pytorch", 6.0) is None


def test_weights_flip_at_the_value_that_is_named_and_not_before() -> None:
    needs = needs_of(VISION)
    found = recommend(needs)
    flips = [flip for flip in found.flips_if if flip.kind == "weight"]
    assert flips
    for flip in flips:
        factor = float(flip.after) / float(flip.before)
        # Two digits are shown: a little beyond the value it has changed, a little before it has not.
        beyond, before = (factor**1.1, factor**0.9)
        assert answer(needs, weights={flip.subject: beyond}) == flip.choice
        assert answer(needs, weights={flip.subject: before}) == found.choice


def test_the_smallest_comes_first() -> None:
    sizes = [flip.size for flip in recommend(needs_of(VISION)).flips_if]
    assert len(sizes) >= 2
    assert sizes == sorted(sizes)


def test_dropped_and_added_needs_flip() -> None:
    needs = needs_of({"kind": "vision", "must": ["onnx_export"], "team": {"experience": {"jax": 5, "pytorch": 3}}})
    found = recommend(needs)
    dropped = [flip for flip in found.flips_if if flip.subject == "must: onnx_export"]
    assert [flip.after for flip in dropped] == ["dropped"]
    fewer = recommend(needs.model_copy(update={"must": ()}), sensitivity=False)
    assert fewer.choice == dropped[0].choice != found.choice
    added = [flip for flip in found.flips_if if flip.after == "needed"]
    assert added
    for flip in added:
        more = needs.model_copy(update={"must": (*needs.must, flip.subject.removeprefix("must: "))})
        assert recommend(more, sensitivity=False).choice == flip.choice


def test_an_open_fact_that_is_settled_flips() -> None:
    found = recommend(needs_of({"hardware": {"train": ["tpu"]}, "team": {"experience": {"jax": 3, "pytorch": 3}}}))
    assert found.choice == "jax"
    (flip,) = [flip for flip in found.flips_if if flip.kind == "fact" and flip.subject == "pytorch"]
    assert flip.text == "PyTorch is shown to meet hardware.train: tpu"
    assert flip.choice == "either"


def measured(place: Path, ratio: float) -> Recommendation:
    store_comparison(place, ratio=ratio, run=f"{ratio}")
    needs = {
        **VISION,
        "cases": ["net.py:case"],
        "hardware": {"train": ["cpu"]},
        "weights": {"performance": 4, "learning": 1},
    }
    return recommend(needs_of(needs), results=[place])


def test_a_measurement_flips_at_the_ratio_that_is_named(tmp_path: Path) -> None:
    found = measured(tmp_path / "a", 0.5)
    assert found.choice == "jax"
    flip = next(flip for flip in found.flips_if if flip.kind == "measurement")
    ratio = float(flip.after)
    assert ratio > 0.5
    assert measured(tmp_path / "beyond", ratio * 1.08).choice == flip.choice
    assert measured(tmp_path / "before", ratio * 0.92).choice == "jax"
    assert find_timings([tmp_path / "a"])


def test_a_missing_measurement_says_what_it_would_decide() -> None:
    needs = needs_of({**VISION, "hardware": {"train": ["cpu"]}, "weights": {"performance": 5, "learning": 1}})
    found = recommend(needs)
    assert found.choice == "not_enough_evidence"
    flips = {flip.choice: flip for flip in found.flips_if if flip.kind == "measurement"}
    assert set(flips) >= {"pytorch", "jax"}
    assert all(flip.before == "not measured" for flip in flips.values())


SCIENCE: dict[str, Any] = {"kind": "science", "team": {"experience": {"jax": 4, "pytorch": 2}}}


@pytest.mark.parametrize("needs", [VISION, pytest.param(SCIENCE, marks=pytest.mark.slow)], ids=["vision", "science"])
def test_changes_are_the_same_for_every_seed(needs: dict[str, Any]) -> None:
    wanted = needs_of(needs)
    runs = [recommend(wanted, seed=seed) for seed in range(4)]
    first = {(flip.kind, flip.subject, flip.choice): flip for flip in runs[0].flips_if}
    for run in runs[1:]:
        other = {(flip.kind, flip.subject, flip.choice): flip for flip in run.flips_if}
        assert other.keys() == first.keys()
        for key, flip in other.items():
            assert flip.size == pytest.approx(first[key].size, abs=0.15)


def test_shifts_start_at_the_answer() -> None:
    found = recommend(needs_of(VISION))
    shares = {row.candidate: row.acceptability for row in found.ranking}
    for shift in found.shifts:
        middle = shift.factors.index(1.0)
        for name in shift.shares:
            assert shift.shares[name][middle] == pytest.approx(shares[name], abs=1e-4)
    assert {shift.criterion for shift in found.shifts} == {"performance", "functions", "community", "learning"}


def test_without_candidates_that_nobody_measures_the_answer_is_firm(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=2.0)
    needs = {**VISION, "candidates": list(CANDIDATES), "cases": ["net.py:case"], "hardware": {"train": ["cpu"]}}
    found = recommend(needs_of({**needs, "weights": {"performance": 9, "learning": 1}}), results=[tmp_path])
    assert found.choice == "not_enough_evidence"
    flips = [flip for flip in found.flips_if if flip.subject.startswith("candidates: ")]
    assert [(flip.choice, flip.size) for flip in flips] == [("pytorch", 2.0)]
