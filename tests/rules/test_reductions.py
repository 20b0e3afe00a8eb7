"""Samples of reductions: all dimensions, one, several, negative, kept; integers; ties; empty and 0-d tensors."""

import pytest
import torch
from harness import Sample, check, sample
from values import INF, NAN, bools, floats, integers, normal, scalar

X = normal(3, 4, 2)
N = integers(3, 4)
B = bools(3, 4)
BYTES = integers(3, 4, low=0, high=5, dtype=torch.uint8)
EMPTY = normal(0, 3)
TIES = torch.tensor([[1.0, 1.0, 0.0], [2.0, 3.0, 3.0]])
CONSTANT = torch.full((2, 4), 0.5)
DIMS = ([0], [-1], [0, 2], [], None)

SAMPLES = [
    *(sample(f"{op}.default", x) for op in ("sum", "prod", "nansum") for x in (X, N, B, BYTES, EMPTY, scalar(2.0))),
    *(sample("sum.dim_IntList", X, dim, keep) for dim in DIMS for keep in (False, True)),
    *(sample("sum.dim_IntList", x, [0]) for x in (N, B, BYTES, EMPTY)),
    sample("sum.default", N, dtype=torch.float32),
    *(sample("sum_to_size.default", normal(2, 3, 4), size) for size in ([3, 1], [1, 3, 4], [], [2, 3, 4])),
    sample("sum_to_size.default", bools(3), [1]),
    sample("sum.dim_IntList", B, [1], dtype=torch.float32),
    sample("sum.default", normal(300, dtype=torch.bfloat16)),
    *(sample(f"{op}.default", floats(1.0, NAN, 2.0)) for op in ("nansum", "nanmean")),
    sample("nansum.default", X, [0, 1], True),
    sample("nanmean.default", X, [0], True),
    *(sample("mean.default", x) for x in (X, EMPTY, scalar(2.0))),
    *(sample("mean.dim", X, dim, keep) for dim in DIMS for keep in (False, True)),
    sample("mean.dim", N, [0], dtype=torch.float32),
    sample("mean.default", B, dtype=torch.float32),
    sample("prod.default", floats(0.0, 2.0, 3.0)),
    sample("prod.default", floats(0.0, 0.0, 3.0)),
    *(sample("prod.dim_int", x, 1, keep) for x in (X, N, B) for keep in (False, True)),
    sample("prod.dim_int", N, 0, dtype=torch.float32),
    # variances
    *(sample(f"{op}.default", X, u) for op in ("var", "std", "var_mean", "std_mean") for u in (True, False)),
    *(
        sample(f"{op}.dim", X, [1], u, k)
        for op in ("var", "std", "var_mean", "std_mean")
        for u, k in ((True, False), (False, True))
    ),
    *(
        sample(f"{op}.correction", X, dim, **options)
        for op in ("var", "std", "var_mean", "std_mean")
        for dim in ([0, 2], [-1], None)
        for options in ({}, {"correction": 0, "keepdim": True}, {"correction": 1.0})
    ),
    *(sample(f"{op}.correction", CONSTANT, [1]) for op in ("std", "std_mean")),
    *(Sample(f"aten.{op}.default", (floats(2.0),), no_gradient="NaN in both") for op in ("var", "std")),
    # extremes
    *(
        sample(f"{op}.default", x, dim, keep)
        for op in ("amax", "amin")
        for x in (TIES, N)
        for dim in ([], [1], [0, 1])
        for keep in (False, True)
    ),
    *(sample("aminmax.default", TIES, dim=dim, keepdim=keep) for dim in (None, 1) for keep in (False, True)),
    *(sample(f"{op}.default", x) for op in ("max", "min") for x in (TIES, X, N, scalar(1.0))),
    *(
        Sample(f"aten.{op}.default", (floats(1.0, NAN),), no_gradient="torch gives it to the NaN")
        for op in ("max", "min")
    ),
    *(
        sample(f"{op}.dim", x, dim, keep)
        for op in ("max", "min")
        for x in (TIES, N, B)
        for dim in (0, -1)
        for keep in (False, True)
    ),
    *(
        sample(f"{op}.dim", x, 0)
        for op in ("max", "min")
        for x in (scalar(1.0), floats(1.0, NAN, 3.0), floats(INF, -INF))
    ),
    *(
        sample(f"{op}.default", x, dim, keep)
        for op in ("argmax", "argmin")
        for x in (TIES, N)
        for dim in (None, 0, -1)
        for keep in (False, True)
    ),
    *(sample(f"{op}.default", scalar(1.0)) for op in ("argmax", "argmin")),
    # logic
    *(sample(f"{op}.default", x) for op in ("any", "all") for x in (B, N, TIES, BYTES)),
    *(sample(f"{op}.dim", x, 1, keep) for op in ("any", "all") for x in (B, N, BYTES) for keep in (False, True)),
    *(sample(f"{op}.dims", x, dim, True) for op in ("any", "all") for x in (B, BYTES) for dim in ([0, 1], None)),
    *(sample(f"{op}.correction", X, [1], correction=1.5) for op in ("var", "std", "var_mean", "std_mean")),
    # a tensor without dimensions has the dimensions 0 and -1 all the same
    *(
        sample(f"{op}.{kind}", scalar(2.0), dim, keep)
        for op, kind in (("sum", "dim_IntList"), ("mean", "dim"), ("nansum", "default"), ("nanmean", "default"))
        for dim, keep in (([0], True), ([-1], False))
    ),
    *(sample(f"{op}.default", scalar(2.0), [0]) for op in ("amax", "amin")),
    *(sample(f"{op}.dim", scalar(2.0), -1) for op in ("any", "all")),
    *(sample(f"{op}.dims", scalar(2.0), [0]) for op in ("any", "all")),
    sample("prod.dim_int", scalar(2.0), 0, True),
    sample("count_nonzero.default", scalar(2.0), 0),
    sample("count_nonzero.default", TIES),
    sample("count_nonzero.default", TIES, 1),
    sample("count_nonzero.dim_IntList", TIES, [0, 1]),
    # log-sum-exp
    *(
        sample(f"{op}.default", X, dim, keep)
        for op in ("logsumexp", "special_logsumexp")
        for dim in ([0], [1, 2])
        for keep in (False, True)
    ),
    sample("logsumexp.default", floats(-300.0, 300.0, -INF), [0]),
    sample("logsumexp.default", N, [0]),
    sample("logsumexp.default", scalar(2.0), [0]),
    sample("logsumexp.default", floats(-INF, -INF), [0]),
    sample("logsumexp.default", torch.tensor(2.0 + 9.0j), [0]),  # the imaginary part is an angle
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_reductions(case: Sample) -> None:
    check(case)
