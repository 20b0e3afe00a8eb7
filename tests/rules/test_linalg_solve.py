"""Samples of linear systems: both sides, both triangles, ranks that are not full."""

import pytest
import torch
from harness import Sample, check, sample
from values import floats, normal

REGULAR = normal(3, 3) + 3 * torch.eye(3)
BATCH = normal(2, 3, 3) + 3 * torch.eye(3)
LOWER = REGULAR.tril()
TALL = normal(4, 3)
HERMITIAN = BATCH + BATCH.mT
SINGULAR = torch.outer(floats(1.0, 2.0, 3.0), floats(1.0, 0.0, 2.0))

SAMPLES = [
    *(sample(f"{op}.default", x) for op in ("linalg_inv", "inverse") for x in (REGULAR, BATCH)),
    sample("linalg_inv_ex.default", BATCH),
    sample("linalg_tensorinv.default", normal(4, 6, 8, 3) + torch.eye(24).reshape(4, 6, 8, 3) * 5),
    *(
        sample("linalg_solve.default", a, b)
        for a, b in ((REGULAR, normal(3)), (REGULAR, normal(3, 2)), (BATCH, normal(2, 3, 2)), (BATCH, normal(2, 3)))
    ),
    sample("linalg_solve.default", REGULAR, normal(2, 3), left=False),
    *(
        sample("linalg_solve_ex.default", BATCH, b, left=left)
        for left, b in ((True, normal(3, 2)), (False, normal(2, 2, 3)))
    ),
    *(sample("linalg_tensorsolve.default", normal(2, 3, 6), normal(2, 3), dims) for dims in (None, [2])),
    *(
        sample("linalg_solve_triangular.default", LOWER if not upper else LOWER.T, b, upper=upper, left=left)
        for upper in (False, True)
        for left, b in ((True, normal(3, 2)), (False, normal(2, 3)))
    ),
    sample("linalg_solve_triangular.default", LOWER, normal(3, 2), upper=False, unitriangular=True),
    *(
        sample("triangular_solve.default", normal(3, 2), LOWER, False, transpose, unit)
        for transpose in (False, True)
        for unit in (False, True)
    ),
    *(
        Sample("regauge.lstsq.default", (TALL, b), {"driver": driver})
        for driver in (None, "gels")
        for b in (normal(4, 2), normal(4))
    ),
    Sample("regauge.lstsq.default", (TALL.T, normal(3, 2)), {"driver": "gelsd"}, no_gradient="of the singular values"),
    *(sample(f"{op}.default", x, 1e-7) for op in ("linalg_pinv", "pinverse") for x in (normal(3, 2), REGULAR)),
    sample("linalg_pinv.default", HERMITIAN, 1e-7, True),
    *(sample("linalg_pinv.atol_rtol_float", x, atol=atol) for x in (TALL, SINGULAR) for atol in (None, 1e-3)),
    *(sample("linalg_pinv.atol_rtol_tensor", x) for x in (TALL, BATCH)),
    Sample(
        "aten.linalg_pinv.atol_rtol_tensor",
        (BATCH,),
        {"atol": torch.tensor([0.1, 2.0]), "rtol": torch.tensor(1e-3)},
        held=("atol", "rtol"),
    ),
    sample("linalg_pinv.atol_rtol_tensor", HERMITIAN, hermitian=True),
    Sample("aten.linalg_pinv.rcond_tensor", (BATCH, torch.tensor([0.1, 1e-3])), held=("rcond",)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg_solve(case: Sample) -> None:
    check(case)
