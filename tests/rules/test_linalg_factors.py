"""Samples of triangular factors: square, tall, wide and singular matrices, solutions from either side."""

import pytest
import torch
from harness import LimitSample, Sample, check, check_limit, sample
from values import normal

REGULAR = normal(3, 3) + 3 * torch.eye(3)
BATCH = normal(2, 3, 3) + 3 * torch.eye(3)
WIDE, TALL = normal(3, 5), normal(5, 3)
SINGULAR = torch.ones(3, 3)
FACTORS, PIVOTS = torch.linalg.lu_factor(BATCH)
LOWER = torch.linalg.cholesky(BATCH @ BATCH.mT)

SAMPLES = [
    *(
        sample(f"{op}.default", x)
        for op in ("linalg_lu", "linalg_lu_factor", "linalg_lu_factor_ex", "_lu_with_info")
        for x in (REGULAR, WIDE, TALL, BATCH)
    ),
    Sample("aten.linalg_lu_factor_ex.default", (SINGULAR,), no_gradient="the matrix is singular"),
    *(sample("lu_unpack.default", FACTORS, PIVOTS, True, pivots) for pivots in (True, False)),
    *(
        Sample("aten.lu_unpack.default", (FACTORS, PIVOTS, False, pivots), no_gradient="torch raises: no factors")
        for pivots in (True, False)
    ),
    *(
        sample("linalg_lu_solve.default", FACTORS, PIVOTS, b, left=left, adjoint=adjoint)
        for left, b in ((True, normal(2, 3, 2)), (False, normal(2, 2, 3)))
        for adjoint in (False, True)
    ),
    sample("lu_solve.default", normal(2, 3, 2), FACTORS, PIVOTS),
    *(sample("cholesky_solve.default", normal(2, 3, 2), f, upper) for f, upper in ((LOWER, False), (LOWER.mT, True))),
    *(sample("cholesky_inverse.default", f, upper) for f, upper in ((LOWER, False), (LOWER.mT, True))),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg_factors(case: Sample) -> None:
    check(case)


LIMITS = [
    LimitSample(f"aten.{op}.default", "without pivots", (REGULAR,), {"pivot": False})
    for op in ("linalg_lu", "linalg_lu_factor", "linalg_lu_factor_ex", "_lu_with_info")
]


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
