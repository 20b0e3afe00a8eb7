"""Samples of quantiles, areas and covariances."""

import pytest
from harness import Sample, check, sample
from values import NAN, floats, integers, normal, scalar, uniform

X = normal(3, 5)
SOME_MISSING = floats(1.0, NAN, 3.0, 2.0)

SAMPLES = [
    *(
        sample(f"{op}.default", X, q, dim, keep)
        for op in ("quantile", "nanquantile")
        for q in (floats(0.1, 0.5, 0.9), scalar(0.3))
        for dim, keep in ((None, False), (1, True))
    ),
    *(
        sample(f"{op}.scalar", X, 0.3, 0, interpolation=method)
        for op in ("quantile", "nanquantile")
        for method in ("linear", "lower", "higher", "midpoint", "nearest")
    ),
    sample("nanquantile.scalar", SOME_MISSING, 0.4),
    *(sample(f"{op}.scalar", scalar(2.0), 0.3, 0) for op in ("quantile", "nanquantile")),
    *(sample(f"{op}.default", scalar(2.0), floats(0.1, 0.5), -1, True) for op in ("quantile", "nanquantile")),
    *(sample(f"{op}.dx", X, dx=0.5, dim=dim) for op in ("trapezoid", "trapz") for dim in (0, -1) if op != "trapz"),
    sample("trapz.dx", X, dx=0.5),
    *(sample(f"{op}.x", X, normal(5, key="x")) for op in ("trapezoid", "trapz")),
    *(sample("cov.default", X, correction=c) for c in (0, 1)),
    sample("cov.default", X, fweights=integers(5, low=1), aweights=uniform(5)),
    sample("corrcoef.default", X),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_order_statistics(case: Sample) -> None:
    check(case)
