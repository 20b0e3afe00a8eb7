"""Samples of sorting: stable order of equal values, both directions, NaN, extremes, 0-d."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, NAN, bools, floats, integers, normal, scalar

X = normal(3, 5)
TIES = floats(2.0, 1.0, 2.0, 1.0, 3.0)
SPECIAL = floats(1.0, NAN, -INF, INF, 0.0)

SAMPLES = [
    *(sample("sort.default", x, -1, d) for x in (X, SPECIAL, scalar(1.0)) for d in (False, True)),
    sample("sort.default", X, 0),
    *(
        sample("sort.stable", x, stable=True, descending=d)
        for x in (X, TIES, integers(4, 6), bools(6))
        for d in (False, True)
    ),
    sample("sort.stable", scalar(1.0), stable=True),
    sample("msort.default", X),
    *(sample("argsort.default", x, -1, d) for x in (X, scalar(1.0)) for d in (False, True)),
    *(
        sample("argsort.stable", x, stable=True, dim=0, descending=d)
        for x in (TIES, X, scalar(1.0))
        for d in (False, True)
    ),
    *(sample("topk.default", X, 2, dim, largest) for dim in (0, -1) for largest in (True, False)),
    sample("topk.default", SPECIAL, 3),
    sample("topk.default", scalar(1.0), 1),
    *(sample("kthvalue.default", X, k, dim, keep) for k in (1, 3) for dim, keep in ((-1, False), (0, True))),
    sample("kthvalue.default", scalar(1.0), 1),
    *(
        sample("median.default", x)
        for x in (X, TIES, floats(1.0, 2.0, 3.0, 4.0), integers(5), floats(1.0, 2.0, 2.0, 2.0))
    ),
    Sample("aten.median.default", (SPECIAL,), no_gradient="the value is NaN"),
    *(sample("median.dim", x, dim, keep) for x in (X, normal(4, 4)) for dim in (0, -1) for keep in (False, True)),
    sample("median.dim", SPECIAL, 0),
    sample("median.dim", scalar(1.0), 0),
    sample("median.dim", torch.tensor([[1, 5, 3], [9, 7, 8]]), 1),
    *(sample("nanmedian.default", x) for x in (X, TIES, SPECIAL, floats(NAN, 2.0, 1.0), integers(5))),
    Sample("aten.nanmedian.default", (floats(NAN, NAN),), no_gradient="the value is NaN"),
    *(sample("nanmedian.dim", x, dim, keep) for x in (X, normal(4, 4)) for dim, keep in ((0, False), (-1, True))),
    sample("nanmedian.dim", torch.tensor([[NAN, 1.0, 3.0], [2.0, NAN, NAN]]), 1),
    sample("nanmedian.dim", torch.tensor([[1, 5, 3], [9, 7, 8]]), 1),
    sample("nanmedian.dim", scalar(1.0), 0),
    *(
        sample("mode.default", x, dim, keep)
        for x in (TIES[None], integers(4, 6), bools(3, 5), normal(3, 4))
        for dim, keep in ((-1, False), (0, True))
    ),
    sample("mode.default", scalar(1.0)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_sorting(case: Sample) -> None:
    check(case)
