"""Samples of orthogonal polynomials: every degree up to a high one, the ends of the interval, numbers outside it."""

import pytest
import torch
from harness import Sample, check
from values import floats

KINDS = ("t", "u", "v", "w")
NAMES = (
    *(f"chebyshev_polynomial_{kind}" for kind in KINDS),
    *(f"shifted_chebyshev_polynomial_{kind}" for kind in KINDS),
    "hermite_polynomial_h",
    "hermite_polynomial_he",
    "laguerre_polynomial_l",
    "legendre_polynomial_p",
)
X = floats(-1.0, -0.3, 0.0, 0.4, 1.0, 2.5)[:, None]
DEGREES = torch.tensor([-1.0, 0.0, 1.0, 2.7, 5.0, 9.0])
NO_GRADIENT = "torch has none"

SAMPLES = [
    Sample(f"aten.special_{name}.{overload}", arguments, no_gradient=NO_GRADIENT)
    for name in NAMES
    for overload, arguments in (
        ("default", (X, DEGREES)),
        ("x_scalar", (0.3, DEGREES)),
        ("n_scalar", (X, 4)),
    )
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_polynomials(case: Sample) -> None:
    check(case)
