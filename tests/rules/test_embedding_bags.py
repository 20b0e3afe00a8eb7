"""Samples of embedding bags: every mode, empty bags, equal rows, padding, weights of indices, frequencies."""

from itertools import product

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import ints, normal, uniform

ROWS = normal(5, 3)
EQUAL = torch.ones(5, 3)
INDICES = ints(0, 2, 1, 1, 3, 1)
OFFSETS = ints(0, 2, 2, 5)

SAMPLES = [
    *(
        sample("embedding_bag.padding_idx", rows, INDICES, OFFSETS, False, mode, False, None, False, padding)
        for rows, mode, padding in product((ROWS, EQUAL), (0, 1, 2), (None, 1))
    ),
    # torch on the CPU takes the frequency of another index where they differ
    *(
        sample("embedding_bag.padding_idx", ROWS, ints(0, 2, 2, 0), ints(0, 1), True, mode, False, None, False, padding)
        for mode, padding in ((0, None), (1, None))
    ),
    sample(
        "embedding_bag.padding_idx", ROWS.double(), INDICES, OFFSETS, False, 0, False, uniform(6).double(), False, 1
    ),
    sample("embedding_bag.padding_idx", ROWS.double(), INDICES, ints(0, 2, 6), False, 1, False, None, True, None),
    *(
        sample("embedding_bag.padding_idx", ROWS, INDICES, OFFSETS, False, mode, False, None, False, -4)
        for mode in (0, 1, 2)  # a padding index that is counted from the last row
    ),
    sample("embedding_bag.default", ROWS.double(), INDICES, OFFSETS, False, 2),
    sample("embedding_bag.default", ROWS, INDICES, OFFSETS),
]

LIMITS = [
    LimitSample(
        "aten.embedding_bag.padding_idx",
        "scale_grad_by_freq is True",
        (ROWS, INDICES, OFFSETS, True, 0, False, None, False, None),
    ),
    LimitSample("aten.embedding_bag.default", "scale_grad_by_freq is True", (ROWS, INDICES, OFFSETS, True)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_embedding_bags(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
