"""Reductions that keep their axes, of which the next operator takes them away."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

X = torch.randn(3, 4, 6, 6, generator=torch.Generator().manual_seed(0))


class After(nn.Module):
    def __init__(self, reduce: Callable[[Tensor], Tensor], conv: bool) -> None:
        super().__init__()
        self.conv = nn.Conv2d(4, 4, 3) if conv else nn.Identity()
        self.reduce = reduce

    def forward(self, x: Tensor) -> Tensor:
        return self.reduce(self.conv(x)) * 2


@pytest.mark.parametrize("conv", [True, False])
@pytest.mark.parametrize(
    ("reduce", "short"),
    [
        (lambda x: x.mean((2, 3), keepdim=True).flatten(1), True),
        (lambda x: nn.AdaptiveAvgPool2d(1)(x).flatten(1), True),
        (lambda x: nn.AdaptiveAvgPool2d((1, 1))(x).view(x.shape[0], -1), True),
        (lambda x: x.sum(1, keepdim=True).squeeze(1), True),
        (lambda x: x.amax(-1, keepdim=True).squeeze(-1), True),
        (lambda x: x.mean((2, 3), keepdim=True).flatten(2), False),  # of which an axis stays
        (lambda x: x.mean(3, keepdim=True).flatten(1), False),  # which joins others
        (lambda x: (m := x.mean((2, 3), keepdim=True)).flatten(1) + m.sum(), False),
    ],
)
def test_the_axes_are_left_out_where_nothing_else_reads_them(
    reduce: Callable[[Tensor], Tensor], short: bool, conv: bool
) -> None:
    source = assert_like_torch(After(reduce, conv), (X,)).source
    assert ("keepdims" not in source and "reshape" not in source and "squeeze" not in source) == short


class Pool(nn.Module):
    """A class of its own, whose result has four axes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return (x * self.scale).mean((2, 3), keepdim=True)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.pool, self.fc = Pool(), nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.pool(x).flatten(1))


def test_what_a_class_returns_keeps_its_axes() -> None:
    assert "keepdims=True" in assert_like_torch(Head(), (X,)).source


class Residual(nn.Module):
    """As in ConvNeXt: the end of a block is transposed to channels first, and scaled by channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.fc = nn.Conv2d(4, 4, 3, padding=1, groups=4), nn.Linear(4, 4)
        self.gamma = nn.Parameter(torch.rand(4))

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2)
        return x + y * self.gamma.reshape(1, -1, 1, 1)


def test_images_that_a_person_transposed_stay_channels_last() -> None:
    model = nn.Sequential(nn.Conv2d(4, 4, 1), Residual(), Residual(), nn.AdaptiveAvgPool2d(1), nn.Flatten())
    source = assert_like_torch(model, (X,)).source
    assert source.count("transpose") == 1  # of the input
    assert source.count("class Residual") == 1
    assert "y * self.gamma[...]" in source


@pytest.mark.parametrize(
    ("read", "transposes"),  # one of the input; one more where the result has its channels first
    [
        (lambda y: y.mean((2, 3)), 1),
        (lambda y: torch.cat((y, y + 1), 1), 2),
        (lambda y: nn.functional.avg_pool2d(y, 2), 2),
        (lambda y: y.permute(0, 2, 3, 1).softmax(-1), 1),
        (lambda y: y.flatten(2).transpose(1, 2), 1),
    ],
)
def test_what_reads_such_images_takes_them_as_they_are(read: Callable[[Tensor], Tensor], transposes: int) -> None:
    class Reads(Residual):
        def forward(self, x: Tensor) -> Tensor:
            return read(self.fc(self.conv(x).permute(0, 2, 3, 1)).permute(0, 3, 1, 2))

    assert assert_like_torch(Reads(), (X,)).source.count("transpose") == transposes
