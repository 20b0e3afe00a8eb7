"""Samples of functions of single numbers: usual values, poles, extremes, integers, 0-d and empty tensors."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import INF, NAN, floats, integers, normal, scalar, uniform

X = normal(3, 4)
UNIT = uniform(3, 4, low=-0.9, high=0.9)
POSITIVE = uniform(3, 4, low=0.1, high=5.0)
ABOVE_ONE = uniform(3, 4, low=1.1, high=5.0)
N = integers(4, low=1)
HALVES = floats(-2.5, -1.5, -0.5, -0.0, 0.0, 0.5, 1.5, 2.5, 1.2, -1.7)
LARGE = floats(-300.0, 300.0, -30.0, 30.0)
NOT_FINITE = floats(INF, -INF, NAN)
BF16 = normal(5, dtype=torch.bfloat16)

EVERYWHERE = ("exp", "exp2", "expm1", "sin", "cos", "tan", "arctan", "atan", "sinh", "cosh", "tanh", "asinh", "arcsinh")
POSITIVE_ONLY = ("log", "log2", "log10", "sqrt", "rsqrt")
INSIDE_UNIT = ("asin", "arcsin", "acos", "arccos", "atanh", "arctanh")
ROUNDING = ("ceil", "floor", "round", "trunc", "fix", "frac")

SAMPLES = [
    sample("frexp.Tensor", floats(0.0, 1.0, -3.5, 1e-3, 12.0)),
    sample("frexp.Tensor", floats(INF, -INF, NAN)),
    sample("nextafter.default", floats(1.0, 2.0, 0.0), floats(2.0, 2.0, -1.0)),
    *(sample(f"{op}.default", x) for op in EVERYWHERE for x in (X, N, scalar(0.0), NOT_FINITE)),
    *(sample(f"{op}.default", LARGE) for op in ("exp", "expm1", "sinh", "cosh", "tanh", "asinh", "atan")),
    *(
        sample(f"{op}.default", x)
        for op in POSITIVE_ONLY
        for x in (POSITIVE, N, floats(0.0, 1.0, -1.0, INF), normal(0))
    ),
    *(sample(f"{op}.default", x) for op in INSIDE_UNIT for x in (UNIT, scalar(0.5), floats(2.0, NAN))),
    *(sample(f"special_{op}.default", X) for op in ("exp2", "expm1", "sinc")),
    *(sample(f"{op}.default", POSITIVE) for op in ("log1p", "special_log1p")),
    sample("log1p.default", floats(-0.5, 0.0, 1e-12, 300.0)),
    *(sample(f"{op}.default", ABOVE_ONE) for op in ("acosh", "arccosh")),
    sample("exp.default", BF16),
    sample("sqrt.default", floats(0.0)),
    sample("acos.default", floats(1.0)),
    # two arguments
    *(sample(f"{op}.default", X, normal(4, key="y")) for op in ("atan2", "arctan2", "hypot")),
    sample("atan2.default", floats(0.0, -0.0, 0.0, 1.0, -1.0), floats(0.0, 0.0, -0.0, 0.0, -2.0)),
    sample("atan2.default", N, integers(4, low=1, key="y")),
    # rounding
    *(sample(f"{op}.default", x) for op in ROUNDING for x in (HALVES, X, scalar(1.5), NOT_FINITE[:2])),
    *(sample(f"{op}.default", N) for op in ("ceil", "floor", "round", "trunc", "fix")),
    *(sample("round.decimals", X * 100, decimals=d) for d in (0, 2, -1)),
    # others
    sample("sinc.default", floats(0.0, 0.5, -1.0, 2.3)),
    sample("nan_to_num.default", floats(1.0, NAN)),
    sample("nan_to_num.default", floats(1.0, INF, NAN), 2.0, 3.0),
    sample("nan_to_num.default", floats(1.0, INF, -INF, NAN), 2.0, 3.0, -4.0),
    sample("nan_to_num.default", N),
    *(sample(f"{op}.default", x) for op in ("rad2deg", "deg2rad") for x in (X, N)),
    Sample("aten.heaviside.default", (floats(-1.0, 0.0, 2.0), scalar(0.5)), no_gradient="torch has none"),
    Sample("aten.heaviside.default", (integers(5), scalar(3, torch.int64)), no_gradient="torch has none"),
    Sample("aten.nextafter.default", (X.double(), X.double() + 1), no_gradient="torch has none"),
]

LIMITS = [LimitSample("aten.hypot.default", "both operands are 0", (scalar(0.0), scalar(0.0)))]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_elementwise(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
