"""Samples of joining, splitting and padding: uneven parts, mixed dtypes, empty tensors, negative padding."""

import pytest
from harness import Sample, check, sample
from values import floats, integers, normal, scalar

X, Y = normal(3, 4), normal(3, 4, key="y")
V, W = floats(1.0, 2.0, 3.0), floats(4.0, 5.0, 6.0)
SERIES, IMAGE, VOLUME = normal(2, 3, 5), normal(2, 3, 5, 4), normal(1, 2, 4, 3, 5)

SAMPLES = [
    *(sample(f"{op}.default", [X, Y], dim) for op in ("cat", "concat", "concatenate") for dim in (0, -1)),
    sample("cat.default", [X, integers(3, 4)]),
    sample("cat.default", [X, normal(0), Y], 0),
    sample("cat.default", [normal(0), normal(0)]),
    *(sample("stack.default", [X, Y], dim) for dim in (0, 1, -1)),
    sample("stack.default", [integers(2), integers(2, key="b")]),
    *(
        sample(f"{op}.default", pair)
        for op in ("hstack", "vstack", "row_stack", "dstack", "column_stack")
        for pair in ([X, Y], [V, W])
    ),
    sample("block_diag.default", [X, V, scalar(2.0)]),
    *(
        sample("pad_sequence.default", [normal(2, 3), normal(4, 3), normal(0, 3)], first, -1.5, side)
        for first, side in ((True, "right"), (False, "left"))
    ),
    sample("pad_sequence.default", [V, normal(5)]),
    *(
        sample(f"{op}.Tensor", X, size, dim)
        for op in ("split", "unsafe_split")
        for size, dim in ((2, 1), (2, 0), (3, -1))
    ),
    *(sample(f"{op}.default", X, [1, 3], 1) for op in ("split_with_sizes", "unsafe_split_with_sizes")),
    sample("split.sizes", X, [1, 0, 2], 0),
    *(sample(f"{op}.int", normal(4, 4, 4), 2) for op in ("hsplit", "vsplit", "dsplit")),
    *(sample(f"{op}.array", normal(4, 4, 4), [1, 3]) for op in ("hsplit", "vsplit", "dsplit")),
    sample("hsplit.int", normal(4), 2),
    sample("cartesian_prod.default", [normal(2), normal(3)]),
    sample("cartesian_prod.default", [normal(2)]),
    Sample("aten._chunk_cat.default", ([normal(4, 5), normal(3, 5)], 0, 2), no_gradient="torch has none"),
    sample("meshgrid.indexing", [normal(2), scalar(1.0)], indexing="ij"),
    sample("meshgrid.default", [scalar(1.0)]),
    *(sample(f"{op}.default", normal(7, 2), n) for op in ("chunk", "unsafe_chunk") for n in (2, 3, 7, 9)),
    sample("chunk.default", X, 2, -1),
    sample("tensor_split.sections", normal(7, 2), 3),
    sample("tensor_split.indices", normal(7, 2), [1, 4]),
    *(sample("unbind.int", X, dim) for dim in (0, -1)),
    sample("meshgrid.default", [V, floats(1.0, 2.0)]),
    *(sample("meshgrid.indexing", [V, floats(1.0, 2.0)], indexing=i) for i in ("ij", "xy")),
    # padding
    *(sample("constant_pad_nd.default", X, pad, 0.5) for pad in ([1, 2], [1, 0, 0, 2], [-1, 2], [0, -1, -1, 0])),
    *(sample("pad.default", X, [2, 1], "constant", value) for value in (None, 1.5)),
    sample("pad.default", integers(3), [1, 1]),
    *(sample("pad.default", SERIES, [3, 2], mode) for mode in ("reflect", "replicate", "circular")),
    *(sample("pad.default", IMAGE, [2, 1, 3, 2], mode) for mode in ("reflect", "replicate", "circular")),
    sample("pad.default", IMAGE, [-1, 1, 2, -2], "reflect"),
    *(sample(f"{op}_pad1d.default", SERIES, [2, 3]) for op in ("reflection", "replication")),
    *(sample(f"{op}_pad2d.default", IMAGE, [2, 3, 1, 2]) for op in ("reflection", "replication")),
    *(sample(f"{op}_pad3d.default", VOLUME, [2, 1, 1, 2, 3, 1]) for op in ("reflection", "replication")),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_joining(case: Sample) -> None:
    check(case)
