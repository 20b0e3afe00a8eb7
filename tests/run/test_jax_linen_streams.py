"""Linen modules that ask for a stream of random numbers, and those that need one in evaluation too."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import linen as nn

import regauge


class Asking(nn.Module):
    """Drops where it is applied with a stream: there is no argument that says so."""

    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dropout(0.5, deterministic=not self.has_rng("dropout"))(nn.Dense(8)(x))


class Always(nn.Module):
    @nn.compact
    def __call__(self, x: jax.Array) -> jax.Array:
        return nn.Dropout(0.5, deterministic=False)(nn.Dense(8)(x))


@pytest.mark.parametrize("train", [False, True])
def test_a_module_that_asks_for_a_stream_has_two_modes(train: bool) -> None:
    x = jnp.ones((2, 4))
    variables = Asking().init(jax.random.key(0), x)
    converted = regauge.to_torch(Asking(), (x,), params=variables, train=train)
    assert "self.Dropout_0 = nn.Dropout(0.5)" in converted.source
    converted.eval()
    found = converted(torch.ones(2, 4)).detach().numpy()
    np.testing.assert_allclose(found, np.asarray(Asking().apply(variables, x)), atol=1e-6)
    converted.train()
    assert (converted(torch.ones(2, 4)) == 0).any()


def test_a_module_that_draws_in_evaluation_gets_a_stream_there() -> None:
    x = jnp.ones((4, 4))
    variables = Always().init({"params": jax.random.key(0), "dropout": jax.random.key(1)}, x)
    converted = regauge.to_torch(Always(), (x,), params=variables)
    converted.eval()
    assert (converted(torch.ones(4, 4)) == 0).any()
