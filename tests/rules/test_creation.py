"""Samples of new arrays: default and given dtypes, empty sizes, fractional steps."""

import pytest
import torch
from harness import Sample, check, sample
from values import integers, normal, scalar

X, N = normal(3, 4), integers(3)
DTYPES = (None, torch.float32, torch.int64, torch.bool)

SAMPLES = [
    *(sample(f"{op}.default", [2, 3], dtype=dtype) for op in ("zeros", "ones") for dtype in DTYPES),
    sample("zeros.default", []),
    *(sample("full.default", [2], value) for value in (1, 1.5, True)),
    sample("full.default", [2], 1, dtype=torch.float32),
    *(sample(f"{op}.default", x) for op in ("zeros_like", "ones_like") for x in (X, N)),
    *(sample(f"{op}.default", X, dtype=torch.int64) for op in ("zeros_like", "ones_like")),
    sample("full_like.default", X, 2),
    sample("full_like.default", N, 2),
    sample("full_like.default", N, 0.5, dtype=torch.float32),
    *(sample(f"{op}.default", x, [2]) for op in ("new_zeros", "new_ones") for x in (X, N)),
    *(sample(f"{op}.default", X, [2], dtype=torch.bool) for op in ("new_zeros", "new_ones")),
    sample("new_full.default", N, [2, 2], 3),
    sample("new_full.default", N, [2, 2], 0.5, dtype=torch.float32),
    sample("fill.Scalar", X, 2),
    sample("fill.Tensor", X, scalar(2.0)),
    sample("zero.default", X),
    *(sample("scalar_tensor.default", s, dtype=dtype) for s, dtype in ((2.5, None), (2, torch.int64), (2, None))),
    *(sample("arange.default", end) for end in (5, 0, 5.5)),
    sample("arange.default", 5, dtype=torch.float32),
    sample("arange.default", 3.1, dtype=torch.int64),
    sample("arange.start", 0.5, 3.1, dtype=torch.int64),
    *(sample("arange.start_step", *a, dtype=torch.int64) for a in ((0.1, -7.9, -4.0), (-0.9, 2.1, 2.0))),
    *(sample("arange.start", *a) for a in ((2, 7), (0.5, 4.0))),
    sample("arange.start", 2, 7, dtype=torch.float32),
    *(sample("arange.start_step", *a) for a in ((1, 10, 3), (10, 0, -3), (0.0, 1.0, 0.1), (5, 0, -0.7), (1, 6))),
    sample("arange.start_step", 0, 6, 2, dtype=torch.float32),
    *(sample("linspace.default", 0.0, 1.0, n) for n in (5, 1, 0)),
    sample("linspace.default", -1, 1, 4, dtype=torch.float32),
    sample("logspace.default", 0.0, 2.0, 5),
    *(sample("eye.default", 3, dtype=dtype) for dtype in (None, torch.int64)),
    sample("eye.m", 2, 3),
    *(sample(f"{op}.default", 3, 4, k) for op in ("tril_indices", "triu_indices") for k in (0, 1, -1)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_creation(case: Sample) -> None:
    check(case)
