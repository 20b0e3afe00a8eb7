"""Samples of linear algebra: single and batched matrices, both sides, both triangles."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, normal

REGULAR = normal(3, 3) + 3 * torch.eye(3)
BATCH = normal(2, 3, 3) + 3 * torch.eye(3)
POSITIVE = REGULAR @ REGULAR.T
SYMMETRIC = torch.diag(torch.tensor([1.0, 2.0, 4.0])) + 0.1 * torch.ones(3, 3)
LOWER = REGULAR.tril()
NO_SIGN = "the gradient of single vectors depends on their sign, which is arbitrary"

SAMPLES = [
    *(
        sample(f"{op}.default", x)
        for op in ("linalg_inv", "inverse", "linalg_det", "det", "linalg_slogdet", "slogdet")
        for x in (REGULAR, BATCH)
    ),
    *(
        sample("linalg_solve.default", a, b)
        for a, b in ((REGULAR, normal(3)), (REGULAR, normal(3, 2)), (BATCH, normal(2, 3, 2)), (BATCH, normal(2, 3)))
    ),
    sample("linalg_solve.default", REGULAR, normal(2, 3), left=False),
    *(
        sample("linalg_solve_triangular.default", LOWER if not upper else LOWER.T, b, upper=upper, left=left)
        for upper in (False, True)
        for left, b in ((True, normal(3, 2)), (False, normal(2, 3)))
    ),
    sample("linalg_solve_triangular.default", LOWER, normal(3, 2), upper=False, unitriangular=True),
    *(
        sample(f"{op}.default", POSITIVE, upper=upper)
        for op in ("linalg_cholesky", "cholesky")
        for upper in (False, True)
    ),
    *(sample("linalg_eigvalsh.default", SYMMETRIC, side) for side in ("L", "U")),
    Sample("aten.linalg_eigh.default", (SYMMETRIC,), no_gradient=NO_SIGN),
    sample("linalg_svdvals.default", normal(3, 2)),
    Sample("aten.linalg_svd.default", (normal(3, 2), False), no_gradient=NO_SIGN),
    *(sample("linalg_qr.default", x) for x in (REGULAR, normal(4, 3), BATCH)),
    *(sample(f"{op}.default", x) for op in ("linalg_matrix_exp", "matrix_exp") for x in (normal(3, 3), SYMMETRIC)),
    *(sample("logdet.default", x) for x in (POSITIVE, BATCH)),
    *(sample("linalg_cholesky_ex.default", POSITIVE, upper=upper) for upper in (False, True)),
    sample("linalg_inv_ex.default", BATCH),
    *(sample(f"{op}.default", x, 1e-7) for op in ("linalg_pinv", "pinverse") for x in (normal(3, 2), REGULAR)),
    *(sample("linalg_matrix_norm.default", BATCH, order) for order in (2, 1, -1, INF, -INF)),
    sample("linalg_matrix_norm.default", BATCH, 1, [0, 2], True),
    *(sample("linalg_matrix_norm.str_ord", BATCH, order) for order in ("fro", "nuc")),
    sample("linalg_matrix_norm.str_ord", torch.zeros(2, 2), "fro"),
    sample("linalg_matrix_norm.str_ord", BATCH.double(), "fro", [0, 1], True, dtype=torch.float64),
    *(sample("nuclear_norm.default", REGULAR, keep) for keep in (False, True)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg(case: Sample) -> None:
    check(case)
