"""Samples of the gamma function's relatives: positive and negative numbers, zeros, poles."""

import pytest
from harness import Sample, check, sample
from values import floats, integers, uniform

POSITIVE = uniform(3, 4, low=0.1, high=9.0)
NEGATIVE = floats(-0.5, -1.2, -8.999, -3.0001, 0.5)
FRACTION = uniform(3, 4, low=0.02, high=0.98)

SAMPLES = [
    *(sample(f"{op}.default", POSITIVE) for op in ("lgamma", "special_gammaln")),
    *(sample("lgamma.default", x) for x in (floats(-0.5, -1.5, 0.5, 100.0, 1.0, 2.0), integers(4, low=1))),
    *(sample(f"{op}.default", x) for op in ("digamma", "special_digamma", "special_psi") for x in (POSITIVE, NEGATIVE)),
    Sample("aten.digamma.default", (floats(0.0, -0.0, -1.0),), no_gradient="the poles"),
    *(
        sample(f"{op}.default", n, x)
        for n in (0, 1, 2, 3)
        for op in ("polygamma", "special_polygamma")
        for x in (POSITIVE, NEGATIVE)
    ),
    *(sample(f"{op}.default", POSITIVE + 2, 3) for op in ("mvlgamma", "special_multigammaln")),
    Sample("aten.special_zeta.default", (POSITIVE + 1.5, POSITIVE), no_gradient="torch has none for the first"),
    Sample(
        "aten.special_zeta.default",
        (floats(3.0, 3.0, 3.5, 1.0, 0.5, 4.0), floats(-1.5, -2.0, -1.5, 2.0, 2.0, -8.999)),
        no_gradient="torch has none for the first",
    ),
    sample("special_zeta.self_scalar", 3.0, POSITIVE),
    Sample("aten.special_zeta.other_scalar", (POSITIVE + 1.5, 2.0), no_gradient="torch has none for the first"),
    *(
        Sample(f"aten.{op}.default", (POSITIVE, FRACTION * 5), no_gradient="torch has none for the first argument")
        for op in ("igamma", "igammac", "special_gammainc", "special_gammaincc")
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_gamma(case: Sample) -> None:
    check(case)
