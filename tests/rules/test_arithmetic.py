"""Samples of arithmetic: every operator with kinks, bounds, scalars, 0-d operands, mixed dtypes."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, NAN, bools, floats, integers, ints, normal, scalar, uniform

X, Y = normal(3, 4), normal(3, 4, key="y")
ROW, COLUMN = normal(4, key="row"), normal(3, 1, key="column")
POSITIVE = uniform(3, 4)
N, M = integers(3, 4), integers(3, 4, low=1, key="j")
SIGNED = M * ints(1, -1, 1, -1)
BF16 = normal(5, dtype=torch.bfloat16)
KINKS = floats(-2.0, -1.0, -0.0, 0.0, 0.5, 1.0, 2.0)
LARGE = floats(-300.0, 300.0, INF, -INF, 0.0)
EXTREME = floats(*LARGE.tolist(), NAN)
NO_GRADIENT = "torch has no derivative of it"
AT_NAN = "torch gives 0 at an element that is NaN, whose value is NaN on both sides"

SAMPLES = [
    # sums and differences
    *(
        sample(f"{op}.Tensor", *operands)
        for op in ("add", "sub", "subtract", "rsub", "mul", "multiply")
        for operands in ((X, ROW), (X, scalar(2.0)), (N, scalar(1.5)), (BF16, scalar(0.3)), (N, X))
    ),
    *(
        sample(f"{op}.Scalar", x, other)
        for op in ("add", "sub", "subtract", "rsub", "mul", "multiply")
        for x, other in ((X, 2), (X, 0.3), (N, 3), (N, 1.5))
    ),
    sample("add.Tensor", X, Y, alpha=0.7),
    sample("add.Tensor", X, 2.5),
    sample("add.Tensor", bools(3), bools(3, key="other")),
    sample("add.Tensor", bools(3), 1),
    sample("add.Tensor", normal(0), normal(0)),
    sample("add.Tensor", scalar(1.0), scalar(2.0)),
    sample("add.Scalar", X, 1, 3),
    sample("sub.Tensor", X, Y, alpha=2),
    sample("subtract.Scalar", X, 1, 3),
    sample("rsub.Tensor", X, Y, alpha=2),
    sample("rsub.Scalar", X, 1, 2),
    # quotients
    *(
        sample(f"{op}.{overload}", x, other)
        for op in ("div", "divide", "true_divide")
        for overload, x, other in (("Tensor", X, Y), ("Tensor", N, M), ("Scalar", X, 3.0), ("Scalar", N, 2))
    ),
    sample("div.Tensor", EXTREME, floats(1.0, INF, 2.0, 0.0, 1.0, 0.0)),
    sample("div.Tensor", integers(3, dtype=torch.uint8, low=0), scalar(2.0)),
    *(
        sample(f"{op}.{overload}_mode", x, other, rounding_mode=mode)
        for op in ("div", "divide")
        for mode in ("floor", "trunc", None)
        for overload, x, other in (
            ("Tensor", X * 5, Y),
            ("Tensor", N, SIGNED),
            ("Scalar", X * 5, 1.5),
            ("Scalar", N, 2),
        )
    ),
    *(sample(op, N, SIGNED) for op in ("floor_divide.default", "remainder.Tensor", "fmod.Tensor")),
    *(
        Sample(f"aten.floor_divide.{o}", (X * 5, other), no_gradient=NO_GRADIENT)
        for o, other in (("default", Y), ("Scalar", 1.5), ("Scalar", -2))
    ),
    *(sample(f"{op}.Tensor", X * 5, Y) for op in ("remainder", "fmod")),
    *(sample(f"{op}.Scalar", x, y) for op in ("remainder", "fmod") for x, y in ((X * 5, 1.5), (X * 5, -2), (N, -3))),
    Sample("aten.remainder.Scalar_Tensor", (5.5, Y), no_gradient=NO_GRADIENT),
    # powers
    *(sample("pow.Tensor_Scalar", x, p) for x in (X, floats(0.0, 1.0, -2.0)) for p in (0, 0.0, 1, 2, 2.0, 3, 3.0)),
    *(sample("pow.Tensor_Scalar", POSITIVE, p) for p in (0.5, -0.5, -1, -2, 1.7, -1.3)),
    sample("pow.Tensor_Scalar", N, 2),
    sample("pow.Tensor_Scalar", N, 2.0),
    sample("pow.Tensor_Scalar", floats(0.0), 0.5),
    sample("pow.Tensor_Tensor", POSITIVE, Y),
    sample("pow.Tensor_Tensor", floats(0.0, 0.0, 0.0, -2.0, 3.0), floats(0.0, 1.0, 2.0, 2.0, 0.0)),
    sample("pow.Tensor_Tensor", M, M),
    sample("pow.Scalar", 2, Y),
    sample("pow.Scalar", 1.5, N),
    sample("pow.Scalar", 2, M),
    sample("pow.Scalar", 0, floats(0.0, 1.0, 2.0)),
    sample("float_power.Tensor_Tensor", POSITIVE.double(), Y.double()),
    sample("float_power.Tensor_Scalar", N, 2),
    sample("square.default", X),
    sample("square.default", N),
    sample("reciprocal.default", Y),
    sample("reciprocal.default", M),
    # signs
    *(sample(f"{op}.default", x) for op in ("neg", "negative", "positive") for x in (X, N, normal(0), EXTREME)),
    *(sample(f"{op}.default", x) for op in ("abs", "absolute", "sign", "sgn") for x in (KINKS, LARGE, N, scalar(0.0))),
    sample("copysign.Tensor", X, Y),
    sample("copysign.Tensor", floats(1.0, 1.0, 0.0), floats(0.0, -0.0, -1.0)),
    sample("copysign.Scalar", X, -1.0),
    sample("copysign.Scalar", N, -1.0),
    # bounds
    *(
        sample(f"{op}.default", x, low, high)
        for op in ("clamp", "clip")
        for x in (KINKS, LARGE, N)
        for low, high in ((0, 1), (None, 1), (0, None), (1, -1))
    ),
    sample("clamp.default", N, 0.5, None),
    sample("clamp.default", X, None, 0.5),
    *(
        sample(f"{op}.Tensor", KINKS, low, high)
        for op in ("clamp", "clip")
        for low, high in (
            (floats(*[0.0] * 7), floats(*[1.0] * 7)),
            (scalar(0.0), None),
            (None, scalar(1.0)),
            (scalar(1.0), scalar(-1.0)),
        )
    ),
    *(sample(f"{op}.default", x, 1) for op in ("clamp_min", "clamp_max") for x in (KINKS, LARGE, N)),
    *(sample(f"{op}.Tensor", KINKS, scalar(1.0)) for op in ("clamp_min", "clamp_max")),
    *(
        Sample(f"aten.{op}.default", (EXTREME, *bounds), no_gradient=AT_NAN)
        for op, bounds in (
            *((op, (0, 1)) for op in ("clamp", "clip")),
            *((op, (1,)) for op in ("clamp_min", "clamp_max")),
            *((op, ()) for op in ("abs", "absolute", "sign", "sgn")),
        )
    ),
    # combinations
    sample("lerp.Scalar", X, Y, 0.3),
    sample("lerp.Tensor", X, Y, POSITIVE),
    *(sample(f"{op}.default", X, Y, POSITIVE, **k) for op in ("addcmul", "addcdiv") for k in ({}, {"value": 0.5})),
    sample("gcd.default", N, M),
    sample("lcm.default", N, M),
    sample("ldexp.Tensor", X, ints(1, 2, 3, 0)),
    Sample("aten.ldexp.Tensor", (X, ints(1, 2, -3, 0)), no_gradient="torch takes an integer power there: 0 for 2**-3"),
    sample("diff.default", X),
    sample("diff.default", X, 2, 0),
    sample("diff.default", X, prepend=COLUMN),
    sample("diff.default", X, append=COLUMN),
    sample("diff.default", X, prepend=COLUMN, append=COLUMN),
    sample("diff.default", N),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_arithmetic(case: Sample) -> None:
    check(case)
