"""Samples of softmax: masked entries, extremes, dtypes, 0-d."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, floats, integers, normal, scalar

X = normal(3, 4)
MASKED = torch.tensor([[1.0, -INF, 2.0], [-INF, -INF, 0.0]])
FULLY_MASKED = torch.tensor([[1.0, 2.0], [-INF, -INF]])

SAMPLES = [
    *(
        sample(f"{op}.int", x, dim)
        for op in ("softmax", "log_softmax")
        for x in (X, MASKED, FULLY_MASKED)
        for dim in (-1, 0)
    ),
    *(sample(f"{op}.int", x, 0) for op in ("softmax", "log_softmax") for x in (scalar(2.0), floats(-300.0, 300.0))),
    *(sample(f"{op}.int", integers(4), 0, torch.float32) for op in ("softmax", "log_softmax")),
    *(sample(f"{op}.int", normal(4, dtype=torch.bfloat16), 0, torch.float32) for op in ("softmax", "log_softmax")),
    *(sample(f"{op}.int", X, -1, torch.float32) for op in ("softmax", "log_softmax")),
    *(sample(f"{op}.int", scalar(2, torch.int64), 0, torch.float32) for op in ("softmax", "log_softmax")),
    *(sample(f"{op}.default", x, 0, False) for op in ("_softmax", "_log_softmax") for x in (X, scalar(1.0))),
    *(sample("_safe_softmax.default", x, -1) for x in (X, MASKED, FULLY_MASKED)),
    *(
        sample(f"{op}_backward_data.default", x, y, dim, torch.float32)
        for op in ("_softmax", "_log_softmax")
        for x, y, dim in ((X, normal(3, 4, key="y"), -1), (X, normal(3, 4, key="y"), 0))
    ),
    sample("_softmax_backward_data.default", scalar(2.0), scalar(1.0), 0, torch.float32),
    *(sample(f"special_{op}.default", X, -1) for op in ("softmax", "log_softmax")),
    *(sample(f"special_{op}.default", integers(4), 0, torch.float32) for op in ("softmax", "log_softmax")),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_softmax(case: Sample) -> None:
    check(case)
