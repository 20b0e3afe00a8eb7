"""Samples of decompositions: square, tall, wide, batched and complex matrices, one triangle only."""

import jax
import numpy as np
import pytest
import torch
from harness import Sample, check, rule_of, sample
from values import floats, normal

REGULAR = normal(3, 3) + 3 * torch.eye(3)
BATCH = normal(2, 3, 3) + 3 * torch.eye(3)
POSITIVE = REGULAR @ REGULAR.T
COMPLEX = torch.complex(REGULAR, normal(3, 3, key="imaginary"))
HERMITIAN = COMPLEX @ COMPLEX.mH
SYMMETRIC = torch.diag(torch.tensor([1.0, 2.0, 4.0])) + 0.1 * torch.ones(3, 3)
WIDE = normal(3, 5)
REFLECTORS, SCALES = torch.geqrf(normal(4, 3))
NO_SIGN = "the gradient of single vectors depends on their sign, which is arbitrary"
NO_GRADIENT = "torch has none"

SAMPLES = [
    *(
        sample(f"{op}.default", x, upper=upper)
        for op in ("linalg_cholesky", "cholesky")
        for x in (POSITIVE, HERMITIAN)
        for upper in (False, True)
    ),
    *(sample("linalg_cholesky_ex.default", POSITIVE, upper=upper) for upper in (False, True)),
    *(sample("linalg_eigvalsh.default", x, side) for side in ("L", "U") for x in (SYMMETRIC, REGULAR)),
    Sample("aten.linalg_eigh.default", (SYMMETRIC,), no_gradient=NO_SIGN),
    *(sample("linalg_eigvals.default", x) for x in (REGULAR, COMPLEX)),
    Sample("aten.linalg_eig.default", (torch.diag(floats(1.0, 2.0, 3.0)),), no_gradient=NO_SIGN),
    sample("linalg_svdvals.default", normal(3, 2)),
    *(Sample("aten.linalg_svd.default", (x, False), no_gradient=NO_SIGN) for x in (normal(3, 2), REGULAR)),
    *(Sample("aten.svd.default", (x,), no_gradient=NO_SIGN) for x in (normal(3, 2), REGULAR)),
    Sample("aten.svd.default", (WIDE, True, False), no_gradient="torch has none without the vectors"),
    *(sample("linalg_qr.default", x) for x in (REGULAR, normal(4, 3), WIDE, BATCH, COMPLEX)),
    Sample("aten.linalg_qr.default", (normal(4, 3), "r"), no_gradient=NO_GRADIENT),
    *(sample("qr.default", x) for x in (REGULAR, WIDE)),
    Sample("aten.geqrf.default", (normal(4, 3),), no_gradient=NO_GRADIENT),
    *(sample(f"{op}.default", REFLECTORS, SCALES) for op in ("linalg_householder_product", "orgqr")),
    sample("linalg_householder_product.default", torch.zeros(3, 0), torch.zeros(0)),
    *(
        sample("ormqr.default", REFLECTORS, SCALES, c, left, transpose)
        for left, c in ((True, normal(4, 2)), (False, normal(2, 4)))
        for transpose in (False, True)
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_linalg_decompositions(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("shape", [(3, 5), (5, 3), (2, 4, 3)])
def test_full_bases(shape: tuple[int, ...]) -> None:
    """The vectors that complete the bases are free; the product and their orthogonality are not."""
    x = normal(*shape).double()
    with jax.enable_x64(True):
        left, values, right = (
            torch.tensor(np.asarray(part)) for part in rule_of("aten.linalg_svd.default").fn(x.numpy())
        )
    least = values.shape[-1]
    torch.testing.assert_close((left[..., :least] * values[..., None, :]) @ right[..., :least, :], x)
    for basis in (left, right):
        identity = torch.eye(basis.shape[-1], dtype=torch.float64).expand(basis.shape)
        torch.testing.assert_close(basis.mT @ basis, identity)
