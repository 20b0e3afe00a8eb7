"""Haiku: dropout, which is a function there, is a layer of torch that knows its mode."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import torch
from comparing_jax import assert_same

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


class Block(hk.Module):
    def __call__(self, x):
        h = hk.LayerNorm(-1, True, True)(x)
        x = x + hk.MultiHeadAttention(2, 8, w_init=hk.initializers.VarianceScaling(1.0))(h, h, h)
        return x + hk.nets.MLP([32, x.shape[-1]])(hk.RMSNorm(-1)(x))


def encoder(ids):
    x = hk.Embed(10, 16)(ids)
    for _ in range(2):
        x = Block()(x)
    return hk.Linear(3, name="head")(x)


def test_modules_are_modules_of_torch():
    transformed = hk.without_apply_rng(hk.transform(encoder))
    ids = np.random.default_rng(1).integers(0, 10, (4, 5)).astype(np.int32)
    params = transformed.init(jax.random.key(0), ids)
    made = assert_same((transformed, params), (ids,))
    assert "class Encoder(nn.Module)" in made.source
    for line in (
        "self.embed = nn.Embedding(10, 16)",
        "self.block_1 = Block()",
        "self.query = nn.Linear(16, 16)",
        "self.layer_norm = nn.LayerNorm(16)",
        "self.rms_norm = nn.RMSNorm(16, eps=1e-05)",
        "self.head = nn.Linear(16, 3)",
    ):
        assert line in made.source
    assert "ParameterDict" not in made.source
    assert made.state_dict()["block.mlp.linear_0.weight"].shape == (32, 16)


def images(x, is_training=True):
    x = hk.Conv2D(8, 3, stride=2)(x)
    x = jax.nn.relu(hk.BatchNorm(True, True, 0.9)(x, is_training))
    x = hk.GroupNorm(2)(hk.Conv2D(8, 3, padding="VALID", with_bias=False)(x))
    return hk.Linear(3)(hk.Flatten()(hk.MaxPool(2, 2, "SAME")(x)))


def test_statistics_of_a_convolutional_network_in_both_modes():
    """A transpose between the operators of a batch norm stays in it, so that both modes call it."""
    transformed = hk.without_apply_rng(hk.transform_with_state(images))
    x = np.random.default_rng(2).normal(size=(4, 8, 8, 3)).astype(np.float32)
    params, state = transformed.init(jax.random.key(0), x)
    made = assert_same((transformed, params, state), (x,), train=True)
    made.load_state_dict(regauge.to_torch((transformed, params, state), (x,)).state_dict())
    for line in ("nn.Conv2d(3, 8, 3, stride=2)", "self.batch_norm = BatchNorm()", "nn.GroupNorm(2, 8)"):
        assert line in made.source
    for _ in range(2):
        expected, state = transformed.apply(params, state, x)
        np.testing.assert_allclose(made(torch.from_numpy(x)).detach().numpy(), expected, rtol=1e-4, atol=1e-5)
    made.eval()
    expected, _ = transformed.apply(params, state, x[:2], is_training=False)
    np.testing.assert_allclose(made(torch.from_numpy(x[:2])).detach().numpy(), expected, rtol=1e-4, atol=1e-5)


class AutoEncoder(hk.Module):
    def __init__(self):
        super().__init__()
        self.enc = hk.Linear(4, name="enc")

    def decode(self, z):
        return hk.Linear(5)(z)

    def __call__(self, x):
        return self.decode(self.enc(x)) + self.decode(self.enc(x * 2))


def test_a_module_that_a_method_makes_keeps_its_path():
    transformed = hk.without_apply_rng(hk.transform(lambda x: AutoEncoder()(x)))
    made = assert_same((transformed, transformed.init(jax.random.key(0), X)), (X,))
    assert "class HaikuModel(nn.Module)" in made.source
    assert "self.enc = nn.Linear(5, 4)" in made.source
