"""Samples of views by strides: overlapping windows, a diagonal, an offset."""

import pytest
from harness import Sample, check, sample
from values import normal

X = normal(3, 4)

SAMPLES = [
    *(sample(f"{op}.default", X, [2, 2], [1, 2]) for op in ("as_strided", "as_strided_copy")),
    sample("as_strided.default", X, [3], [5]),
    sample("as_strided.default", X, [5, 3], [2, 1], 1),
    # torch's derivative by self is that of the elements that are overwritten, where it must be 0
    Sample("aten.as_strided_scatter.default", (X, normal(3, key="src"), [3], [5]), held=("self",)),
    Sample("aten.as_strided_scatter.default", (X, normal(2, 2, key="src"), [2, 2], [4, 2], 1), held=("self",)),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_rule(case: Sample) -> None:
    check(case)
