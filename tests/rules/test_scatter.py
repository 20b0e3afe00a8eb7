"""Samples of writing: repeated indices where sums are defined, masks, smaller index arrays, ties of extremes."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import INF, bools, floats, integers, ints, normal, scalar

X = normal(4, 3)
MASK = bools(4, 3)
INDEX = torch.tensor([[0, 1, 2], [2, 2, 0]])
DISTINCT = torch.tensor([[0, 1, 2], [1, 2, 0]])
SRC = normal(2, 3)
BIG_SRC = normal(5, 4)
CUBE = normal(4, 3, 5)
MASK_BEHIND = bools(3, 5)  # of the last two dimensions of a cube
PUT = ((3, False), (3, True), (1, False))  # widths of the rows of values, and whether they are added
N = integers(4, 3)
LARGER_SOURCE = "torch's derivative fails for a source that is larger than the index"

SAMPLES = [
    sample("index_put.default", X, [ints(0, -1)], normal(2, 3)),
    sample("_unsafe_index_put.default", X, [ints(0, -1)], normal(2, 3)),
    sample("index_put.default", X, [ints(0, 2), ints(1, 1)], scalar(5.0)),
    sample("index_put.default", X, [None, ints(0, 2)], normal(4, 2)),
    sample("index_put.default", X, [ints(0, 0, 2)], normal(3, 3), True),
    sample("index_put.default", X, [ints(0, 0, 2), ints(1, 1, 2)], floats(1.0, 2.0, 3.0), True),
    sample("index_put.default", X, [MASK], scalar(0.5)),
    sample("index_put.default", X, [MASK[:, 0]], normal(3)),
    sample("index_put.default", X, [MASK], scalar(0.5), True),
    sample("index_put.default", N, [MASK], scalar(7, torch.int64)),
    *(sample("index_put.default", X, [MASK], normal(int(MASK.sum())), add) for add in (False, True)),
    *(sample("index_put.default", X, [MASK[:, 0]], normal(int(MASK[:, 0].sum()), n), add) for n, add in PUT),
    sample("index_put.default", X, [MASK], normal(1)),
    sample("index_put.default", N, [MASK], integers(int(MASK.sum())), True),
    sample("index_put.default", bools(4, 3, key="m"), [MASK], bools(int(MASK.sum())), True),
    sample("index_put.default", X, [MASK.to(torch.uint8) * 2], normal(int(MASK.sum()))),
    sample("index_put.default", X, [torch.zeros(4, 3, dtype=torch.bool)], normal(0)),
    sample("index_put.default", CUBE, [MASK], normal(int(MASK.sum()), 5)),
    sample("index_put.default", CUBE, [MASK], normal(1, 5)),
    *(
        sample("index_put.default", CUBE, [None, MASK_BEHIND], values, add)
        for add in (False, True)
        for values in (normal(4, int(MASK_BEHIND.sum())), normal(4, 1), normal(1, 1), normal(1), scalar(2.0))
    ),
    # a mask beside index arrays
    *(
        sample("index_put.default", CUBE, [MASK[:, 0], index], normal(int(MASK[:, 0].sum()), 5), add)
        for add in (False, True)
        for index in (ints(1), scalar(2, torch.int64), ints(2, 0, 1, 1)[: int(MASK[:, 0].sum())])
    ),
    sample("index_put.default", CUBE, [MASK[:, 0], None, ints(3)], normal(int(MASK[:, 0].sum()), 3)),
    sample("index_put.default", CUBE, [MASK[:, 0], None, ints(3)], normal(3)),
    sample("index_put.default", CUBE, [MASK, ints(3)], normal(int(MASK.sum()))),
    sample("index_put.default", CUBE, [ints(3, 1)[:, None], None, MASK_BEHIND[1]], scalar(1.0)),
    sample("index_put.default", CUBE, [ints(3, 1)[:, None], None, MASK_BEHIND[1]], normal(2, 1, 3)),
    sample("index_put.default", bools(4, 3, key="m"), [MASK[:, 0], ints(1)], bools(int(MASK[:, 0].sum())), True),
    sample("index_put.default", X, [torch.zeros(4, dtype=torch.bool), ints(1)], normal(0)),
    sample("index_put.default", X, [torch.zeros(4, dtype=torch.bool), ints()], normal(1)),
    sample("scatter.src", X, 0, DISTINCT, SRC),
    Sample("aten.scatter.src", (X, 0, DISTINCT[:1, :2], BIG_SRC), no_gradient=LARGER_SOURCE),
    sample("scatter.src", X, -1, DISTINCT, SRC),
    sample("scatter.src", scalar(1.0), 0, ints(0), floats(3.0)),
    *(sample("scatter.value", X, dim, INDEX, 0.5) for dim in (0, 1)),
    sample("scatter.value", scalar(1.0), 0, ints(0), 3.0),
    sample("scatter.value", N, 0, INDEX, 2),
    *(sample("scatter_add.default", X, dim, INDEX, SRC) for dim in (0, 1)),
    Sample("aten.scatter_add.default", (X, 0, INDEX, BIG_SRC), no_gradient=LARGER_SOURCE),
    sample("scatter_add.default", N, 0, INDEX, integers(2, 3)),
    sample("scatter_add.default", bools(4, 3), 0, INDEX, bools(2, 3)),
    sample("scatter_add.default", scalar(1.0), 0, ints(0, 0), floats(3.0, 4.0)),
    sample("scatter_add.default", torch.tensor(True), 0, ints(0, 0), bools(2)),
    sample("index_put.default", bools(4), [ints(0, 0, 2)], bools(3), True),
    sample("index_add.default", scalar(1.0), 0, ints(0), scalar(3.0)),
    sample("index_copy.default", scalar(1.0), 0, ints(0), floats(3.0)),
    sample("index_add.default", bools(4), 0, ints(0, 0, 2), bools(3)),
    sample("index_fill.int_Scalar", scalar(1.0), 0, ints(0), 3.0),
    sample("masked_scatter.default", floats(1.0, 2.0, 3.0), MASK, normal(13)),
    sample("index_add.default", X, 0, ints(0, 0, 2), normal(3, 3)),
    sample("index_add.default", X, 1, ints(0, 2), normal(4, 2), alpha=2),
    sample("index_copy.default", X, 0, ints(3, 1), normal(2, 3)),
    sample("index_fill.int_Scalar", X, -1, ints(0, 2), 0.5),
    sample("index_fill.int_Tensor", X, 0, ints(0, 2), scalar(0.5)),
    *(sample("masked_fill.Scalar", X, mask, -INF) for mask in (MASK, bools(3))),
    sample("masked_fill.Scalar", X, MASK, torch.finfo(torch.float32).min),
    sample("masked_fill.Scalar", N, MASK, 3),
    sample("masked_fill.Scalar", bools(4, 3), MASK, 1),
    sample("scatter.reduce", bools(4), 0, ints(0, 0, 2), bools(3), reduce="add"),
    sample("masked_fill.Scalar", normal(4, 3, dtype=torch.bfloat16), MASK, 0),
    sample("masked_fill.Tensor", X, MASK, scalar(2.0)),
    sample("masked_fill.Tensor", X, MASK, scalar(2, torch.int64)),
    sample("masked_scatter.default", X, MASK, normal(13)),
    sample("masked_scatter.default", X, torch.zeros(4, 3, dtype=torch.bool), normal(0)),
    sample("select_scatter.default", X, normal(3), 0, -1),
    sample("select_scatter.default", X, normal(4), 1, 2),
    *(sample("slice_scatter.default", X, *a) for a in ((normal(2, 3), 0, 1, 3), (normal(4, 2), 1, 0, 3, 2))),
    sample("slice_scatter.default", X, normal(4, 3)),
    sample("slice_scatter.default", X, normal(2, 3), 0, -2, 2**63 - 1),
    *(
        sample("diagonal_scatter.default", X, src, k)
        for src, k in ((normal(3), 0), (normal(2), 1), (normal(3, key="l"), -1))
    ),
]

LIMITS = [
    *(
        LimitSample(f"aten.{op}.default", "several boolean masks", (X, [MASK[:, 0], MASK[0]], scalar(1.0)))
        for op in ("index_put", "_unsafe_index_put")
    ),
    LimitSample("aten.index_put.default", "accumulate is False", (X, [MASK[:, 0], ints(0, 0)[:, None]], scalar(1.0))),
    *(
        LimitSample(f"aten.{op}.default", "accumulate is False", (X, [ints(0, 0)], normal(2, 3)))
        for op in ("index_put", "_unsafe_index_put")
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_scatter(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
