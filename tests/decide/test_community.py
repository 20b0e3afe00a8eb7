"""Community facts: groups of questions, answers with their dates."""

from __future__ import annotations

from regauge.decide.community import CLAIMS, GROUPS, community_of
from regauge.decide.facts import COMMON, load

BASE = load()


def test_every_group_asks_questions_that_the_base_answers() -> None:
    for dimensions in [*GROUPS.values(), CLAIMS]:
        assert set(dimensions) <= set(BASE.dimensions())


def test_every_fact_of_these_areas_is_in_one_group_or_a_claim() -> None:
    asked = [dimension for dimensions in GROUPS.values() for dimension in dimensions] + list(CLAIMS)
    assert len(asked) == len(set(asked))
    areas = {fact.dimension for fact in BASE.facts if fact.area in ("community", "governance", "status")}
    assert areas <= set(asked)


def test_the_answers_of_a_framework() -> None:
    found = community_of("jax")
    assert list(found) == list(GROUPS)
    assert [fact.id for fact in found["popularity"]] == ["jx-rank"]
    assert {"jx-cadence", "jx-latest"} <= {fact.id for fact in found["releases"]}
    assert "jx-support-window" in {fact.id for fact in found["support"]}
    assert all(fact.about and fact.sources for facts in found.values() for fact in facts)


def test_what_is_not_known_is_left_out() -> None:
    assert [fact.id for fact in community_of("mxnet")["releases"]] == ["mx-status"]
    assert community_of("mxnet")["popularity"] == ()
    assert [fact.id for fact in community_of(COMMON)["popularity"]] == ["xx-papers-share"]
    assert not any(community_of("no such framework").values())
