"""A module that is called with inputs of several sizes is one class where its text is the same for all."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge


class Positions(nn.Module):
    """Sines of the position in an image, as detectors have them for the maps of several sizes."""

    def forward(self, mask: Tensor) -> Tensor:
        rows = mask.cumsum(1)[..., None] / (torch.arange(4.0) + 1)
        return torch.stack((rows[..., 0::2].sin(), rows[..., 1::2].cos()), dim=4).flatten(3).permute(0, 3, 1, 2)


class Head(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 4)
        self.second = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return torch.relu(self.second(torch.relu(self.first(x))))


class Levels(nn.Module):
    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner = inner

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.inner(part).flatten(2) for part in (x, x[:, ::2, ::2], x[:, :1]))


class Pooled(nn.Module):
    """A chain of modules of which one is written with the sizes of its input."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Flatten(2))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.inner(x), self.inner(x[:, :2, :3])


@pytest.mark.parametrize("train", [False, True])
def test_sizes_that_are_written_are_those_of_each_call(train: bool) -> None:
    source = assert_like_torch(Levels(Positions()), (torch.rand(2, 4, 4),), train=train).source
    assert "class Positions" not in source


def test_chains() -> None:
    torch.manual_seed(0)
    assert_like_torch(Pooled(), (torch.randn(2, 4, 6, 4),))


def test_a_module_that_reads_the_same_for_all_sizes_is_one_class() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Levels(Head()), (torch.randn(2, 4, 4, 4),)).source
    assert source.count("class Head") == 1
    assert source.count("self.inner(") == 2
    assert "[self.inner(part).reshape(" in source  # the two that read other sizes than the first alone


class JaxPositions(nnx.Module):
    def __call__(self, mask):
        rows = jnp.cumsum(mask, 1)[..., None] / (jnp.arange(4.0) + 1)
        both = jnp.stack((jnp.sin(rows[..., 0::2]), jnp.cos(rows[..., 1::2])), axis=4)
        return both.reshape(*both.shape[:3], -1)


class JaxLevels(nnx.Module):
    def __init__(self):
        self.inner = JaxPositions()

    def __call__(self, x):
        return self.inner(x), self.inner(x[:, ::2, ::2])


def test_from_jax() -> None:
    model, x = JaxLevels(), np.linspace(0, 1, 32, dtype=np.float32).reshape(2, 4, 4)
    converted = regauge.to_torch(model, (x,))
    for found, expected in zip(converted(torch.from_numpy(x)), model(x), strict=True):
        assert np.allclose(found.numpy(), expected, atol=1e-6)


class Cell(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lin, self.out = nn.Linear(8, 4), nn.Linear(4, 2)

    def forward(self, x: Tensor, h: Tensor) -> tuple[Tensor, Tensor]:
        h = torch.tanh(self.lin(torch.cat((x, h), -1)))
        return self.out(h), h


class Steps(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cell = Cell()

    def forward(self, x: Tensor) -> Tensor:
        h, outputs = x.new_zeros(x.shape[0], 4), []
        for step in range(3):
            y, h = self.cell(x[:, step], h)
            outputs.append(y)
        return torch.stack(outputs, 1)


def test_a_state_that_nothing_reads_after_the_last_step_is_returned_all_the_same() -> None:
    source = assert_like_torch(Steps(), (torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0)),)).source
    assert "class Cell(nnx.Module):" in source
    assert source.count("self.cell(") == 3
    assert ", _ = self.cell(" in source
