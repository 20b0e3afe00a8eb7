"""Samples of equal steps between ends that are arrays: one step, integers, which torch cuts off, exponents."""

import pytest
import torch
from harness import Sample, check, sample
from values import scalar

START, END = scalar(-1.7), scalar(2.6)
NUMBERS = "torch reads the ends as numbers"

SAMPLES = [
    *(
        Sample(f"aten.{kind}.Tensor_Tensor", (START, END, n), no_gradient=NUMBERS)
        for kind in ("linspace", "logspace")
        for n in (5, 1)
    ),
    *(Sample(f"aten.{kind}.Tensor_Scalar", (START, 3.0, 4), no_gradient=NUMBERS) for kind in ("linspace", "logspace")),
    *(Sample(f"aten.{kind}.Scalar_Tensor", (-1.0, END, 4), no_gradient=NUMBERS) for kind in ("linspace", "logspace")),
    Sample("aten.linspace.Tensor_Tensor", (START, END, 6), {"dtype": torch.int64}, no_gradient=NUMBERS),
    Sample("aten.linspace.Tensor_Scalar", (torch.tensor(50), 1, 50), {"dtype": torch.int64}, no_gradient=NUMBERS),
    sample("linspace.default", -3.7, 10, 4, dtype=torch.int64),
    sample("linspace.default", 4, -9, 7, dtype=torch.int32),
    sample("logspace.default", 0, 3, 4, 2.0, dtype=torch.int64),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_rule(case: Sample) -> None:
    check(case)
