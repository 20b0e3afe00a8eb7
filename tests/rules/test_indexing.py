"""Samples of reading: negative, repeated and boundary indices, steps, smaller index arrays, 0-d."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import NAN, bools, floats, integers, ints, normal, scalar

X = normal(3, 4, 2)
MATRIX = normal(5, 4)
TABLE_OF_ROWS = normal(6, 3)
IDS = torch.tensor([[0, 5, 2], [2, 2, 1]])
BIG = 2**63 - 1

SAMPLES = [
    sample("_unsafe_masked_index.default", normal(4), ints(1, 0, 1) > 0, [ints(1, 99, 0)], 0.5),
    sample(
        "_unsafe_masked_index_put_accumulate.default",
        normal(4),
        ints(1, 0, 1) > 0,
        [ints(1, 99, 1)],
        normal(3, key="v"),
    ),
    *(sample("select.int", X, dim, i) for dim, i in ((0, 0), (1, -1), (-1, 1), (2, 0))),
    *(
        sample("slice.Tensor", X, *a)
        for a in ((), (1, 1), (1, 1, 3), (0, 0, BIG), (1, -2, BIG), (-1, 0, 1), (1, 0, 4, 2), (1, 3, 1), (1, 1, -1))
    ),
    sample("narrow.default", X, 1, 1, 2),
    *(sample(f"{op}.Tensor", MATRIX, [ints(0, -1, 2, 2)]) for op in ("index", "_unsafe_index")),
    sample("index.Tensor", X, [None, ints(0, 3, -1)]),
    sample("index.Tensor", X, [ints(0, 2), ints(1, -1)]),
    sample("index.Tensor", X, [ints(0, 2), None, ints(1, 0)]),
    sample("index.Tensor", X, [None, None, ints(1, 0)]),
    sample("index.Tensor", X, [torch.tensor([[0], [2]]), ints(1, 3)]),
    sample("index.Tensor", X, [scalar(1, torch.int64)]),
    sample("index.Tensor", X, [ints(1, 0, dtype=torch.int32)]),
    sample("index.Tensor", integers(5), [ints(1, 0)]),
    *(sample("index_select.default", X, dim, ints(1, 0, 1)) for dim in (0, 1, -1) if dim != -1),
    sample("index_select.default", X, -1, ints(1, 0, 1)),
    sample("gather.default", MATRIX, 1, integers(5, 3, low=0, high=4)),
    sample("gather.default", MATRIX, 0, integers(2, 4, low=0, high=5)),
    sample("gather.default", MATRIX, 0, integers(6, 2, low=0, high=5)),
    sample("gather.default", MATRIX, -1, integers(1, 4, low=0, high=4)),
    sample("gather.default", scalar(2.0), 0, scalar(0, torch.int64)),
    sample("gather.default", scalar(2.0), 0, ints(0, 0)),
    sample("take_along_dim.default", MATRIX, integers(5, 2, low=0, high=4), 1),
    sample("take_along_dim.default", MATRIX, ints(0, 19, 7)),
    sample("take.default", MATRIX, torch.tensor([[0, 19], [-1, 3]])),
    sample("embedding.default", TABLE_OF_ROWS, IDS),
    sample("embedding.default", TABLE_OF_ROWS, IDS, 2),
    sample("embedding.default", TABLE_OF_ROWS, scalar(3, torch.int64), 3),
    sample("embedding.default", TABLE_OF_ROWS, ints(1, 2, dtype=torch.int32)),
    *(sample("embedding.default", TABLE_OF_ROWS, IDS, padding, True) for padding in (-1, 2)),
    sample("one_hot.default", IDS, 6),
    *(
        sample("bucketize.Tensor", floats(0.0, 1.0, 1.5, 9.0), floats(0.0, 1.0, 2.0), **k)
        for k in ({}, {"right": True}, {"out_int32": True})
    ),
    *(
        sample("searchsorted.Tensor", floats(0.0, 1.0, 1.0, 2.0), floats(1.0, 0.5, 3.0), **k)
        for k in ({}, {"right": True}, {"side": "right"}, {"side": "left"}, {"out_int32": True})
    ),
    sample("searchsorted.Tensor", normal(3, 5).sort(-1).values, normal(3, 2)),
    sample("searchsorted.Tensor", floats(2.0, 0.0, 1.0), floats(0.5, 1.5), sorter=ints(1, 2, 0)),
    *(sample("bucketize.Scalar", 1.0, floats(0.0, 1.0, 2.0), **k) for k in ({}, {"right": True}, {"out_int32": True})),
    *(sample("searchsorted.Scalar", floats(0.0, 1.0, 2.0), 1.0, **k) for k in ({}, {"side": "right"})),
    sample("put.default", MATRIX, torch.tensor([[0, -1], [7, 3]]), normal(2, 2)),
    sample("put.default", MATRIX, ints(0, 0, 7), normal(3), True),
    sample("put.default", bools(4), ints(0, 0, 2), bools(3, key="s"), True),
    sample("put.default", scalar(1.0), scalar(0, torch.int64), floats(3.0)),
    sample("index_select.default", scalar(2.0), 0, ints(0)),
    sample("gather.default", floats(1.0, 2.0), 0, torch.zeros(0, 3, dtype=torch.int64)),
    sample("take_along_dim.default", MATRIX, torch.tensor([[0, 19], [7, 3]])),
    *(
        sample("nonzero_static.default", x, size=size, fill_value=-1)
        for x in (floats(0.0, 1.0, 0.0, 2.0), bools(3, 4), integers(2, 2, 3, low=0, high=2))
        for size in (2, 9)
    ),
    sample("nonzero_static.default", scalar(1.0), size=1),
    sample("searchsorted.Scalar", floats(3.0, 1.0, 2.0), 1.5, sorter=ints(1, 2, 0)),
    sample("nonzero_static.default", normal(0, 3), size=2, fill_value=-1),
    *(sample(f"{op}.default", normal(0, 3)) for op in ("nonzero", "argwhere", "nonzero_numpy")),
    *(sample("_unique2.default", integers(0, 3), True, inverse) for inverse in (False, True)),
    sample("unique_dim.default", integers(2, 0), 1),
    sample("unique_consecutive.default", integers(2, 0), dim=1),
]

MASK = bools(5, 4)
LIMITS = [
    *(
        LimitSample(f"aten.{op}.Tensor", "an index is a boolean mask", (MATRIX, [mask]))
        for op in ("index", "_unsafe_index")
        for mask in (MASK, MASK.to(torch.uint8))
    ),
    LimitSample("aten.index.Tensor", "an index is a boolean mask", (MATRIX, [None, MASK[0]])),
    LimitSample("aten.one_hot.default", "num_classes is -1", (IDS,)),
    LimitSample("aten.nonzero.default", "self has elements", (MATRIX,)),
    LimitSample("aten.masked_select.default", "self has elements", (MATRIX, MASK)),
    LimitSample("aten.nonzero_numpy.default", "self has elements", (MATRIX,)),
    LimitSample("aten.argwhere.default", "self has elements", (MATRIX,)),
    LimitSample("aten._unique2.default", "self has elements", (IDS,)),
    LimitSample("aten.unique_dim.default", "self has elements", (MATRIX, 0)),
    LimitSample("aten.unique_consecutive.default", "self has elements", (IDS,)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_indexing(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)


def test_an_index_array_is_within_no_limit() -> None:
    """The limit of masks leaves plain index arrays alone."""
    with pytest.raises(AssertionError):
        check_limit(LimitSample("aten.index.Tensor", "an index is a boolean mask", (MATRIX, [None, ints(0, 1)])))


def test_a_wrong_rule_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The harness can fail: an oracle that disagrees in one value is noticed."""
    case = sample("select.int", floats(1.0, NAN, 3.0), 0, 0)
    monkeypatch.setattr("harness._run_torch", lambda op, arguments: [scalar(1.0 + 1e-4)])
    with pytest.raises(AssertionError):
        check(Sample(case.op, case.args, no_gradient="the oracle is replaced"))
