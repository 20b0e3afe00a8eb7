"""Samples of products: vectors, matrices, batches, broadcasting, scaled sums, integers."""

import pytest
import torch
from harness import Sample, check, sample
from values import NAN, floats, integers, normal

A, B, V, W = normal(3, 4), normal(4, 5), normal(4), normal(5)
BATCH, OTHER = normal(2, 3, 4), normal(2, 4, 5)
SCALES = ({}, {"beta": 0.5, "alpha": 2.0}, {"beta": 0})

SAMPLES = [
    *(
        sample("matmul.default", x, y)
        for x, y in ((A, B), (V, B), (A, V), (V, V.clone()), (BATCH, OTHER), (BATCH, B), (A, OTHER), (BATCH, V))
    ),
    sample("matmul.default", integers(2, 3), integers(3, 2)),
    sample("matmul.default", normal(3, 4, dtype=torch.bfloat16), normal(4, 2, dtype=torch.bfloat16)),
    sample("mm.default", A, B),
    sample("mm.default", normal(0, 4), B),
    sample("bmm.default", BATCH, OTHER),
    sample("mv.default", A, V),
    sample("dot.default", V, normal(4, key="v")),
    sample("vdot.default", V, normal(4, key="v")),
    sample("inner.default", A, normal(2, 4)),
    *(sample(f"{op}.default", V, W) for op in ("outer", "ger")),
    *(sample("linear.default", x, normal(5, 4), bias) for x in (V, A, BATCH) for bias in (None, W)),
    *(sample("bilinear.default", A, normal(3, 2), normal(5, 4, 2), bias) for bias in (None, W)),
    *(sample("addmm.default", m, A, B, **scales) for m in (W, normal(3, 5)) for scales in SCALES),
    sample("addmm.default", floats(NAN), A, B, beta=0),
    *(sample("addmv.default", normal(3), A, V, **scales) for scales in SCALES),
    *(sample("addr.default", normal(4, 5), V, W, **scales) for scales in SCALES),
    *(sample("baddbmm.default", normal(2, 3, 5), BATCH, OTHER, **scales) for scales in SCALES),
    *(sample("addbmm.default", normal(3, 5), BATCH, OTHER, **scales) for scales in SCALES),
    *(
        sample("einsum.default", equation, tensors)
        for equation, tensors in (
            ("ij,jk->ik", [A, B]),
            ("bij,bjk", [BATCH, OTHER]),
            ("...ij->...ji", [BATCH]),
            ("ii->i", [normal(3, 3)]),
            ("i j, j -> i", [A, V]),
            ("b i j, b j k, k -> b i", [BATCH, OTHER, W]),
        )
    ),
    sample("tensordot.default", BATCH, OTHER, [0, 2], [0, 1]),
    sample("tensordot.default", normal(1, 3), normal(2, 4), [0], [0]),
    sample("tensordot.default", normal(3, 2), normal(1, 4), [1], [0]),
    sample("kron.default", A, normal(2, 2)),
    sample("chain_matmul.default", [A, B, normal(5, 2)]),
    sample("linalg_multi_dot.default", [A, B, normal(5, 2)]),
    *(sample(f"{op}.default", normal(3, 3), n) for op in ("matrix_power", "linalg_matrix_power") for n in (0, 1, 3)),
    sample("trace.default", normal(3, 4)),
    sample("linalg_cross.default", normal(2, 3), normal(2, 3, key="b")),
    sample("cross.default", normal(3, 2), normal(3, 2, key="b")),
    sample("cross.default", normal(2, 3), normal(2, 3, key="b"), 1),
    sample("linalg_matmul.default", BATCH, B),
    *(sample("linalg_vecdot.default", A, normal(3, 4, key="v"), dim=dim) for dim in (-1, 0)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_matmul(case: Sample) -> None:
    check(case)
