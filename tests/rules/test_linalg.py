"""Samples of functions of matrices: determinants, exponentials, ranks, conditions, covariances."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, floats, integers, normal

REGULAR = normal(3, 3) + 3 * torch.eye(3)
BATCH = normal(2, 3, 3) + 3 * torch.eye(3)
POSITIVE = REGULAR @ REGULAR.T
SYMMETRIC = torch.diag(torch.tensor([1.0, 2.0, 4.0])) + 0.1 * torch.ones(3, 3)
SINGULAR = torch.outer(floats(1.0, 2.0, 3.0), floats(1.0, 0.0, 2.0))
EMPTY = torch.zeros(0, 0)
WEIGHTS = {"fweights": torch.tensor([1, 2, 1, 3]), "aweights": floats(0.5, 1.0, 0.2, 2.0)}
WRITTEN_OVER = "torch writes over what its derivative needs"

SAMPLES = [
    *(sample(f"{op}.default", x) for op in ("linalg_det", "det") for x in (REGULAR, BATCH, EMPTY)),
    *(sample(f"{op}.default", x) for op in ("linalg_slogdet", "slogdet") for x in (REGULAR, BATCH)),
    *(sample("logdet.default", x) for x in (POSITIVE, BATCH)),
    *(sample(f"{op}.default", x) for op in ("linalg_matrix_exp", "matrix_exp") for x in (normal(3, 3), SYMMETRIC)),
    *(sample("linalg_diagonal.default", BATCH, offset=offset) for offset in (0, 1)),
    *(
        Sample("aten.vander.default", (floats(0.0, 1.5, -2.0), n, rising), no_gradient=WRITTEN_OVER)
        for n in (None, 2)
        for rising in (False, True)
    ),
    *(sample("linalg_vander.default", x, N=n) for n in (None, 2) for x in (floats(0.0, 1.5, -2.0), integers(2, 3))),
    *(sample("linalg_cond.default", BATCH, p) for p in (None, -2)),
    *(Sample("aten.linalg_cond.default", (BATCH, p), no_gradient=WRITTEN_OVER) for p in (1, -INF)),
    sample("linalg_cond.default", EMPTY),
    sample("linalg_cond.p_str", BATCH, "nuc"),
    Sample("aten.linalg_cond.p_str", (BATCH, "fro"), no_gradient=WRITTEN_OVER),
    sample("linalg_cond.p_str", EMPTY, "fro"),
    *(
        sample("linalg_matrix_rank.default", x, 1e-3, hermitian)
        for x, hermitian in ((SINGULAR, False), (POSITIVE, True))
    ),
    sample("linalg_matrix_rank.tol_tensor", BATCH, torch.tensor(2.0)),
    *(sample("linalg_matrix_rank.atol_rtol_tensor", x) for x in (SINGULAR, BATCH)),
    sample("linalg_matrix_rank.atol_rtol_tensor", BATCH, atol=torch.tensor([1.0, 3.0]), rtol=torch.tensor(0.3)),
    *(sample("linalg_matrix_rank.atol_rtol_float", SINGULAR, atol=atol) for atol in (None, 10.0)),
    *(Sample("regauge.cov.default", (x,), options) for x, options in ((normal(3, 4), {}), (normal(3, 4), WEIGHTS))),
    Sample("regauge.cov.default", (normal(5),), {"correction": 0}),
    *(Sample("regauge.corrcoef.default", (x,)) for x in (normal(3, 5), integers(2, 4))),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg(case: Sample) -> None:
    check(case)
