"""`regauge.check` of what `to_jax` and `to_torch` gave: its names of weights, and the sizes that it leaves open."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import Tensor, nn

import regauge
from regauge.verify.result import Check


class Residual(nn.Module):
    """On inputs far from zero its tanh is flat but for a few units, whose slope float32 hardly knows."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(8, 8)
        self.norm = nn.BatchNorm1d(8)

    def forward(self, x: Tensor) -> Tensor:
        return x + torch.tanh(self.norm(self.linear(x)))


class Mixing(nn.Module):
    """Of one length only, as it is converted."""

    def __init__(self) -> None:
        super().__init__()
        self.qkv = nn.Linear(8, 24)
        self.register_buffer("mask", torch.ones(6, 6).tril().bool())

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).chunk(3, dim=-1)
        length = x.shape[1]
        scores = (q @ k.transpose(1, 2)).masked_fill(~self.mask[:length, :length], -1e9)
        return scores.softmax(-1) @ v


def judged(model: nn.Module, x: Tensor) -> tuple[Check, Any]:
    made = regauge.to_jax(model, (x,))
    return regauge.check(model, made, (x,)), made


@pytest.mark.parametrize("seed", range(3))
def test_what_to_jax_gave(seed: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(4, 8), Residual(), Residual(), nn.Linear(8, 3)).eval()
    found, _ = judged(model, torch.randn(5, 4))
    assert found.verdict == "equal", [(tier.name, tier.why) for tier in found.tiers if tier.verdict == "different"]
    assert not [tier for tier in found.tiers if tier.name == "other sizes"]  # the number of rows is open


def test_a_length_that_the_conversion_fixed_is_not_tried() -> None:
    torch.manual_seed(0)
    model, x = Mixing().eval(), torch.randn(3, 6, 8)
    found, made = judged(model, x)
    assert found.verdict == "equal"
    by_hand = regauge.check(model, made.module, (x,))  # a module of a person, of which nothing is known
    assert {tier.name: tier.verdict for tier in by_hand.tiers}["other sizes"] == "different"


def test_a_weight_that_was_changed_is_found() -> None:
    torch.manual_seed(0)
    model, x = nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).eval(), torch.randn(5, 4)
    made = regauge.to_jax(model, (x,))

    class Shifted(nnx.Module):
        def __init__(self, inner: nnx.Module) -> None:
            self.inner = inner

        def __call__(self, x: jnp.ndarray) -> jnp.ndarray:
            return self.inner(x) + 1e-6

    made.module = Shifted(made.module)
    names = {
        f"{i}.{name}": f"inner.layer{i}.{to}" for i in (0, 2) for name, to in (("weight", "kernel"), ("bias", "bias"))
    }
    assert regauge.check(model, made, (x,), weight_map=names, quick=True).verdict == "different"


class Dense(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.inner = nnx.Linear(4, 8, rngs=rngs)
        self.outer = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x: jnp.ndarray) -> jnp.ndarray:
        return self.outer(nnx.gelu(self.inner(x)))


def test_what_to_torch_gave() -> None:
    model, x = Dense(rngs=nnx.Rngs(0)), jnp.asarray(np.random.default_rng(0).normal(size=(5, 4)), jnp.float32)
    found = regauge.check(model, regauge.to_torch(model, (x,)), (x,))
    assert found.verdict == "equal"
