"""Samples of products by groups: an empty group, all rows in one."""

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from harness import LimitSample, Sample, check, check_limit
from values import ints, normal

from regauge.rules.aten_to_jax import grouped

X, EXPERTS = normal(6, 3), normal(3, 3, 4)

SAMPLES = [
    Sample("transformers.grouped_mm_fallback.default", (X, EXPERTS, ints(2, 2, 6)), {}),
    Sample("transformers.grouped_mm_fallback.default", (X, EXPERTS, ints(0, 6, 6)), {}),
]

LIMITS = [
    LimitSample(
        "aten._grouped_mm.default",
        "the groups are not rows of self with one matrix each",
        (X, normal(3, 6), ints(2, 4, 6)),
    )
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_rule(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("case", LIMITS, ids=str)
def test_limit(case: LimitSample) -> None:
    check_limit(case)


@pytest.mark.parametrize("groups", [(2, 2, 6), (0, 6, 6), None], ids=str)
def test_torchs_own_grouped_product(groups: tuple[int, ...] | None) -> None:
    """It has no float64 kernel, so it is compared in float32 alone."""
    rows, experts = normal(*((6, 16) if groups else (3, 4, 16))), normal(3, 16, 16, key="experts")
    ends = None if groups is None else ints(*groups, dtype=torch.int32)
    expected = torch.ops.aten._grouped_mm.default(rows, experts, offs=ends)
    given = [jnp.asarray(x.numpy()) if x is not None else None for x in (rows, experts, ends)]
    assert np.allclose(grouped.grouped_product(*given), expected, rtol=1e-4, atol=1e-5)
