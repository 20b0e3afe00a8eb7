"""Dropout inside the attention of Flax is a layer of its own, with one mask for all where Flax has one."""

from __future__ import annotations

import jax
import numpy as np
import pytest
import torch
from comparing_jax import evaluated
from flax import linen, nnx

import regauge

X = np.random.default_rng(0).normal(size=(4, 6, 8)).astype(np.float32)


class Attending(linen.Module):
    shared: bool

    @linen.compact
    def __call__(self, x, train=False):
        attention = linen.MultiHeadDotProductAttention(
            2, dropout_rate=0.25, deterministic=not train, broadcast_dropout=self.shared
        )
        return x + attention(x, x)


class NnxAttending(nnx.Module):
    def __init__(self, shared, rngs):
        self.attention = nnx.MultiHeadAttention(
            2, 8, dropout_rate=0.25, broadcast_dropout=shared, decode=False, rngs=rngs
        )

    def __call__(self, x):
        return x + self.attention(x)


def attending(library: str, shared: bool):
    if library == "nnx":
        return NnxAttending(shared, nnx.Rngs(0))
    module = Attending(shared)
    return module, module.init(jax.random.key(0), X)


@pytest.mark.parametrize("shared", [True, False])
@pytest.mark.parametrize("library", ["linen", "nnx"])
def test_masks_of_attention_weights(library, shared):
    model = attending(library, shared)
    made = regauge.to_torch(model, (X,), train=True)
    name = "SharedDropout" if shared else "nn.Dropout"
    assert f"self.dropout = {name}(0.25)" in made.source
    x = torch.from_numpy(X)
    assert not torch.equal(made(x), made(x))
    np.testing.assert_allclose(made.eval()(x).detach().numpy(), evaluated(model, (X,))[0], rtol=1e-5, atol=1e-6)
    (dropout,) = (module for path, module in made.named_modules() if path.endswith("dropout"))
    factors = dropout.train()(torch.ones(5, 2, 30, 30))
    assert set(factors.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert torch.equal(factors[:1, :1].expand_as(factors), factors) == shared
    assert abs(float((factors[0, 0] > 0).float().mean()) - 0.75) < 0.06


def test_decoding_keeps_its_tokens_in_both_modes():
    module = linen.MultiHeadDotProductAttention(2, decode=True)
    variables = module.init(jax.random.key(0), X, X)
    made = regauge.to_torch((module, variables), {"inputs_q": X[:, :1]})
    for step in range(3):
        token = X[:, step : step + 1]
        expected, changed = module.apply(variables, token, mutable=["cache"])
        variables = {**variables, **changed}
        found = made.eval()(torch.from_numpy(token)).detach().numpy()
        np.testing.assert_allclose(found, expected, rtol=1e-5, atol=1e-6)
