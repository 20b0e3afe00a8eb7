"""Samples of norms and distances: every order, zeros, ties, equal points."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, normal

X = normal(3, 4)
BATCH = normal(2, 3, 3)
ZERO = torch.zeros(2, 3)
SOME_ZEROS = torch.tensor([[0.0, -2.0, 2.0], [0.0, 0.0, 0.0]])
ORDERS = (2, 1, 0, INF, -INF, 3, 1.5, 0.5)

SAMPLES = [
    *(
        sample("linalg_vector_norm.default", x, order, dim)
        for x in (X, SOME_ZEROS)
        for order in ORDERS
        for dim in (None, [1])
    ),
    sample("linalg_vector_norm.default", X, 2, [0, 1], True),
    sample("linalg_vector_norm.default", X, 2, [0], dtype=torch.float64),
    *(sample("norm.Scalar", x, p) for x in (X, ZERO) for p in (2, 1, 3)),
    *(sample("norm.ScalarOpt_dim", SOME_ZEROS, p, [1], keep) for p in (None, 1, 2) for keep in (False, True)),
    sample("norm.ScalarOpt_dim_dtype", X, 2, [1], False, dtype=torch.float64),
    sample("norm.ScalarOpt_dtype", X, 2, dtype=torch.float64),
    *(sample("linalg_norm.default", x, order) for x in (X, X[0]) for order in (None, 2, 1, -INF)),
    sample("linalg_norm.default", X, 3, [1], True),
    *(sample("linalg_norm.ord_str", BATCH[0], order) for order in ("fro", "nuc")),
    sample("linalg_norm.ord_str", BATCH, "fro", [0, 2], True),
    *(sample("linalg_matrix_norm.default", BATCH, order) for order in (2, 1, -1, INF, -INF)),
    sample("linalg_matrix_norm.default", BATCH, 1, [0, 2], True),
    *(sample("linalg_matrix_norm.str_ord", BATCH, order) for order in ("fro", "nuc")),
    *(sample("linalg_matrix_norm.default", torch.zeros(3, 3), order) for order in (2, -2, 1, -1, INF, -INF)),
    *(sample("linalg_matrix_norm.default", BATCH, order, [2, 0], keep) for order in (2, INF) for keep in (True, False)),
    *(sample("linalg_norm.default", torch.zeros(size), order) for size in ((0, 4), (4, 0)) for order in (INF, 1, 2)),
    *(sample("linalg_matrix_norm.default", torch.zeros(3, 0, 4), order) for order in (INF, 1, -1, 2)),
    sample("linalg_matrix_norm.str_ord", torch.zeros(3, 3), "nuc"),
    sample("linalg_matrix_norm.str_ord", torch.zeros(2, 2), "fro"),
    sample("linalg_matrix_norm.str_ord", BATCH.double(), "fro", [0, 1], True, dtype=torch.float64),
    *(sample("nuclear_norm.default", BATCH[0], keep) for keep in (False, True)),
    sample("nuclear_norm.dim", BATCH, [0, 2], True),
    sample("frobenius_norm.dim", X, [0, 1]),
    sample("frobenius_norm.dim", ZERO, [1], True),
    *(sample("dist.default", X, y, p) for y in (normal(3, 4, key="y"), X.clone()) for p in (2, 1, 3)),
    *(
        sample("cdist.default", x, y, p)
        for x, y in ((X, normal(2, 4)), (X, X.clone()), (normal(2, 3, 4), normal(2, 5, 4)))
        for p in (2.0, 1.0, 3.0)
    ),
    *(sample("pdist.default", x, p) for x in (X, ZERO) for p in (2.0, 1.0)),
    sample("renorm.default", X, 2, 0, 1.0),
    *(
        Sample(
            "aten.embedding_renorm.default",
            (x, torch.tensor(indices), 1.0, p),
            no_gradient="torch has none: it scales detached rows (tests/emit/test_max_norm.py has those of lookups)",
        )
        for x in (X, ZERO)
        for indices in ([0, 1, 0], [[1], [1]])
        for p in (2.0, 1.0, INF)
    ),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_norms(case: Sample) -> None:
    check(case)
