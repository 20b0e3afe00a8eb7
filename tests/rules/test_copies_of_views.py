"""Samples of the copies that torch has of its views: the same elements in memory of their own."""

import pytest
import torch
from harness import Sample, check, sample
from values import normal

X = normal(2, 3, 4)
ONES = normal(1, 3, 1)

SAMPLES = [
    sample("alias_copy.default", X),
    sample("expand_copy.default", ONES, [2, 3, 4]),
    sample("permute_copy.default", X, [2, 0, 1]),
    sample("squeeze_copy.default", ONES),
    sample("squeeze_copy.dim", ONES, 0),
    sample("squeeze_copy.dims", ONES, [0, -1]),
    sample("t_copy.default", normal(3, 4)),
    sample("transpose_copy.int", X, 0, -1),
    sample("unsqueeze_copy.default", X, -1),
    sample("view_copy.default", X, [6, 4]),
    sample("view_copy.dtype", normal(2, 4), torch.int32, no_gradient=True),
    sample("diagonal_copy.default", X, 1, 0, 2),
    sample("unfold_copy.default", X, 2, 3, 1),
    sample("unbind_copy.int", X, 1),
    sample("split_copy.Tensor", X, 2, 1),
    sample("split_with_sizes_copy.default", X, [1, 3], 2),
    sample("narrow_copy.default", X, 1, 1, 2),
    sample("select_copy.int", X, 1, -1),
    sample("slice_copy.Tensor", X, 2, 1, None, 2),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_rule(case: Sample) -> None:
    check(case)
