"""Samples of patches: overlaps, dilation, padding, strides, without a batch."""

import pytest
from harness import Sample, check, sample
from values import normal

IMAGE = normal(2, 3, 6, 5)

SAMPLES = [
    sample("im2col.default", normal(0, 2, 4, 5), (2, 2), (1, 1), (0, 0), (1, 1)),
    sample("im2col.default", IMAGE, [2, 2], [1, 1], [0, 0], [1, 1]),
    sample("im2col.default", IMAGE, [3, 2], [2, 1], [1, 2], [2, 1]),
    sample("im2col.default", IMAGE[0], [2, 2], [1, 1], [0, 0], [2, 2]),
    sample("col2im.default", normal(2, 12, 20), [6, 5], [2, 2], [1, 1], [0, 0], [1, 1]),
    sample(
        "col2im.default",
        normal(2, 18, 16),
        [6, 5],
        [3, 2],
        [2, 1],
        [1, 2],
        [2, 1],
    ),
    sample("col2im.default", normal(12, 6), [6, 5], [2, 2], [1, 1], [0, 0], [2, 2]),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_patches(case: Sample) -> None:
    check(case)
