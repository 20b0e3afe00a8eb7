"""Samples of special functions: usual values, bounds of their domains, large arguments."""

import pytest
from harness import LimitSample, Sample, check, check_limit, sample
from values import INF, NAN, floats, integers, normal, scalar, uniform

X = normal(3, 4)
UNIT = uniform(3, 4, low=-0.95, high=0.95)
FRACTION = uniform(3, 4, low=0.02, high=0.98)
POSITIVE = uniform(3, 4, low=0.1, high=9.0)
TRIGAMMA = (1e-9, "torch's trigamma is 5e-10 away from scipy's, JAX's is 1e-16")
N = integers(4, low=1)

SAMPLES = [
    *(
        sample(f"{op}.default", x)
        for op in ("erf", "special_erf", "erfc", "special_erfc")
        for x in (X, N, floats(-30.0, -5.0, 0.0, 5.0, 30.0))
    ),
    *(sample(f"{op}.default", UNIT) for op in ("erfinv", "special_erfinv")),
    sample("erfinv.default", floats(0.0, 1.0, -1.0)),
    *(sample(f"{op}.default", POSITIVE) for op in ("lgamma", "special_gammaln")),
    sample("lgamma.default", floats(-0.5, -1.5, 0.5, 100.0)),
    *(
        Sample(f"aten.{op}.default", (POSITIVE,), loose=TRIGAMMA)
        for op in ("digamma", "special_digamma", "special_psi")
    ),
    *(
        Sample(f"aten.{op}.default", (n, POSITIVE), loose=TRIGAMMA if n < 2 else None)
        for op in ("polygamma", "special_polygamma")
        for n in (0, 1, 2)
    ),
    *(
        sample(f"{op}.default", x)
        for op in ("i0", "special_i0", "special_i0e", "special_i1", "special_i1e")
        for x in (X, POSITIVE, scalar(0.0))
    ),
    *(sample(f"{op}.default", POSITIVE + 2, 3) for op in ("mvlgamma", "special_multigammaln")),
    sample("special_entr.default", floats(0.5, 1.0, 2.0, -1.0)),
    *(sample(f"special_{op}.default", x) for op in ("ndtr", "log_ndtr") for x in (X, floats(-15.0, -3.0, 0.0, 8.0))),
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
    Sample("aten.special_zeta.default", (POSITIVE + 1.5, POSITIVE), no_gradient="torch has none"),
    *(
        Sample(f"aten.{op}.default", (POSITIVE, FRACTION * 5), no_gradient="torch has none for the first argument")
        for op in ("igamma", "igammac", "special_gammainc", "special_gammaincc")
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_special_functions(case: Sample) -> None:
    check(case)


LIMITS = [LimitSample("aten.special_log_ndtr.default", "an element is at or below -20", (X,))]


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
