"""Haiku: dropout, which is a function there, is a layer of torch that knows its mode."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch

import regauge

X = np.random.default_rng(0).normal(size=(64, 5)).astype(np.float32)


def network(x, is_training=True):
    x = jax.nn.relu(hk.Linear(32)(x))
    x = hk.dropout(hk.next_rng_key(), 0.5 if is_training else 0.0, x)
    x = jnp.tanh(hk.Linear(32)(x))
    if is_training:
        x = hk.dropout(hk.next_rng_key(), 0.25, x)
    return hk.Linear(3)(x)


def test_dropout_is_a_layer_in_both_modes():
    transformed = hk.transform(network)
    params = transformed.init(jax.random.key(0), X)
    made = regauge.to_torch((transformed, params), (X,), train=True)
    assert not [finding for finding in made.findings if finding.code in ("C153", "C155")]
    assert "self.dropout = nn.Dropout(0.5)" in made.source
    assert "self.dropout_1 = nn.Dropout(0.25)" in made.source
    x = torch.from_numpy(X)
    assert not torch.equal(made(x), made(x))
    made.eval()
    expected = transformed.apply(params, jax.random.key(0), X, is_training=False)
    np.testing.assert_allclose(made(x).detach().numpy(), expected, rtol=1e-5, atol=1e-6)


def test_the_layer_keeps_as_many_elements():
    def dropped(x):
        return hk.dropout(hk.next_rng_key(), 0.25, x)

    transformed = hk.transform(dropped)
    made = regauge.to_torch((transformed, transformed.init(jax.random.key(0), X)), (X,), train=True)
    kept = made(torch.ones(100, 100))
    assert set(kept.unique().tolist()) == {0.0, float(torch.tensor(1 / 0.75))}
    assert abs(float((kept > 0).float().mean()) - 0.75) < 0.03


def test_a_mask_for_whole_axes_stays_for_evaluation():
    def dropped(x, is_training=True):
        return hk.dropout(hk.next_rng_key(), 0.5, x, broadcast_dims=(0,)) if is_training else x * 1.0

    transformed = hk.transform(dropped)
    made = regauge.to_torch((transformed, transformed.init(jax.random.key(0), X)), (X,))
    assert "C155" in {finding.code for finding in made.findings}
