"""Samples of cumulative operators: each dimension, integers, ties, zeros, NaN, 0-d."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import INF, NAN, bools, floats, integers, normal, scalar

X = normal(3, 4)

SAMPLES = [
    *(
        sample(f"{op}.default", x, dim)
        for op in ("cumsum", "cumprod")
        for x in (X, integers(3, 4), bools(3, 4), integers(3, 4, low=0, high=9, dtype=torch.uint8))
        for dim in (0, -1)
    ),
    *(sample(f"{op}.default", scalar(2.0), 0) for op in ("cumsum", "cumprod", "logcumsumexp", "cummax", "cummin")),
    *(sample(f"{op}.default", integers(4), 0, dtype=torch.float32) for op in ("cumsum", "cumprod")),
    sample("cumsum.default", normal(0), 0),
    sample("cumprod.default", floats(1.0, 0.0, 2.0, 0.0, 3.0), 0),
    *(sample("logcumsumexp.default", x, -1) for x in (X, floats(-300.0, 300.0, 0.0))),
    *(
        sample(f"{op}.default", x, -1)
        for op in ("cummax", "cummin")
        for x in (X, floats(1.0, 1.0, 0.0), floats(2.0, 1.0, 3.0, 1.0, 3.0), floats(1.0, NAN, 3.0, NAN), integers(3, 4))
    ),
    *(sample(f"{op}.default", X, 0) for op in ("cummax", "cummin")),
    *(sample(f"{op}.default", floats(INF, -INF, INF), 0) for op in ("cummax", "cummin")),
]

LIMITS = [LimitSample("aten.logcumsumexp.default", "the first elements are -infinity", (floats(-INF, 0.0, 1.0), 0))]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_cumulative(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
