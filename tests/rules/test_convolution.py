import pytest
import torch
from harness import Sample, check, sample


def normal(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(sum(shape)))


def of_rank(rank: int) -> list[Sample]:
    """Strides, paddings, dilations and groups of one rank, odd sizes, with and without bias and batch axis."""
    image = (7, 8, 5)[:rank]
    window = (3, 2, 3)[:rank]
    x, w, b = normal(2, 4, *image), normal(6, 4, *window), normal(6)
    grouped, depthwise = normal(6, 2, *window), normal(8, 1, *window)
    op, same = f"conv{rank}d.default", f"conv{rank}d.padding"
    found = [
        sample(op, x, w, b),
        sample(op, x, w, None, (2,) * rank, (1,) * rank),
        sample(op, x, w, b, (2, 1, 2)[:rank], (1, 2, 0)[:rank], (2, 1, 1)[:rank]),
        sample(op, x, grouped, b, (1,) * rank, (1,) * rank, (1,) * rank, 2),
        sample(op, x, depthwise, None, (1,) * rank, (0,) * rank, (1,) * rank, 4),
        sample(op, x[0], w, b),
        sample(op, x[:0], w, b),
        sample(same, x, w, b, (1,) * rank, "same", (1, 2, 1)[:rank]),
        sample(same, x, w, None, (2,) * rank, "valid"),
        sample(same, x[0], grouped, b, (1,) * rank, "same", (1,) * rank, 2),
    ]
    return found if rank == 2 else found[2:4] + found[-3:-1]


def transposed(rank: int) -> list[Sample]:
    image = (4, 5, 3)[:rank]
    window = (3, 2, 3)[:rank]
    x, w, b = normal(2, 4, *image), normal(4, 6, *window), normal(6)
    grouped = normal(4, 3, *window)
    op = f"conv_transpose{rank}d." + ("default" if rank == 1 else "input")
    ones, zeros, twos = (1,) * rank, (0,) * rank, (2,) * rank
    found = [
        sample(op, x, w, b),
        sample(op, x, w, None, twos, ones, ones),
        sample(op, x, w, b, twos, (2, 1, 2)[:rank], (1, 0, 1)[:rank], 1, (1, 2, 1)[:rank]),
        sample(op, x, grouped, b, twos, zeros, zeros, 2),
        sample(op, x, normal(4, 6, *twos), b, twos),  # windows that do not overlap: the usual upsampling
        sample(op, x, normal(4, 1, *window), None, twos, ones, ones, 4),
        sample(op, x, normal(4, 6, *ones), b, twos, ones, ones),
        sample(op, x[0], w, b),
        sample(op, x[:0], w, b),
    ]
    return found if rank == 2 else found[1:4]


SAMPLES = [s for rank in (1, 2, 3) for s in of_rank(rank) + transposed(rank)] + [
    sample("convolution.default", normal(2, 4, 7), normal(6, 4, 3), normal(6), [2], [1], [1], False, [0], 1),
    sample("convolution.default", normal(2, 4, 7, 6), normal(6, 2, 3, 2), None, [1, 2], [1, 0], [1, 1], False, [0], 2),
    sample("convolution.default", normal(2, 4, 7, 6), normal(4, 3, 3, 2), normal(6), [2], [1], [1], True, [1], 2),
    sample("conv_tbc.default", normal(7, 2, 4), normal(3, 4, 5), normal(5), 1),
    sample("conv2d.default", normal(1, 2, 4, 4).bfloat16(), normal(3, 2, 3, 3).bfloat16(), None, [1], [1]),
]


@pytest.mark.parametrize("case", SAMPLES, ids=str)
def test_convolution(case: Sample) -> None:
    check(case)
