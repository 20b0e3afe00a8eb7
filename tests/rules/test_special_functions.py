"""Samples of special functions: usual values, bounds of their domains, large arguments."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import INF, NAN, floats, integers, normal, uniform

X = normal(3, 4)
UNIT = uniform(3, 4, low=-0.95, high=0.95)
FRACTION = uniform(3, 4, low=0.02, high=0.98)
POSITIVE = uniform(3, 4, low=0.1, high=9.0)
Z, W = (torch.complex(normal(3, 4, key=key), 9 * normal(3, 4, key=f"imaginary {key}")) for key in ("z", "w"))
N = integers(4, low=1)

SAMPLES = [
    *(
        sample(f"{op}.default", x)
        for op in ("erf", "special_erf", "erfc", "special_erfc")
        for x in (X, N, floats(-30.0, -5.0, 0.0, 5.0, 30.0))
    ),
    *(sample(f"{op}.default", UNIT) for op in ("erfinv", "special_erfinv")),
    sample("erfinv.default", floats(0.0, 1.0, -1.0)),
    sample("special_entr.default", floats(0.5, 1.0, 2.0)),
    *(
        sample(f"special_{op}.default", x)
        for op in ("ndtr", "log_ndtr")
        for x in (X, floats(-40.0, -15.0, -3.0, -1.0, 0.0, 8.0))
    ),
    sample("special_ndtri.default", FRACTION),
    *(sample(f"{op}.default", FRACTION) for op in ("logit", "special_logit")),
    sample("logit.default", floats(-0.5, 0.0, 0.05, 0.5, 1.0, 1.5), 0.1),
    *(sample(f"{op}.default", X, normal(4, key="y")) for op in ("logaddexp", "logaddexp2")),
    sample("logaddexp.default", floats(1.0, -INF, 300.0), floats(1.0, 2.0, -300.0)),
    *(
        sample(f"{op}.{tensors}", X, POSITIVE)
        for op, tensors in (("xlogy", "Tensor"), ("special_xlogy", "default"), ("special_xlog1py", "default"))
    ),
    sample("xlogy.Tensor", floats(0.0, 1.0, 0.0), floats(2.0, 2.0, NAN)),
    sample("xlogy.Scalar_Self", 2.0, POSITIVE),
    sample("xlogy.Scalar_Other", X, 2.0),
    *(sample(f"special_{op}.self_scalar", 2.0, POSITIVE) for op in ("xlogy", "xlog1py")),
    *(sample(f"special_{op}.other_scalar", X, 2.0) for op in ("xlogy", "xlog1py")),
    *(sample("special_erfcx.default", x) for x in (X, floats(-5.0, 1.999, 2.0, 2.001, 30.0, 200.0))),
    *(sample("logaddexp.default", a, b) for a, b in ((Z, W), (W, Z))),
]

LIMITS = [
    LimitSample(f"aten.{op}.default", "both operands are +infinity", (floats(INF, 1.0), floats(INF, 2.0)))
    for op in ("logaddexp", "logaddexp2")
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_special_functions(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
