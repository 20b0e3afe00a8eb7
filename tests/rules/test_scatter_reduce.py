"""Samples of combining: ties, zeros in products, empty segments, initial values, integers, booleans, 0-d."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import NAN, bools, floats, integers, ints, normal, scalar

X = normal(4, 3)
INDEX = torch.tensor([[0, 1, 2], [2, 2, 0], [2, 1, 0]])
SRC = normal(3, 3)
ZEROS = torch.tensor([[0.0, 2.0, 3.0], [0.0, 4.0, 0.5], [5.0, 0.0, 6.0]])
N = integers(4, 3)
REDUCTIONS = ("sum", "mean", "prod", "amax", "amin")
DATA = normal(7, 2)
TIES = torch.tensor([1.0, 1.0, 0.0, 2.0, 2.0, 2.0, 0.0])
LENGTHS = ints(2, 0, 4, 1)
OF_ROWS = torch.tensor([[1, 0, 3], [2, 2, 0]])

SAMPLES = [
    *(
        Sample("aten.scatter.reduce", (X, 0, INDEX, SRC), {"reduce": kind}, no_gradient="torch has none")
        for kind in ("add", "multiply")
    ),
    *(
        Sample("aten.scatter.value_reduce", (X, 0, INDEX, 2.0), {"reduce": kind}, no_gradient="torch has none")
        for kind in ("add", "multiply")
    ),
    # torch cuts a fraction off before it counts
    *(
        Sample("aten.scatter.value_reduce", (x, 0, ints(0, 0), -2.5), {"reduce": kind})
        for kind in ("add", "multiply")
        for x in (torch.tensor(3), ints(3, 4))
    ),
    *(
        sample("scatter_reduce.two", x, 0, INDEX, src, reduce, include_self=include)
        for x, src in ((X, SRC), (torch.ones(4, 3), torch.ones(3, 3)), (X, ZEROS))
        for reduce in REDUCTIONS
        for include in (True, False)
    ),
    *(sample("scatter_reduce.two", N, 0, INDEX, integers(3, 3), reduce) for reduce in REDUCTIONS),
    *(
        sample("scatter_reduce.two", bools(4, 3), 1, INDEX, bools(3, 3), reduce)
        for reduce in REDUCTIONS
        if reduce != "mean"
    ),
    *(sample("scatter_reduce.two", scalar(2.0), 0, ints(0, 0), floats(3.0, 4.0), reduce) for reduce in REDUCTIONS),
    *(
        sample("index_reduce.default", x, dim, ints(0, 2, 0), source, reduce, include_self=include)
        for x, source in ((X, SRC), (torch.ones(4, 3), torch.ones(3, 3)))
        for dim, source in ((0, source), (1, torch.cat([source, source[:1]])))
        for reduce in REDUCTIONS[1:]
        for include in (True, False)
    ),
    *(sample("index_reduce.default", N, 0, ints(1, 1), integers(2, 3), reduce) for reduce in REDUCTIONS[1:]),
    sample("index_reduce.default", scalar(2.0), 0, ints(0), scalar(3.0), "prod"),
    *(
        Sample(
            "aten.segment_reduce.default",
            (data, kind),
            {"axis": 0, "unsafe": False, "initial": initial, **where},
            no_gradient="torch does not divide negative ones" if data is TIES and kind in ("max", "min") else "",
        )
        for data in (DATA, TIES)
        for kind in ("sum", "mean", "max", "min", "prod")
        for initial, where in ((None, {"lengths": LENGTHS}), (1.5, {"offsets": ints(0, 2, 2, 6, 7)}))
    ),
    *(
        sample("segment_reduce.default", normal(2, 4, 3), kind, lengths=OF_ROWS, axis=1, unsafe=False, initial=None)
        for kind in ("sum", "mean", "max", "prod")
    ),
    Sample(
        "aten.segment_reduce.default", (floats(1.0, NAN, 2.0), "max"), {"lengths": ints(2, 1), "axis": 0},
        no_gradient="the value is NaN",
    ),
]  # fmt: skip

LIMITS = [LimitSample("aten.segment_reduce.default", "reduce is 'max' or 'min'", (DATA, "max"), {"lengths": LENGTHS})]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_scatter_reduce(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
