"""Named projects whose answers are argued in a table: they hold for a range of seeds, and the document shows them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from regauge.decide import facts
from regauge.decide.needs import needs_of
from regauge.decide.recommend import recommend

SCENARIOS: list[dict[str, Any]] = yaml.safe_load((Path(__file__).parent / "scenarios.yaml").read_text(encoding="utf-8"))
DOCUMENT = Path(__file__).parents[2] / "docs" / "choosing.md"
SEEDS = range(10)


def name_of(scenario: dict[str, Any]) -> str:
    return str(scenario["name"])


def test_there_are_enough_of_every_answer() -> None:
    assert len(SCENARIOS) >= 20
    assert len({name_of(scenario) for scenario in SCENARIOS}) == len(SCENARIOS)
    assert {scenario["choice"] for scenario in SCENARIOS} >= {"pytorch", "jax", "either", "not_enough_evidence"}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_the_answer_holds_for_every_seed(scenario: dict[str, Any]) -> None:
    needs = needs_of(scenario["needs"])
    answers = {recommend(needs, seed=seed, sensitivity=False).choice for seed in SEEDS}
    assert answers == {scenario["choice"]}


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_the_argument_names_facts_that_the_answer_used(scenario: dict[str, Any]) -> None:
    found = recommend(needs_of(scenario["needs"]), sensitivity=False)
    used = {item.id for item in found.evidence if item.counts}
    assert set(scenario["facts"]) <= used
    assert all(facts.load().by_id(id) for id in scenario["facts"])


@pytest.mark.parametrize("scenario", SCENARIOS, ids=name_of)
def test_every_reason_resolves(scenario: dict[str, Any]) -> None:
    found = recommend(needs_of(scenario["needs"]), sensitivity=False)
    known = {item.id: item for item in found.evidence}
    for reason in (*found.reasons, *found.against):
        assert reason.evidence
        for id in reason.evidence:
            assert known[id].counts
            assert id.startswith("stated:") or facts.load().by_id(id).sources


def table() -> str:
    """The table of the document."""
    rows = ["| project | answer | because | facts |", "| --- | --- | --- | --- |"]
    for scenario in SCENARIOS:
        ids = ", ".join(f"`{id}`" for id in scenario["facts"])
        rows.append(f"| {scenario['name']} | {scenario['choice']} | {scenario['because']} | {ids} |")
    return "\n".join(rows)


def test_the_document_shows_this_list() -> None:
    assert table() in DOCUMENT.read_text(encoding="utf-8")
