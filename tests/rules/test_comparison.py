"""Samples of comparisons, choices and logic: all operand kinds, NaN, ties, mixed dtypes."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, NAN, bools, floats, integers, ints, normal, scalar

X, Y = floats(0.0, 1.0, 2.0, NAN, INF, -1.0), floats(0.0, 2.0, 1.0, 1.0, INF, NAN)
N, M = integers(3, 4), integers(3, 4, key="m")
B, C = bools(3, 4), bools(3, 4, key="c")
SMALL = integers(4, low=0, high=100, dtype=torch.uint8)

COMPARE = ("eq", "ne", "lt", "le", "gt", "ge", "not_equal", "less", "less_equal", "greater", "greater_equal")
BITWISE = ("bitwise_and", "bitwise_or", "bitwise_xor", "__and__", "__or__", "__xor__")

SAMPLES = [
    *(sample(f"{op}.Tensor", x, y) for op in COMPARE for x, y in ((X, Y), (N, X[:4]), (N, M), (B, C))),
    *(sample(f"{op}.Scalar", x, y) for op in COMPARE for x, y in ((X, 1.0), (N, 2), (N, 0.5), (B, 1))),
    *(sample(f"{op}.default", X) for op in ("isnan", "isinf", "isfinite", "isposinf", "isneginf", "signbit")),
    sample("signbit.default", N),
    sample("isnan.default", N),
    sample("isclose.default", X, Y),
    sample("isclose.default", X, X + 1e-6, equal_nan=True),
    sample("isin.Tensor_Tensor", N, ints(1, 2, 3)),
    sample("isin.Tensor_Tensor", N, ints(1, 2, 3), invert=True),
    *(
        sample(f"logical_{op}.default", x, y)
        for op in ("and", "or", "xor")
        for x, y in ((B, C), (N, M), (X, Y), (N, B))
    ),
    *(sample("logical_not.default", x) for x in (B, N, X)),
    *(sample(f"{op}.Tensor", x, y) for op in BITWISE for x, y in ((N, M), (B, C), (SMALL, N[0]), (N, B))),
    *(sample(f"{op}.Scalar", x, y) for op in BITWISE for x, y in ((N, 6), (B, True), (SMALL, 3))),
    *(sample(f"bitwise_{op}.Scalar_Tensor", 6, N) for op in ("and", "or", "xor")),
    *(sample("bitwise_not.default", x) for x in (N, B, SMALL)),
    *(
        sample(f"{op}.Tensor", N, integers(4, low=0, high=5, key="s"))
        for op in ("bitwise_left_shift", "bitwise_right_shift", "__lshift__", "__rshift__")
    ),
    *(sample(f"bitwise_{op}_shift.Tensor_Scalar", N, 2) for op in ("left", "right")),
    *(sample(f"bitwise_{op}_shift.Scalar_Tensor", 100, integers(4, low=0, high=5)) for op in ("left", "right")),
    *(sample(f"__{op}__.Scalar", N, 2) for op in ("lshift", "rshift")),
    *(
        sample(op, x, y)
        for op in ("maximum.default", "minimum.default", "max.other", "min.other", "fmax.default", "fmin.default")
        for x, y in ((normal(3, 4), normal(4)), (floats(1.0, 2.0, 0.0), floats(1.0, 1.0, 0.0)), (N, M))
    ),
    *(
        Sample(op, (X, Y), no_gradient="which operand gets the gradient of a NaN is arbitrary")
        for op in ("aten.maximum.default", "aten.minimum.default", "aten.max.other", "aten.min.other")
    ),
    *(sample(f"{op}.default", X, Y) for op in ("fmax", "fmin")),
    sample("maximum.default", B, C),
    sample("maximum.default", normal(3, dtype=torch.bfloat16), scalar(0.0)),
    # choices
    sample("where.self", B, normal(3, 4), normal(4)),
    sample("where.self", B, N, scalar(0.5)),
    sample("where.self", B, normal(3, 4), scalar(2, torch.int64)),
    sample("where.ScalarOther", B, normal(3, 4), 0.0),
    sample("where.ScalarSelf", B, -INF, normal(3, 4)),
    sample("where.ScalarOther", B, N, 2),
    sample("where.Scalar", B, 1.0, 0),
    sample("where.Scalar", B, 1, 0),
    sample("where.Scalar", B, True, False),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_comparison(case: Sample) -> None:
    check(case)
