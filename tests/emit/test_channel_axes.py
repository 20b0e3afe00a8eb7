"""Slices, parts, paddings, reductions and numbers a channel in convolutional code: no transposes but at its borders."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn


class Between(nn.Module):
    """Two convolutions, and what is done between them."""

    def __init__(self, change: Callable[[Between, Tensor], Tensor], channels: int = 8, rank: int = 4) -> None:
        super().__init__()
        layer = nn.Conv2d if rank == 4 else nn.Conv1d
        self.first, self.second = layer(3, 8, 3), layer(channels, 4, 1)
        self.scale = nn.Parameter(torch.rand(8, *(1,) * (rank - 2)))
        self.shift = nn.Parameter(torch.rand(1, 8, *(1,) * (rank - 2)))
        self.weight = nn.Parameter(torch.rand(8))
        self.gate = nn.Linear(8, 8)
        self.change = change

    def forward(self, x: Tensor) -> Tensor:
        return self.second(self.change(self, self.first(x)))


def gated(m: Between, x: Tensor) -> Tensor:
    f, g = x.chunk(2, dim=1)
    return torch.tanh(f) * torch.sigmoid(g)


def squeezed(m: Between, x: Tensor) -> Tensor:
    b, c, _, _ = x.size()
    y = m.gate(F.adaptive_avg_pool2d(x, 1).view(b, c)).view(b, c, 1, 1)
    return x * y.expand_as(x)


def conditioned(m: Between, x: Tensor) -> Tensor:
    return x + m.gate(x.mean(dim=(2, 3)))[:, :, None, None]


def split_for_products(m: Between, x: Tensor) -> Tensor:
    q, k = x.split(4, dim=1)
    return (q.flatten(2) @ k.flatten(2).transpose(1, 2)).flatten(1)[:, :8, None, None]


CHANGES: dict[str, tuple[Callable[[Between, Tensor], Tensor], int]] = {
    "gated": (gated, 4),
    "glu": (lambda m, x: F.glu(x, dim=1), 4),
    "squeezed": (squeezed, 8),
    "conditioned": (conditioned, 8),
    "cut": (lambda m, x: x[:, :, 1:-1, :-2], 8),
    "some channels": (lambda m, x: x[:, 2:], 6),
    "padded": (lambda m, x: F.pad(x, (1, 2, 0, 3)), 8),
    "reflected": (lambda m, x: F.pad(x, (1, 2, 0, 3), mode="reflect"), 8),
    "scaled": (lambda m, x: x * m.scale + m.shift, 8),
    "norm of channels": (lambda m, x: m.weight[:, None, None] * (x - x.mean(1, keepdim=True)), 8),
    "normalized over channels": (lambda m, x: x.softmax(dim=1) * x.logsumexp(dim=1, keepdim=True), 8),
}


@pytest.mark.parametrize("name", CHANGES)
def test_what_stands_between_convolutions_stays_channels_last(name: str) -> None:
    torch.manual_seed(0)
    change, channels = CHANGES[name]
    source = assert_like_torch(Between(change, channels), (torch.randn(2, 3, 8, 9),)).source
    assert source.count(".transpose(") == 2, source  # at the borders of the model


def test_parts_that_other_operators_need_as_they_were_are_turned_back_once() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Between(split_for_products), (torch.randn(2, 3, 8, 9),)).source
    assert "jnp.split(x.transpose(0, 3, 1, 2), 2, axis=1)" in source or source.count("transpose(0, 3, 1, 2)") == 2


@pytest.mark.parametrize("change", [lambda m, x: x[..., :-2] * m.scale + m.shift, lambda m, x: F.pad(x, (2, 0))])
def test_sequences_too(change: Callable[[Between, Tensor], Tensor]) -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Between(change, rank=3), (torch.randn(2, 3, 9),)).source
    assert source.count(".transpose(") == 2, source


class Pooled(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer, self.head = nn.Conv1d(3, 6, 1), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        x = self.layer(x)
        largest, _ = torch.max(x, 2)
        return self.head(largest), x.argmax(dim=1), x.amin(dim=2)


def test_reductions_over_all_positions_or_over_channels_take_them_as_they_are() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Pooled(), (torch.randn(2, 3, 5),)).source
    assert source.count(".transpose(") == 1, source
    assert "jnp.argmax(x, axis=2)" in source
