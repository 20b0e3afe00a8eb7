"""Dropout, random numbers and batch norms in functions of a condition: `nnx.cond` is given the modules that draw."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from flax import nnx
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import UnsupportedOps
from regauge.run.dropout_masks import keep_mask
from regauge.run.jax_dropout import dropout_control
from regauge.run.torch_arithmetic import controlled

X = torch.randn(6, 4, generator=torch.Generator().manual_seed(0)).abs()
INPUTS = (X, -X)  # one for each way


class OneWay(nn.Module):
    """A layer of its own and a dropout that the code calls."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.25)

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            x = self.drop(self.linear(x))
        return x


class BothWays(nn.Module):
    """Rates of which the functions know, and `torch.cond`, which passes arguments."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        def first(x: Tensor) -> Tensor:
            return F.dropout(self.linear(x), 0.2, self.training)

        return torch.cond(x.sum() > 0, first, lambda x: F.dropout(x * 2, 0.5, self.training), (x,))


class Nested(nn.Module):
    """A condition in a way of another; both need one dropout."""

    def __init__(self) -> None:
        super().__init__()
        self.linear, self.drop = nn.Linear(4, 4), nn.Dropout(0.25)
        self.other = nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.5))

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            y = self.drop(self.linear(x))
            y = self.other(y) if y.mean() > 0.1 else self.drop(y * 2)
            x = x + y
        return self.drop(x)


class Blocks(nn.Module):
    """Several modules of one list, one after the other."""

    def __init__(self) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.1)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        if x.sum() > 0:
            for block in self.blocks:
                x = block(x)
        return x


class Recurrent(nn.Module):
    """Layers that drop inside."""

    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 4, 2, dropout=0.2, batch_first=True)
        self.attention = nn.MultiheadAttention(4, 2, dropout=0.1, batch_first=True)

    def forward(self, x: Tensor) -> Tensor:
        x = x[None]
        return self.lstm(x)[0] if x.sum() > 0 else self.attention(x, x, x)[0]


class Experts(nn.Module):
    """The experts that some token chose, as tutorials write a mixture of experts."""

    def __init__(self) -> None:
        super().__init__()
        self.gate = nn.Linear(4, 3)
        self.experts = nn.ModuleList(nn.Sequential(nn.Linear(4, 4), nn.ReLU(), nn.Dropout(0.1)) for _ in range(3))

    def forward(self, x: Tensor) -> Tensor:
        weights, chosen = self.gate(x).softmax(-1).topk(1)
        out = torch.zeros_like(x)
        for i, expert in enumerate(self.experts):
            mask = (chosen == i).any(-1)
            if mask.any():
                out[mask] += expert(x[mask]) * weights[mask]
        return out


MODELS = {kind.__name__: kind for kind in (OneWay, BothWays, Nested, Blocks, Recurrent)}


def converted(model: nn.Module, **options: Any) -> Any:
    torch.manual_seed(0)
    return regauge.to_jax(model, (X,), train=True, **options)


@pytest.mark.parametrize("name", MODELS)
@pytest.mark.parametrize("x", INPUTS, ids=["first way", "second way"])
def test_the_same_elements_are_dropped_with_the_same_masks(name: str, x: Tensor) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    ours = converted(model)
    with controlled(False, "masks") as original:
        expected = model.train()(x)
    if expected.requires_grad:
        expected.square().sum().backward()
    masks = [keep_mask(index, call) for index, call in enumerate(original.calls)]
    graphdef, params, rest = nnx.split(ours.module, nnx.Param, ...)

    def loss(params: Any) -> Any:
        y = nnx.merge(graphdef, params, rest, copy=True)(jnp.asarray(x.numpy()))
        return (y**2).sum(), y

    with jax.disable_jit(), dropout_control("masks", masks) as log:
        gradients, y = jax.grad(loss, has_aux=True)(params)
    assert log.rates == pytest.approx([1 - call.keep for call in original.calls])
    np.testing.assert_allclose(y, expected.detach().numpy(), atol=1e-5)
    gradient = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None] or [torch.zeros(0)])
    total = sum(float(jnp.square(g).sum()) for g in jax.tree.leaves(gradients))
    assert total == pytest.approx(float(gradient.square().sum()), rel=1e-4, abs=1e-8)


@pytest.mark.parametrize("name", [*MODELS, "Experts"])
def test_evaluation_drops_nothing(name: str) -> None:
    torch.manual_seed(0)
    model = {**MODELS, "Experts": Experts}[name]()
    assert_like_torch(model, (X,), train=False)
    ours = converted(model)
    ours.module.eval()
    for x in INPUTS:
        np.testing.assert_allclose(ours.module(jnp.asarray(x.numpy())), model.eval()(x).detach(), atol=1e-5)


def test_a_way_draws_anew_in_every_call_and_the_other_does_not_draw() -> None:
    ours = converted(OneWay())
    one, other = np.asarray(ours(X.numpy())), np.asarray(ours(X.numpy()))
    assert (one != other).any()
    assert 0 < np.mean(one == 0) < 0.6
    before = jax.tree.leaves(nnx.to_pure_dict(ours.state))
    np.testing.assert_array_equal(ours(-X.numpy()), -X.numpy())
    after = jax.tree.leaves(nnx.to_pure_dict(ours.state))
    counts = [(a, b) for a, b in zip(before, after, strict=True) if a.dtype == jnp.uint32]
    assert counts
    assert all(a == b for a, b in counts)


def test_a_loop_over_experts_gives_each_condition_its_expert() -> None:
    source = converted(Experts()).source
    assert "for i, expert in enumerate(self.experts):" in source
    assert "def when_true(expert):" in source
    assert "out = nnx.cond(mask.any(), when_true, lambda expert: out, expert)" in source


def test_several_modules_of_a_list_are_given_as_the_list() -> None:
    assert ", self.blocks)" in converted(Blocks()).source


class Noisy(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: x + torch.randn_like(x), lambda x: x * 2, (x,))


def test_random_numbers_of_one_way() -> None:
    ours = converted(Noisy())
    one, other = np.asarray(ours(X.numpy())), np.asarray(ours(X.numpy()))
    assert (one != other).all()
    assert abs(float((one - X.numpy()).std()) - 1) < 0.5
    np.testing.assert_allclose(ours(-X.numpy()), -2 * X.numpy(), rtol=1e-6)


class Normed(nn.Module):
    def __init__(self, rate: float) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 4), nn.BatchNorm1d(4), *([nn.Dropout(rate)] if rate else []))

    def forward(self, x: Tensor) -> Tensor:
        return self.net(x) if x.sum() > 0 else x


@pytest.mark.parametrize("rate", [0.0, 0.25])
def test_a_batch_norm_on_one_way_reads_its_statistics_in_evaluation(rate: float) -> None:
    torch.manual_seed(0)
    model = Normed(rate)
    ours = converted(model)
    for x in (X, -X, X + 1):
        model.train()(x)
        ours.module.train()
        ours.module(jnp.asarray(x.numpy()))
        ours.module.eval()
        for given in INPUTS:
            expected = model.eval()(given).detach()
            np.testing.assert_allclose(ours.module(jnp.asarray(given.numpy())), expected, atol=1e-5)


class Unswitched(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return F.dropout(x, 0.5) if x.sum() > 0 else x


def test_dropout_without_a_switch_drops_in_evaluation_too() -> None:
    for train in (False, True):
        ours = regauge.to_jax(Unswitched(), (X,), train=train)
        ours.module.eval()
        dropped = np.asarray(ours.module(jnp.asarray(X.numpy())))
        assert 0 < np.mean(dropped == 0) < 1
        np.testing.assert_allclose(dropped[dropped != 0], 2 * X.numpy()[dropped != 0], rtol=1e-6)


class Repeated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.drop = nn.Dropout(0.5)

    def forward(self, x: Tensor) -> Tensor:
        while x.sum() < 30:
            x = self.drop(x) + 1
        return x


def test_dropout_in_a_loop_on_values_is_a_limit_in_training() -> None:
    with pytest.raises(UnsupportedOps, match="random key of its own"):
        converted(Repeated())
    assert_like_torch(Repeated(), (X,), train=False)
