"""Values of two traces are paired whatever their layout, and a region without counterparts begins where it must."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from regauge.run.tracing import Trace, fingerprint
from regauge.verify.alignment import Alignment, TracedSide

RNG = np.random.default_rng(0)
X = RNG.standard_normal((3, 4, 5))


def traced(*nodes: tuple[str, list[int], np.ndarray | None], result: int) -> TracedSide:
    """A side: operation, origins and value of each node; the first is the input."""
    trace = Trace()
    trace.add("input", "", -1, [], None)
    for operation, origins, value in nodes:
        trace.add(operation, operation, -1, origins, None if value is None else fingerprint(value))
    trace.results["outputs"] = result
    data: dict[str, Any] = trace.to_json()
    return TracedSide(data)


def test_a_value_is_the_same_in_another_layout() -> None:
    alignment = Alignment(
        traced(("conv", [0], X), result=1),
        traced(("conv", [0], np.moveaxis(X, 1, -1).copy()), result=1),
    )
    assert alignment.is_same(0, 1)
    assert alignment.distance(1, 1) == pytest.approx(0, abs=1e-14)


def test_the_smallest_difference_counts() -> None:
    alignment = Alignment(traced(("norm", [0], X), result=1), traced(("norm", [0], X * (1 + 4e-8)), result=1))
    assert not alignment.is_same(0, 1)
    distance = alignment.distance(0, 1)
    assert distance is not None
    assert 1e-8 < distance < 1e-7


def test_another_factoring_of_a_formula_is_no_difference() -> None:
    ours = traced(("scaled", [0], X * 3), ("scores", [1], X**2), ("wrong", [2], X + 1), ("after", [3], X + 2), result=4)
    theirs = traced(("scores", [0], X**2), ("wrong", [1], X + 1.1), ("after", [2], X + 2.2), result=3)
    alignment = Alignment(ours, theirs)
    region = alignment.region(0, ["outputs"])
    assert [ours.nodes[n]["op"] for n in region] == ["wrong", "after"]
    first = alignment.first(0, region)
    assert first is not None
    assert ours.nodes[first]["op"] == "wrong"
    other = alignment.first(1, alignment.region(1, ["outputs"]))
    assert other is not None
    assert theirs.nodes[other]["op"] == "wrong"


def test_what_other_values_with_a_counterpart_are_made_of_is_not_blamed() -> None:
    """A mask that the other side writes in another way, and that an earlier, equal layer uses too."""
    mask = np.where(X > 0, 0.0, -1e9)
    ours = traced(
        ("mask", [0], mask), ("layer1", [0, 1], X**2), ("wrong", [2], X + 1), ("layer2", [1, 3], X + 2), result=4
    )
    theirs = traced(("layer1", [0], X**2), ("wrong", [1], X + 1.1), ("layer2", [2], X + 2.2), result=3)
    alignment = Alignment(ours, theirs)
    first = alignment.first(0, alignment.region(0, ["outputs"]))
    assert first is not None
    assert ours.nodes[first]["op"] == "wrong"


def test_what_is_made_of_weights_alone_differs_where_it_is_used() -> None:
    trace = Trace()
    trace.add("weight", "norm", -1, [], None)
    trace.add("input", "", -1, [], None)
    trace.add("broadcast", "norm", -1, [0], fingerprint(X[0]))
    trace.add("pool", "pool", -1, [1], fingerprint(X))
    trace.add("norm", "norm", -1, [2, 3], fingerprint(X + 1))
    trace.results["outputs"] = 4
    side = TracedSide(trace.to_json())
    alignment = Alignment(side, traced(("pool", [0], X * 2), ("norm", [1], X * 3), result=2))
    first = alignment.first(0, alignment.region(0, ["outputs"]))
    assert first is not None
    assert side.nodes[first]["op"] == "pool"


def test_huge_values_are_compared_without_a_warning() -> None:
    huge = X * 1e200
    alignment = Alignment(traced(("a", [0], huge), result=1), traced(("a", [0], huge.T.copy()), result=1))
    assert alignment.is_same(0, 1)


def test_places_of_nan_count() -> None:
    holed = X.copy()
    holed[0, 0, 0] = np.nan
    alignment = Alignment(traced(("a", [0], holed), result=1), traced(("a", [0], X), result=1))
    assert not alignment.is_same(0, 1)
