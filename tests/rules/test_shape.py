"""Samples of shape operators: negative dimensions, size-1 and empty dimensions, 0-d."""

import pytest
from harness import LimitSample, Sample, check, check_limit, sample
from values import floats, integers, ints, normal, scalar

X = normal(2, 3, 4)
MATRIX = normal(3, 4)
ONES = normal(1, 3, 1)
IMAGE = normal(2, 8, 3, 4)

SAMPLES = [
    *(
        sample(f"{op}.default", X, size)
        for op in ("view", "reshape", "_unsafe_view")
        for size in ([6, 4], [-1], [2, -1])
    ),
    sample("reshape.default", normal(0, 3), [3, 0]),
    *(sample(f"{op}.default", X, normal(6, 4)) for op in ("view_as", "reshape_as")),
    *(sample("flatten.using_ints", X, *dims) for dims in ((), (1,), (0, 1), (-2, -1))),
    sample("flatten.using_ints", scalar(1.0)),
    sample("ravel.default", X),
    sample("unflatten.int", X, -1, [2, 2]),
    sample("unflatten.int", X, 1, [3, -1]),
    sample("permute.default", X, [2, 0, 1]),
    sample("permute.default", X, [-1, 0, 1]),
    *(
        sample(f"{op}.{overload}", X, 0, -1)
        for op, overload in (("transpose", "int"), ("swapdims", "default"), ("swapaxes", "default"))
    ),
    sample("transpose.int", scalar(1.0), 0, 0),
    *(sample(f"{op}.default", x) for op in ("t", "numpy_T") for x in (MATRIX, floats(1.0, 2.0))),
    sample("mT.default", X),
    *(sample(f"{op}.int", X, 0, 2) for op in ("movedim", "moveaxis")),
    *(sample(f"{op}.intlist", X, [0, 1], [1, 2]) for op in ("movedim", "moveaxis")),
    *(sample("squeeze.default", x) for x in (ONES, X)),
    *(sample("squeeze.dim", ONES, dim) for dim in (0, 1, -1)),
    sample("squeeze.dim", scalar(1.0), 0),
    sample("squeeze.dims", ONES, [0, 1]),
    sample("squeeze.dims", scalar(1.0), [0]),
    sample("squeeze.dims", ONES, [0, -1]),
    *(sample("unsqueeze.default", MATRIX, dim) for dim in (0, 1, -1)),
    sample("unsqueeze.default", scalar(1.0), 0),
    *(sample(f"{op}.default", ONES, [2, 3, 4]) for op in ("expand", "broadcast_to")),
    *(sample(f"{op}.default", ONES, [5, -1, -1, 4]) for op in ("expand", "broadcast_to")),
    sample("expand_as.default", ONES, X),
    sample("broadcast_tensors.default", [ONES, normal(2, 1, 4)]),
    sample("flip.default", X, [0, -1]),
    *(sample(f"{op}.default", MATRIX) for op in ("flipud", "fliplr")),
    *(sample("rot90.default", X, k, [0, 2]) for k in (1, 2, -1)),
    sample("roll.default", X, [1]),
    sample("roll.default", X, [1, -2], [0, 2]),
    *(sample(f"{op}.default", MATRIX, repeats) for op in ("repeat", "tile") for repeats in ([2, 1], [2, 1, 3])),
    sample("tile.default", X, [2]),
    sample("repeat_interleave.self_int", MATRIX, 2),
    sample("repeat_interleave.self_int", MATRIX, 2, 1),
    sample("repeat_interleave.self_Tensor", MATRIX, ints(1, 0, 2), 0, output_size=3),
    *(sample("diagonal.default", X, *a) for a in ((), (1,), (-1, 0, 2))),
    *(sample("diag.default", x, k) for x in (MATRIX, floats(1.0, 2.0)) for k in (0, 1, -1)),
    *(sample("diag_embed.default", MATRIX, *a) for a in ((), (1,), (-2,), (0, 0, 2))),
    *(
        sample(f"{op}.default", x, k)
        for op in ("tril", "triu")
        for x in (MATRIX, X, integers(3, 3))
        for k in (0, 1, -1)
    ),
    sample("pixel_shuffle.default", IMAGE, 2),
    sample("pixel_unshuffle.default", normal(2, 2, 4, 6), 2),
    sample("channel_shuffle.default", IMAGE, 4),
    *(sample("unfold.default", X, dim, 2, step) for dim in (1, -1) for step in (1, 2)),
    sample("unfold.default", scalar(1.0), 0, 1, 1),
    *(sample("atleast_1d.default", x) for x in (scalar(1.0), MATRIX)),
    *(sample("atleast_2d.default", x) for x in (scalar(1.0), floats(1.0, 2.0), X)),
    *(sample(f"{op}.default", MATRIX) for op in ("adjoint", "mH")),
    *(sample("diagflat.default", MATRIX, k) for k in (0, 1, -1)),
    *(sample(f"atleast_{n}d.Sequence", [scalar(1.0), MATRIX]) for n in (1, 2, 3)),
    *(sample("atleast_3d.default", x) for x in (scalar(1.0), floats(1.0, 2.0), MATRIX, X)),
]

LIMITS = [
    LimitSample("aten.repeat_interleave.self_Tensor", "output_size is not given", (MATRIX, ints(1, 0, 2), 0)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_shape(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limits(case: LimitSample) -> None:
    check_limit(case)
