"""Samples of numerical derivatives and integrals: steps and coordinates, both orders at the ends, integers."""

import pytest
from harness import Sample, check, sample
from values import floats, integers, normal

X = normal(4, 5)
PLACES = floats(0.0, 0.5, 2.0, 3.0, 7.0)

SAMPLES = [
    sample("gradient.scalarint", X),
    sample("gradient.scalarint", X, spacing=2.0, dim=1, edge_order=2),
    sample("gradient.scalarint", integers(6), spacing=2),
    sample("gradient.scalararray", X, spacing=0.5, dim=[1, 0]),
    sample("gradient.array", X, dim=[0], edge_order=2),
    sample("gradient.scalarrayint", X, spacing=[0.5, 2.0]),
    sample("gradient.scalarrayint", X, spacing=[0.5], dim=0),
    sample("gradient.scalarrayarray", X, spacing=[0.5, 2.0], dim=[1, 0], edge_order=2),
    sample("gradient.tensorarrayint", X, spacing=[PLACES], dim=1),
    sample("gradient.tensorarray", X, spacing=[PLACES], dim=[1], edge_order=2),
    sample("cumulative_trapezoid.dx", X, dx=0.5, dim=0),
    sample("cumulative_trapezoid.dx", X),
    sample("cumulative_trapezoid.x", X, PLACES),
    sample("cumulative_trapezoid.x", X, normal(4, 5, key="x"), dim=0),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_rule(case: Sample) -> None:
    check(case)
