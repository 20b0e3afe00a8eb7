"""Samples of CTC: repeated labels, empty targets, impossible ones, one after another, without a batch."""

import pytest
import torch
from harness import Sample, check, sample
from values import integers, ints, normal

SCORES = normal(7, 3, 5).log_softmax(-1)
TARGETS = torch.tensor([[1, 1, 2], [3, 4, 1], [2, 0, 0]])
LENGTHS = ints(7, 6, 4), ints(3, 2, 0)

SAMPLES = [
    *(sample("ctc_loss.Tensor", SCORES, TARGETS, *LENGTHS, 0, reduction) for reduction in (0, 1, 2)),
    sample("ctc_loss.Tensor", SCORES, ints(1, 1, 2, 3, 4), *LENGTHS, 0, 0),
    sample("ctc_loss.Tensor", normal(7, 3, 5), integers(3, 3, low=0, high=4), *LENGTHS, 4),
    sample("ctc_loss.Tensor", SCORES[:3], TARGETS, ints(3, 3, 2), ints(3, 2, 1), 0, 0, True),
    Sample(
        "aten.ctc_loss.Tensor", (SCORES[:3], TARGETS, ints(3, 3, 2), ints(3, 2, 1), 0, 0),
        no_gradient="NaN in torch where the loss is infinite",
    ),
    *(sample("ctc_loss.Tensor", SCORES[:, 0], TARGETS[0], ints(7), ints(3), 0, reduction) for reduction in (0, 1)),
]  # fmt: skip


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_ctc(case: Sample) -> None:
    check(case)
