"""Randomness that no mask can be given for: shares, draws that elements share, distributions of outputs."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx
from torch import nn

import regauge
from regauge.verify.randomness import ERROR_RATE

X = torch.linspace(-1, 1, 24).reshape(4, 6)


def judged(original: Any, converted: Any, *args: Any) -> regauge.verify.Check:
    return regauge.check(original, converted, args or (X,), quick=True, float32=False)


def answer(check: regauge.verify.Check, name: str) -> Any:
    return next(tier for tier in check.tiers if tier.name == name)


@pytest.mark.parametrize(("scale", "verdict"), [(1.0, "not checked"), (1.2, "different")])
def test_numbers_that_nothing_controls_are_compared_by_their_distribution(scale: float, verdict: str) -> None:
    def port(x: jax.Array, key: jax.Array) -> jax.Array:
        return x + scale * jax.random.exponential(key, x.shape, x.dtype)

    check = judged(lambda x: x + torch.empty_like(x).exponential_(), port)
    assert check.verdict == verdict
    assert answer(check, "tier 1 outputs").verdict == "not checked"
    found = answer(check, "distribution")
    assert found.verdict == ("equal" if scale == 1 else "different")
    assert len(found.distances) == 3
    if scale == 1:
        assert found.why == "200 passes of each side; a correct model fails once in 1000000 checks"


class Attention(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.MultiheadAttention(8, 2, dropout=0.2, batch_first=True)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x, x, x, need_weights=False)[0]


class Port(nnx.Module):
    def __init__(self, original: nn.MultiheadAttention, shared: bool) -> None:
        self.inner = nnx.MultiHeadAttention(
            2, 8, dropout_rate=0.2, broadcast_dropout=shared, decode=False, rngs=nnx.Rngs(0)
        )
        weights, biases = (
            p.detach().numpy().reshape(3, 8, -1) for p in (original.in_proj_weight, original.in_proj_bias)
        )
        for number, name in enumerate(("query", "key", "value")):
            layer = getattr(self.inner, name)
            layer.kernel.set_value(jnp.asarray(weights[number].T.reshape(8, 2, 4)))
            layer.bias.set_value(jnp.asarray(biases[number].reshape(2, 4)))
        self.inner.out.kernel.set_value(jnp.asarray(original.out_proj.weight.detach().numpy().T.reshape(2, 4, 8)))
        self.inner.out.bias.set_value(jnp.asarray(original.out_proj.bias.detach().numpy()))

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.inner(x)


def test_dropout_inside_attention_is_given_masks() -> None:
    torch.manual_seed(0)
    model = Attention()
    check = judged(model, Port(model.inner, False), torch.randn(3, 5, 8))
    assert check.verdict == "equal"
    assert answer(check, "tier 1 outputs with dropout masks").verdict == "equal"
    assert answer(check, "randomness").why == "1 calls; a correct model fails once in 1000000 checks"


def test_one_mask_for_all_heads_is_another_distribution() -> None:
    torch.manual_seed(0)
    model = Attention()
    check = judged(model, Port(model.inner, True), torch.randn(3, 5, 8))
    assert answer(check, "tier 1 outputs with dropout masks").verdict == "not checked"
    found = answer(check, "randomness")
    assert found.verdict == "different"
    (failed,) = [distance for distance in found.distances if not distance.passed]
    assert failed.note == "one pass draws 25 numbers, the original 150"


def test_the_error_rate_of_a_share_is_what_is_said() -> None:
    from scipy.stats import binom

    size, keep = 60, 0.9
    counts = np.arange(size + 1)
    from scipy.stats import binomtest

    rejected = [k for k in counts if binomtest(int(k), size, keep).pvalue < ERROR_RATE]
    assert rejected
    assert sum(binom.pmf(rejected, size, keep)) <= ERROR_RATE
