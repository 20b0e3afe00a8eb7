"""Samples of copies and casts."""

import pytest
import torch
from harness import Sample, check, sample
from values import bools, integers, normal

X = normal(3, 4)
FRACTIONS = X * 10

SAMPLES = [
    *(sample(f"{op}.default", X) for op in ("clone", "contiguous", "alias", "lift_fresh", "lift_fresh_copy")),
    sample("detach.default", X),
    Sample("aten.detach_copy.default", (X,), no_gradient="torch has none"),
    sample("_to_copy.default", X),
    *(
        sample("_to_copy.default", x, dtype=dtype)
        for x in (FRACTIONS, integers(4), bools(4))
        for dtype in (torch.float32, torch.int64, torch.int32, torch.bool, torch.bfloat16, torch.float16)
    ),
    sample("to.dtype", integers(4), torch.float32),
    sample("to.dtype", X.double(), torch.float32),
    sample("to.device", X, torch.device("cpu"), torch.bfloat16),
    sample("to.dtype_layout", X, dtype=torch.bfloat16),
    sample("to.dtype_layout", X),
    *(sample(op, integers(4), X) for op in ("to.other", "type_as.default")),
    sample("type_as.default", X, integers(4)),
    *(sample("view.dtype", integers(4, dtype=torch.int32), dtype) for dtype in (torch.int16, torch.uint8)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_copies(case: Sample) -> None:
    check(case)
