"""Random numbers that both sides of a check share: the same for the same draw, whatever the layout."""

from __future__ import annotations

from itertools import permutations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from regauge.rules.aten_to_jax import random as random_rules
from regauge.run.dropout_masks import keep_mask
from regauge.run.jax_dropout import dropout_control
from regauge.run.shared_noise import gumbel, integers, numbers, order
from regauge.run.torch_arithmetic import controlled


@pytest.mark.parametrize("shape", [(2, 3, 4), (3, 3, 2), (2, 4, 4, 1), (5,), (), (0, 3)])
def test_the_layout_does_not_matter(shape):
    found = numbers("normal", 3, shape)
    assert found.shape == shape
    for axes in permutations(range(len(shape))):
        permuted = tuple(shape[axis] for axis in axes)
        np.testing.assert_array_equal(found.transpose(axes), numbers("normal", 3, permuted))


def test_integers_orders_and_choices_are_what_they_are_called():
    found = integers(0, (400,), -2, 3)
    assert set(found) == {-2, -1, 0, 1, 2}
    assert sorted(order(0, 20)) == list(range(20))
    chosen = np.argmax(np.log([0.1, 0.2, 0.7]) + gumbel(0, (4000, 3)), axis=-1)
    np.testing.assert_allclose(np.bincount(chosen) / 4000, [0.1, 0.2, 0.7], atol=0.03)


def test_draws_differ_and_are_what_they_are_called():
    normal, uniform = numbers("normal", 0, (40, 50)), numbers("uniform", 0, (40, 50))
    assert abs(normal.mean()) < 0.1
    assert abs(normal.std() - 1) < 0.1
    assert uniform.min() >= 0
    assert uniform.max() < 1
    assert abs(uniform.mean() - 0.5) < 0.05
    assert not np.array_equal(normal, numbers("normal", 1, (40, 50)))


TORCH = (
    lambda x: torch.randn_like(x),
    lambda x: torch.randn(3, 4),
    lambda x: torch.empty(3, 4).normal_(1.0, 2.0),
    lambda x: torch.normal(x, 2 * torch.ones(3, 4)),
    lambda x: torch.rand(3, 4),
    lambda x: torch.rand_like(x),
    lambda x: torch.empty(3, 4).uniform_(-2.0, 6.0),
    lambda x: torch.randint(7, (3, 4)),
    lambda x: torch.randint(-2, 5, (3, 4)),
    lambda x: torch.randint_like(x, 9),
    lambda x: torch.randint_like(x, -3, 9),
    lambda x: torch.empty(3, 4).random_(6),
    lambda x: torch.empty(3, 4, dtype=torch.int64).random_(2, 6),
    lambda x: torch.randperm(11),
    lambda x: torch.multinomial(x, 3),
    lambda x: torch.multinomial(x, 6, replacement=True),
    lambda x: torch.multinomial(x[0], 1),
)
KEY = jax.random.key(0)
JAX = (
    lambda x: jax.random.normal(KEY, x.shape, x.dtype),
    lambda x: jax.random.normal(KEY, (3, 4)),
    lambda x: 1.0 + 2.0 * jax.random.normal(KEY, (3, 4)),
    lambda x: x + 2 * jax.random.normal(KEY, (3, 4)),
    lambda x: jax.random.uniform(KEY, (3, 4)),
    lambda x: jax.random.uniform(KEY, x.shape, x.dtype),
    lambda x: jax.random.uniform(KEY, (3, 4), x.dtype, -2.0, 6.0),
    lambda x: random_rules.randint(7, (3, 4), rng_key=KEY),
    lambda x: jax.random.randint(KEY, (3, 4), -2, 5),
    lambda x: random_rules.randint_like(x, 9, rng_key=KEY),
    lambda x: jax.random.randint(KEY, x.shape, minval=-3, maxval=9).astype(x.dtype),
    lambda x: random_rules.random_below(x, 6, rng_key=KEY),
    lambda x: jax.random.randint(KEY, x.shape, 2, 6),
    lambda x: random_rules.randperm(11, rng_key=KEY),
    lambda x: random_rules.multinomial(x, 3, rng_key=KEY),
    lambda x: random_rules.multinomial(x, 6, replacement=True, rng_key=KEY),
    lambda x: jax.random.categorical(KEY, jnp.log(x[0]), shape=(1,)),
)


@pytest.mark.parametrize("setting", ["off", "masks"])
def test_both_sides_get_the_same_numbers(setting):
    x = np.linspace(0, 1, 12, dtype=np.float32).reshape(3, 4)
    with controlled(False, setting) as control:
        expected = [draw(torch.from_numpy(x)).numpy() for draw in TORCH]
        assert control.noise.drawn == len(TORCH)
    with dropout_control(setting):
        found = jax.jit(lambda x: [draw(x) for draw in JAX])(jnp.asarray(x))
    for ours, theirs in zip(found, expected, strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-6)


def test_observed_and_free_draws_are_the_frameworks_own():
    with dropout_control("observe"):
        own = jax.random.normal(KEY, (2,))
    np.testing.assert_array_equal(own, jax.random.normal(KEY, (2,)))
    with controlled(False, "free", seed=7):
        free = torch.randn(2)
    assert torch.equal(free, torch.randn(2, generator=torch.Generator().manual_seed(7)))


def test_a_mask_that_the_model_draws_itself_is_dropout_on_both_sides():
    """``empty(...).bernoulli_(keep) / keep``, as embedding dropout is written by hand."""

    def own():
        return jax.random.bernoulli(KEY, 0.75, (6, 1)).astype(jnp.float32) / 0.75

    for setting in ("off", "masks"):
        with controlled(False, setting) as control:
            expected = torch.empty(6, 1).bernoulli_(0.75) / 0.75
            calls = list(control.calls)
        masks = [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(calls)]
        with dropout_control(setting, masks) as log:
            found = own()
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
        assert log.rates == [0.25]
    with dropout_control("observe") as log:
        found = own()
    np.testing.assert_allclose(log.factors[0], found, rtol=1e-6)
    np.testing.assert_array_equal(found, own())
    with dropout_control("observe") as log:
        nnx.Dropout(0.5, rngs=nnx.Rngs(0))(jnp.ones((4, 4)))
    assert log.rates == [0.5]  # once, though nnx.Dropout draws a mask too


@pytest.mark.parametrize("setting", ["off", "masks"])
@pytest.mark.parametrize("name", ["feature_dropout", "alpha_dropout", "feature_alpha_dropout"])
def test_dropout_without_a_module_is_controlled_on_both_sides(name, setting):
    """Of channels and to the floor of selu: rules of their own draw them, in training alone."""
    x = np.linspace(-1, 1, 24, dtype=np.float32).reshape(2, 3, 2, 2)
    with controlled(False, setting) as control:
        expected = getattr(torch, name)(torch.from_numpy(x), 0.25, True)
        masks = [jnp.asarray(keep_mask(index, call)) for index, call in enumerate(control.calls)]
    with dropout_control(setting, masks):
        found = getattr(random_rules, name)(jnp.asarray(x), 0.25, True, rng_key=KEY)
    np.testing.assert_allclose(found, expected.numpy(), rtol=1e-5, atol=1e-6)
