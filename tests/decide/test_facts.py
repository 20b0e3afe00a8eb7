"""The fact base as the package ships it, and what can be asked of it."""

from __future__ import annotations

import pytest

from regauge.decide import facts

BASE = facts.load()


def test_the_whole_base_is_there() -> None:
    assert len(BASE.facts) >= 187
    assert {"pytorch", "jax", "tensorflow", "keras", "theano", "aesara", "pytensor", "mxnet", "horovod"} < set(
        BASE.frameworks()
    )
    assert BASE.frameworks()[-1] == facts.COMMON


@pytest.mark.parametrize("fact", BASE.facts, ids=lambda fact: fact.id)
def test_every_fact_is_found_by_id_and_by_question(fact: facts.Fact) -> None:
    assert BASE.by_id(fact.id) is fact
    assert BASE.get(fact.framework, fact.dimension) is fact
    assert fact in BASE.of(fact.framework)
    assert fact in BASE.about(fact.dimension)
    assert fact.dimension in BASE.dimensions()


def test_an_unknown_question_has_no_answer() -> None:
    assert BASE.get("jax", "no_such_dimension") is None
    assert BASE.of("no such framework") == ()


def test_an_unknown_id_names_near_ones() -> None:
    with pytest.raises(facts.UnknownFact, match="there is no fact with the id jx-onx") as caught:
        BASE.by_id("jx-onx")
    assert "jx-onnx" in caught.value.next
    with pytest.raises(facts.UnknownFact) as caught:
        BASE.by_id("qqqqqqqqqqqq")
    assert caught.value.next == "regauge facts lists all of them"


def test_near_dimensions() -> None:
    assert BASE.near_dimensions("onnx-exprot") == ["onnx_export"]
    assert BASE.near_dimensions("dynamic shapes") == ["dynamic_shapes_in_compiled_code"]
    assert BASE.near_dimensions("qqqq") == []


@pytest.mark.parametrize(
    ("framework", "successor"),
    [
        ("theano", "pytensor"),
        ("aesara", "pytensor"),
        ("mxnet", None),
        ("horovod", "DDP/FSDP2 (PyTorch), jax.sharding (JAX)"),
    ],
)
def test_a_retired_framework(framework: str, successor: str | None) -> None:
    found = facts.retired(framework)
    assert found is not None
    fact = BASE.by_id(found.fact_id)
    assert fact.framework == framework
    assert (found.status, found.date, found.sources) == (fact.statement, fact.about, fact.sources)
    assert found.successor == successor


@pytest.mark.parametrize("framework", ["pytorch", "jax", "tensorflow", "keras", "pytensor", "common", "no such"])
def test_a_living_framework_is_not_retired(framework: str) -> None:
    assert facts.retired(framework) is None
