"""Modules that do nothing in evaluation: called in both modes, so that what follows them is written once."""

from __future__ import annotations

import re

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge

MODE = "if self.deterministic:"


class DropPath(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor, scale: float = 1.0) -> Tensor:
        if not self.training or self.rate == 0:
            return x
        keep = 1 - self.rate
        mask = torch.floor(torch.rand(x.shape[0], 1, device=x.device) + keep)
        return x / keep * mask * scale


class Block(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.inner, self.outer, self.drop = nn.Linear(4, 4), nn.Linear(4, 4), DropPath(rate)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.drop(self.inner(x))
        return x * torch.tanh(self.outer(x))


class Net(nn.Module):
    def __init__(self, block: type[nn.Module] = Block) -> None:
        super().__init__()
        self.blocks = nn.Sequential(block(0.0), block(0.25), block(0.5))

    def forward(self, x: Tensor) -> Tensor:
        return self.blocks(x)


class Twice(Block):
    """Its result is read at two places, and so is its argument."""

    def forward(self, x: Tensor) -> Tensor:
        h = self.inner(x)
        dropped = self.drop(h)
        return self.outer(dropped) * torch.sigmoid(dropped) + torch.tanh(h)


class Concatenated(Block):
    """Its result is an element of a list of arguments."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, self.drop(self.inner(x))], dim=1)[:, 2:6] + self.outer(x)


class Returned(Block):
    """Nothing in the block reads its result, but the next block does."""

    def forward(self, x: Tensor) -> Tensor:
        return self.drop(self.inner(x) * self.outer(x))


class Nested(Block):
    """A block inside a block, which is idle itself: in evaluation it is its drop alone."""

    class Around(nn.Module):
        def __init__(self, rate: float) -> None:
            super().__init__()
            self.first, self.second = DropPath(rate), DropPath(rate)

        def forward(self, x: Tensor) -> Tensor:
            return self.second(self.first(x))

    def __init__(self, rate: float) -> None:
        super().__init__(rate)
        self.around = self.Around(rate)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.around(self.inner(x)) * self.outer(x)


@pytest.mark.parametrize("block", [Block, Twice, Concatenated, Nested])
def test_both_modes_are_the_original(block: type[nn.Module]) -> None:
    torch.manual_seed(0)
    model, x = Net(block), torch.randn(6, 4)
    made = regauge.to_jax(model, (x,), train=True)
    for holder in re.split(r"^class ", made.source, flags=re.M)[1:]:
        assert MODE not in holder or holder.startswith(("DropPath", "NestedAround", "Around")), holder
    evaluated = made.module
    evaluated.eval()
    np.testing.assert_allclose(evaluated(jnp.asarray(x)), model.eval()(x).detach().numpy(), rtol=1e-5, atol=1e-6)
    evaluated.train()
    drawn = np.stack([evaluated(jnp.asarray(x)) for _ in range(4)])
    assert np.abs(drawn - drawn[0]).max() > 1e-3  # it drops


def test_the_idle_module_asks_for_the_mode() -> None:
    source = regauge.to_jax(Net(), (torch.randn(6, 4),), train=True).source
    assert source.count(MODE) == 1
    drop = source.partition("class DropPath")[2].partition("\nclass ")[0]
    assert f"        {MODE}\n            return x\n" in drop


def test_a_result_that_the_model_gives_stays_as_it_was() -> None:
    """What leaves the model in evaluation is the value itself: both ways are written."""
    torch.manual_seed(0)
    model, x = Returned(0.5), torch.randn(6, 4)
    made = regauge.to_jax(model, (x,), train=True)
    made.module.eval()
    np.testing.assert_allclose(made.module(jnp.asarray(x)), model.eval()(x).detach().numpy(), rtol=1e-5, atol=1e-6)


class Branching(Block):
    """A function of control flow reads its result."""

    def forward(self, x: Tensor) -> Tensor:
        dropped = self.drop(self.inner(x))
        return torch.cond(x.sum() > 0, lambda h: h * 2, lambda h: torch.tanh(h), (dropped,)) + self.outer(x)


@pytest.mark.parametrize("sign", [1, -1])
def test_a_condition_that_reads_the_result(sign: int) -> None:
    torch.manual_seed(0)
    model, x = Branching(0.5), sign * torch.rand(6, 4)
    made = regauge.to_jax(model, (x,), train=True)
    made.module.eval()
    np.testing.assert_allclose(made.module(jnp.asarray(x)), model.eval()(x).detach().numpy(), rtol=1e-5, atol=1e-6)


class Chooses(nn.Module):
    """Gives its second argument back in evaluation."""

    def forward(self, x: Tensor, other: Tensor) -> Tensor:
        return x * torch.rand(x.shape[0], 1) + torch.exp(-x * x) if self.training else other


class Choosing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner, self.choose = nn.Linear(4, 4), Chooses()

    def forward(self, x: Tensor) -> Tensor:
        return self.choose(self.inner(x), x) * 2


def test_another_argument_given_back() -> None:
    torch.manual_seed(0)
    model, x = Choosing(), torch.randn(6, 4)
    made = regauge.to_jax(model, (x,), train=True)
    made.module.eval()
    np.testing.assert_array_equal(made.module(jnp.asarray(x)), model.eval()(x).detach().numpy())
