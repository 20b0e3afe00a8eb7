import jax
import jax.numpy as jnp
import pytest
import torch
from harness import Sample, check, sample

from regauge.rules.aten_to_jax import average_pooling, max_pooling


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def steps(*shape: int) -> torch.Tensor:
    """Few different values: most windows hold their maximum more than once."""
    return torch.randint(0, 3, shape, generator=torch.Generator().manual_seed(sum(shape))).float()


IMAGES = {1: (9,), 2: (9, 8), 3: (7, 5, 6)}


def windows(rank: int) -> list[Sample]:
    """kernel, stride, padding, dilation, ceil_mode: rounding up matters in the third and fourth."""
    x, ties = normal(2, 3, *IMAGES[rank]), steps(2, 3, *IMAGES[rank])
    threes, twos, ones = (3,) * rank, (2,) * rank, (1,) * rank
    options = [
        (twos,),
        (threes, twos, ones),
        (threes, twos, ones, ones, True),
        (twos, threes, ones, ones, True),
        (threes, ones, ones, twos),
        (threes, twos, ones, twos, True),
    ]
    options = options if rank == 2 else options[2:5]
    found = [sample(f"max_pool{rank}d.default", ties, *o) for o in options]
    found += [sample(f"max_pool{rank}d_with_indices.default", ties, *o) for o in options]
    if rank != 2:
        return found
    found += [sample(f"max_pool{rank}d.default", x[0], threes), sample(f"max_pool{rank}d.default", x[:0], threes)]
    nothing = torch.full((1, 1, *IMAGES[rank]), -torch.inf)
    found.append(sample(f"max_pool{rank}d_with_indices.default", nothing, threes, twos, ones))
    return found


def averages(rank: int) -> list[Sample]:
    x = normal(2, 3, *IMAGES[rank])
    threes, twos, ones = (3,) * rank, (2,) * rank, (1,) * rank
    op = f"avg_pool{rank}d.default"
    found = [
        sample(op, x, twos),
        sample(op, x, threes, twos, ones),
        sample(op, x, threes, twos, ones, False, False),
        sample(op, x, threes, twos, ones, True),
        sample(op, x, twos, threes, ones, True, False),
        sample(op, x[0], threes),
        sample(op, x[:0], twos),
    ]
    if rank > 1:
        found.append(sample(op, x, threes, twos, ones, True, True, 5))
    return found if rank == 2 else found[2:5] + found[7:]


def adaptive(rank: int) -> list[Sample]:
    x, ties = normal(2, 3, *IMAGES[rank]), steps(2, 3, *IMAGES[rank])
    sizes = [(1,) * rank, (5, 4, 3)[:rank], (11,) * rank]
    found = [sample(f"adaptive_avg_pool{rank}d.default", x, size) for size in sizes[: 4 - rank]]
    found += [sample(f"adaptive_max_pool{rank}d.default", ties, size) for size in sizes[: 4 - rank]]
    return [*found, *(sample(f"adaptive_{kind}_pool{rank}d.default", x[0], sizes[1]) for kind in ("avg", "max"))]


def indices(*shape: int) -> torch.Tensor:
    """Positions in an image of 24 elements, no two alike within one channel."""
    return torch.stack([torch.randperm(24)[: shape[-1] * shape[-2]] for _ in range(shape[0] * shape[1])]).reshape(shape)


RANDOM = torch.Generator().manual_seed(3)
OVERLAPPING = torch.tensor([[[[1.5, 1.5], [0.5, 2.0]]]]), torch.tensor([[[[5, 5], [2, 7]]]])

SAMPLES = [s for rank in (1, 2, 3) for s in windows(rank) + averages(rank) + adaptive(rank)] + [
    sample("avg_pool2d.default", normal(1, 2, 4, 5), [2560, 2560], [2560, 2560], [0, 0], True, True, None),
    sample("avg_pool2d.default", normal(2, 3, 3, 4), [7, 7], [1, 1], [3, 3], True, False, None),
    sample("_adaptive_avg_pool2d.default", normal(2, 3, 9, 8), (4, 3)),
    sample("_adaptive_avg_pool3d.default", normal(2, 3, 7, 5, 6), (4, 3, 2)),
    sample("max_unpool2d.default", normal(2, 3, 3, 2), indices(2, 3, 3, 2), (6, 4)),
    sample("max_unpool2d.default", *OVERLAPPING, (3, 3)),
    sample(
        "max_unpool3d.default", normal(1, 2, 1, 2, 2), indices(1, 2, 2, 2).unsqueeze(2), (2, 3, 4), (2, 2, 2), (0, 0, 0)
    ),
    sample("max_pool2d.default", torch.tensor([[[[0.0, torch.nan, 1.0, 2.0]]]]), (1, 2)),
    sample("max_pool2d.default", torch.arange(16).reshape(1, 1, 4, 4), (2, 2)),
    *(
        sample(f"avg_pool{ones + 1}d.default", torch.arange(-9, 9).reshape(1, 1, *(1,) * ones, 18), (*(1,) * ones, 4))
        for ones in (0, 1, 2)
    ),
    sample(
        "max_pool2d_with_indices_backward.default", normal(2, 3, 3, 2), normal(2, 3, 6, 4), (2, 2), (2, 2), (0, 0),
        (1, 1), False, indices(2, 3, 3, 2),
    ),
    *(
        Sample(
            "aten.fractional_max_pool2d.default", (x, (2, 3), size, torch.rand(2, 3, 2, generator=RANDOM)),
            held=("random_samples",),
        )
        for x in (normal(2, 3, 9, 8), steps(2, 3, 9, 8))
        for size in ((4, 3), (1, 5))
    ),
    Sample(
        "aten.fractional_max_pool3d.default",
        (normal(2, 3, 7, 5, 6), (2, 2, 2), (4, 3, 4), torch.rand(2, 3, 3, generator=RANDOM)),
        held=("random_samples",),
    ),
]  # fmt: skip


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_pooling(case: Sample) -> None:
    check(case)


@pytest.mark.parametrize("rank", [1, 2])
@pytest.mark.parametrize(("ceil_mode", "padding"), [(False, 0), (True, 1), (True, 0), (False, 1)])
@pytest.mark.parametrize("kind", ["max", "pairs", "dilated", "avg", "valid", "thirds", "whole", "adaptive", "global"])
def test_channels_last_is_the_same_function(rank: int, kind: str, padding: int, ceil_mode: bool) -> None:
    x = jnp.asarray(normal(2, 3, *IMAGES[rank]).numpy())
    calls = {
        "max": (getattr(max_pooling, f"max_pool{rank}d"), (3, 2, padding, 1, ceil_mode)),
        "dilated": (getattr(max_pooling, f"max_pool{rank}d"), (3, 2, padding, 2, ceil_mode)),
        "avg": (getattr(average_pooling, f"avg_pool{rank}d"), (3, 2, padding, ceil_mode)),
        "valid": (getattr(average_pooling, f"avg_pool{rank}d"), (3, 2, padding, ceil_mode, False)),
        "pairs": (getattr(max_pooling, f"max_pool{rank}d"), (2, 2, padding, 1, ceil_mode)),
        "thirds": (getattr(average_pooling, f"avg_pool{rank}d"), (3, 3, padding, ceil_mode, False)),
        "whole": (getattr(average_pooling, f"avg_pool{rank}d"), (9 if padding else 12, 9, padding, True)),
        "adaptive": (getattr(average_pooling, f"adaptive_avg_pool{rank}d"), (4,)),
        "global": (getattr(average_pooling, f"adaptive_avg_pool{rank}d"), (1,)),
    }
    rule, arguments = calls[kind]

    def first(values: jax.Array) -> jax.Array:
        return rule(values, *arguments)

    def last(values: jax.Array) -> jax.Array:
        return jnp.moveaxis(rule(jnp.moveaxis(values, 1, -1), *arguments, channels_last=True), -1, 1)

    expected, pull = jax.vjp(first, x)
    found, pull_last = jax.vjp(last, x)
    cotangent = jnp.asarray(normal(*expected.shape).numpy())
    assert jnp.allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert jnp.allclose(pull_last(cotangent)[0], pull(cotangent)[0], rtol=1e-6, atol=1e-6)
