"""Samples of complex numbers: parts, conjugates, angles, the number 0."""

import pytest
import torch
from harness import Sample, check, sample
from values import floats, integers, normal

Z = torch.complex(normal(3, 4), normal(3, 4, key="imaginary"))
WITH_ZERO = torch.complex(floats(0.0, 1.0, -2.0), floats(0.0, 0.0, 3.0))
X = normal(3, 4)
PAIRS = normal(3, 2)

SAMPLES = [
    sample("complex.default", X, normal(3, 4, key="imaginary")),
    sample("complex.default", X, normal(4)),
    sample("polar.default", X.abs() + 0.1, normal(3, 4, key="angle")),
    sample("view_as_complex.default", PAIRS),
    sample("view_as_real.default", Z),
    *(sample("real.default", x) for x in (Z, X)),
    sample("imag.default", Z),
    *(
        sample(f"{op}.default", x)
        for op in ("conj", "conj_physical", "resolve_conj", "resolve_neg", "matrix_H")
        for x in (Z, X.T)
    ),
    *(sample(f"{op}.default", Z) for op in ("_conj", "adjoint")),
    sample("_neg_view.default", X),
    *(sample(f"{op}.default", x) for op in ("angle", "sgn") for x in (WITH_ZERO, X, integers(3))),
    sample("abs.default", WITH_ZERO),
    sample("isreal.default", WITH_ZERO),
    *(sample(f"{op}.default", Z) for op in ("exp", "log", "sqrt", "sin", "tanh", "reciprocal")),
    *(sample("linalg_vector_norm.default", WITH_ZERO, order) for order in (2, 1, 3)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_complex_numbers(case: Sample) -> None:
    check(case)
