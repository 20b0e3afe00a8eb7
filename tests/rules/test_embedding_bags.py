"""Samples of embedding bags: every mode, empty bags, equal rows, padding, weights of indices, frequencies."""

from itertools import product

import pytest
import torch
from harness import Sample, check, sample
from values import ints, normal, uniform

ROWS = normal(5, 3)
EQUAL = torch.ones(5, 3)
INDICES = ints(0, 2, 1, 1, 3, 1)
OFFSETS = ints(0, 2, 2, 5)

SAMPLES = [
    *(
        sample("embedding_bag.padding_idx", rows, INDICES, OFFSETS, frequency, mode, False, None, False, padding)
        for rows, (frequency, mode), padding in product(
            (ROWS.double(), EQUAL.double()), ((False, 0), (True, 0), (False, 1), (True, 1), (False, 2)), (None, 1)
        )
    ),
    sample("embedding_bag.padding_idx", ROWS, INDICES, OFFSETS, False, 1, False, None, False, None),
    sample(
        "embedding_bag.padding_idx", ROWS.double(), INDICES, OFFSETS, False, 0, False, uniform(6).double(), False, 1
    ),
    sample("embedding_bag.padding_idx", ROWS.double(), INDICES, ints(0, 2, 6), False, 1, False, None, True, None),
    sample("embedding_bag.default", ROWS.double(), INDICES, OFFSETS, False, 2),
    sample("embedding_bag.default", ROWS.double(), INDICES, OFFSETS),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_embedding_bags(case: Sample) -> None:
    check(case)
