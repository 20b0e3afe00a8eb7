"""Evidence: each figure counts within its scope and nowhere else; facts count as long as no check contradicts them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import store_comparison

from regauge.decide import facts
from regauge.decide.criteria import EXACT, UNKNOWN, fact_value, ratio_at, speed_value
from regauge.decide.evidence import command_for, device_kind, find_timings, questions_of, same_case
from regauge.decide.fact_checks import CheckResult
from regauge.decide.fact_results import store
from regauge.decide.needs import needs_of
from regauge.decide.recommend import recommend
from regauge.decide.recommendation import Recommendation
from regauge.errors import BadNeeds, BadResult
from regauge.measure.store import Store

NEEDS: dict[str, Any] = {
    "kind": "other",
    "cases": ["net.py:case"],
    "hardware": {"train": ["cpu"]},
    "team": {"experience": {"pytorch": 3, "jax": 3}},
    "weights": {"performance": 3, "learning": 1},
    "candidates": ["pytorch", "jax"],
}


def chosen(place: Path, **changes: Any) -> Recommendation:
    return recommend(needs_of(NEEDS | changes), results=[place], sensitivity=False)


def test_a_figure_in_scope_decides(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5)
    found = chosen(tmp_path)
    assert found.choice == "jax"
    (measured,) = [reason for reason in found.reasons if "performance" in reason.text]
    assert any(id.startswith("measured:5f2c/train/") for id in measured.evidence)
    assert not [item for item in found.unknowns if "compare" in item.settle]


def test_the_same_figure_the_other_way_round(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=2.0)
    assert chosen(tmp_path).choice == "pytorch"


def test_equal_times_are_either(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=1.0)
    assert chosen(tmp_path).choice == "either"


OTHERS: dict[str, dict[str, Any]] = {
    "another device": {"device": "gpu", "name": "NVIDIA H100 80GB HBM3"},
    "another case": {"case": "other.py:case"},
    "another precision": {"precision": "tf32"},
    "another task": {"tasks": ("infer",)},
    "a device that nobody knows": {"device": "gpu", "name": "Voodoo 2"},
}


@pytest.mark.parametrize("name", OTHERS)
def test_a_figure_out_of_scope_is_listed_and_supports_nothing(name: str, tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5, **OTHERS[name])
    found = chosen(tmp_path)
    without = chosen(tmp_path / "empty")
    assert (found.choice, found.ranking, found.reasons) == (without.choice, without.ranking, without.reasons)
    measured = [item for item in found.evidence if item.kind == "measured"]
    assert len(measured) == 2
    assert all(not item.counts and item.limits.startswith("out of scope") for item in measured)
    settled = [(item.settle, item.where) for item in found.unknowns]
    assert ("regauge compare net.py:case --tasks train", "on a machine with cpu") in settled


def test_the_precision_of_the_needs_decides(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5, precision="tf32")
    found = chosen(tmp_path, precision="tf32")
    assert found.choice == "jax"
    question = questions_of(needs_of(NEEDS | {"precision": "tf32", "cases": []}))[0]
    assert command_for(question) == "regauge compare CASE --tasks train --precision tf32"


def test_without_a_case_no_figure_counts(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5)
    assert chosen(tmp_path, cases=[]).choice == "not_enough_evidence"


def test_a_figure_for_training_says_nothing_about_serving(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5)
    hardware = {"train": ["cpu"], "serve": ["cpu"]}
    found = chosen(tmp_path, hardware=hardware)
    assert "regauge compare net.py:case --tasks infer" in [item.settle for item in found.unknowns]
    low, high = next(row for row in found.ranking if row.candidate == "jax").values["performance"]
    assert high - low == pytest.approx(0.5, abs=0.01)  # half of it is known


def test_measured_evidence_resolves_to_stored_launches(tmp_path: Path) -> None:
    store_comparison(tmp_path, ratio=0.5, tasks=("train", "infer"))
    found = chosen(tmp_path)
    stored = {(m.run, m.task, m.variant) for m in Store(tmp_path).load()}
    ids = {item.id for item in found.evidence if item.kind == "measured"}
    assert {tuple(id.removeprefix("measured:").split("/")) for id in ids} == stored


def test_every_result_one_level_below_is_found(tmp_path: Path) -> None:
    store_comparison(tmp_path / "one", run="aaaa")
    store_comparison(tmp_path / "two", run="bbbb")
    assert {timing.run for timing in find_timings([tmp_path])} == {"aaaa", "bbbb"}


def test_a_damaged_result_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "document.json").write_text("{", encoding="utf-8")
    with pytest.raises(BadResult):
        find_timings([tmp_path])


@pytest.mark.parametrize(
    ("device", "kind"),
    [
        ({"kind": "cpu", "name": "cpu"}, "cpu"),
        ({"kind": "gpu", "name": "NVIDIA H100 80GB HBM3"}, "nvidia-gpu"),
        ({"kind": "gpu", "name": "TPU v5 lite"}, "tpu"),
        ({"kind": "gpu", "name": "AMD Instinct MI300X"}, "amd-gpu"),
        ({"kind": "gpu", "name": "something"}, "unknown"),
        (None, "unknown"),
    ],
)
def test_devices_in_the_words_of_the_needs(device: Any, kind: str) -> None:
    assert device_kind(device) == kind


def test_cases_are_the_same_by_file_and_name(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert same_case("net.py:case", f"{tmp_path}/net.py:case")
    assert not same_case("net.py:case", "net.py:other")
    assert not same_case("digits", "minilm")


def test_the_scale_of_step_times() -> None:
    assert [speed_value(ratio) for ratio in (0.25, 0.5, 1, 2, 4)] == pytest.approx([1, 0.75, 0.5, 0.25, 0])
    assert (speed_value(100), speed_value(0.001)) == (0.0, 1.0)
    assert ratio_at(speed_value(1.7)) == pytest.approx(1.7)


def contradict(id: str, place: Path) -> None:
    fact = facts.load().by_id(id)
    assert fact.check is not None
    store([CheckResult(id, "stale", "", expr=fact.check.expr)], place)


def test_a_stale_fact_eliminates_nobody(tmp_path: Path) -> None:
    needs = needs_of({"must": ["float64_available_by_default"]})
    before = recommend(needs, sensitivity=False)
    assert [row.fact for row in before.eliminated] == ["jx-float64"]
    contradict("jx-float64", tmp_path)
    after = recommend(needs, results=[tmp_path], sensitivity=False)
    assert after.eliminated == ()
    assert any("jx-float64 does not decide it, stale" in item.text for item in after.unknowns)
    (stale,) = [item for item in after.evidence if item.id == "jx-float64"]
    assert not stale.counts


def test_values_of_facts() -> None:
    base = facts.load()
    assert fact_value(base.by_id("pt-onnx")) == EXACT
    assert fact_value(base.by_id("jx-onnx")) == (0.25, 0.75)
    assert fact_value(base.by_id("jx-float64")) == (0.0, 0.0)
    assert fact_value(base.by_id("pt-onnx"), {"pt-onnx"}) == UNKNOWN
    assert fact_value(replace(base.by_id("pt-onnx"), confidence="low")) == UNKNOWN
    ranks = [fact_value(base.by_id(id))[0] for id in ("pt-rank", "tf-rank", "jx-rank", "kr-rank")]
    assert ranks == sorted(ranks, reverse=True)
    assert ranks[1] - ranks[3] < 0.01  # near ties stay near ties


def test_claims_are_shown_and_count_for_nothing() -> None:
    found = recommend(needs_of({"kind": "control", "candidates": ["pytorch", "jax"]}), sensitivity=False)
    (claim,) = [item for item in found.evidence if item.id == "jx-purejaxrl-claim"]
    assert not claim.counts
    assert "jx-purejaxrl-claim" not in {id for reason in (*found.reasons, *found.against) for id in reason.evidence}


def test_nobody_left_says_which_need_removed_whom() -> None:
    needs = needs_of({"must": ["float64_available_by_default"], "candidates": ["jax", "theano"]})
    with pytest.raises(BadNeeds) as caught:
        recommend(needs)
    assert caught.value.code == "N120"
    assert caught.value.exit_code == 2
    jax, statement, theano, _ended = caught.value.details
    assert jax.startswith("jax is removed by must: float64_available_by_default: jx-float64, github.com/jax-ml/jax@")
    assert statement.strip() == facts.load().by_id("jx-float64").statement
    assert theano.startswith("theano is removed by candidates: th-status, ")


def test_a_retired_code_base_is_told_status_date_and_successor() -> None:
    found = recommend(needs_of({"existing_code": {"framework": "theano"}}), sensitivity=False)
    (told,) = [reason for reason in found.reasons if reason.about == "theano"]
    assert told.text == "Theano has ended (2024-01), successor: pytensor"
    (fact,) = [item for item in found.evidence if item.id in told.evidence]
    assert fact.urls
