from dataclasses import replace
from itertools import product

import jax.numpy as jnp
import pytest
import torch
from harness import Sample, check, sample

from regauge.rules.aten_to_jax import resize, resize_nearest


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


IMAGES = {1: (7,), 2: (5, 7), 3: (5, 7, 4)}
LINEAR = {1: "upsample_linear1d", 2: "upsample_bilinear2d", 3: "upsample_trilinear3d"}


def nearest(rank: int) -> list[Sample]:
    x = normal(2, 3, *IMAGES[rank])
    found = []
    for op in (f"upsample_nearest{rank}d", f"_upsample_nearest_exact{rank}d"):
        found.append(sample(f"{op}.default", x, (10, 13, 4)[:rank]))
        found.append(sample(f"{op}.vec", x, None, [2.0] * rank))
        contradicting = sample(f"{op}.default", x, (14,) * rank, *(2.1,) * rank)  # 2.1 * 7, rounded down
        uneven = rank != 2 and op.startswith("upsample")
        reason = "torch's backward repeats evenly where its own forward does not" if uneven else ""
        found.append(replace(contradicting, no_gradient=reason))
        if rank == 2:
            found += [sample(f"{op}.vec", x, None, [f] * rank) for f in (3.0, 1.7, 0.6)]
            found += [sample(f"{op}.vec", x, (10, 7), None), sample(f"{op}.vec", x[:0], (4, 4), None)]
    return found


def weighted(op: str, rank: int) -> list[Sample]:
    x = normal(2, 3, *IMAGES[rank])
    found = []
    for align in (False, True):
        found.append(sample(f"{op}.default", x, (10, 2, 4)[:rank], align))
        found.append(sample(f"{op}.vec", x, None, align, [1.7] * rank))
    if rank == 2:
        found += [sample(f"{op}.vec", x, None, align, [f] * rank) for align in (False, True) for f in (2.0, 0.6)]
        found += [sample(f"{op}.vec", x, (1, 9), align, None) for align in (False, True)]
        found.append(sample(f"{op}.default", x, (14, 14), False, 2.1, 2.1))
    return found


SAMPLES = [s for rank in (1, 2, 3) for s in nearest(rank) + weighted(LINEAR[rank], rank)] + [
    s for op in ("upsample_bicubic2d", "_upsample_bilinear2d_aa", "_upsample_bicubic2d_aa") for s in weighted(op, 2)
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_resize(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("rule", [resize_nearest.upsample_nearest2d_vec, resize_nearest.upsample_nearest_exact2d_vec])
@pytest.mark.parametrize("factor", [2.0, 1.7])
def test_nearest_channels_last(rule, factor: float) -> None:
    x = jnp.asarray(normal(2, 3, 5, 7).numpy())
    last = rule(jnp.moveaxis(x, 1, -1), None, (factor, factor), channels_last=True)
    assert jnp.array_equal(jnp.moveaxis(last, -1, 1), rule(x, None, (factor, factor)))


RULES = [resize.upsample_bilinear2d_vec, resize.upsample_bicubic2d_vec, resize.upsample_bilinear2d_aa_vec]


@pytest.mark.parametrize(("rule", "align_corners"), list(product(RULES, [False, True])))
def test_weighted_channels_last(rule, align_corners: bool) -> None:
    x = jnp.asarray(normal(2, 3, 5, 7).numpy())
    last = rule(jnp.moveaxis(x, 1, -1), (8, 9), align_corners, None, channels_last=True)
    assert jnp.allclose(jnp.moveaxis(last, -1, 1), rule(x, (8, 9), align_corners, None), atol=1e-6)
