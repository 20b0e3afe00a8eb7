"""Samples of indefinite factors: pivots of one and of two, symmetric and Hermitian matrices, an empty batch."""

import pytest
import torch
from harness import Sample, check
from values import normal

SYMMETRIC = normal(2, 5, 5) + normal(2, 5, 5).mT
HOLLOW = SYMMETRIC - torch.diag_embed(SYMMETRIC.diagonal(dim1=-2, dim2=-1))
COMPLEX = torch.complex(normal(4, 4), normal(4, 4, key="imaginary"))
HERMITIAN = COMPLEX + COMPLEX.mH
NO_GRADIENT = "torch has none"

MATRICES = ((SYMMETRIC, False), (HOLLOW, False), (HERMITIAN, True), (COMPLEX + COMPLEX.mT, False))

SAMPLES = [
    *(
        Sample(f"aten.{op}.default", (x,), {"hermitian": hermitian}, no_gradient=NO_GRADIENT)
        for op in ("linalg_ldl_factor", "linalg_ldl_factor_ex")
        for x, hermitian in MATRICES
    ),
    Sample("aten.linalg_ldl_factor.default", (torch.zeros(0, 3, 3),), no_gradient=NO_GRADIENT),
    *(
        Sample(
            "aten.linalg_ldl_solve.default",
            (
                *torch.linalg.ldl_factor(x, hermitian=hermitian),
                normal(x.shape[-1], 2).to(x.dtype).expand(*x.shape[:-1], 2),
            ),
            {"hermitian": hermitian},
            no_gradient=NO_GRADIENT,
        )
        for x, hermitian in MATRICES
    ),
    Sample(
        "aten.linalg_ldl_solve.default",
        (torch.zeros(0, 3, 3), torch.zeros(0, 3, dtype=torch.int32), torch.zeros(0, 3, 2)),
        no_gradient=NO_GRADIENT,
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg_indefinite(case: Sample) -> None:
    check(case)
