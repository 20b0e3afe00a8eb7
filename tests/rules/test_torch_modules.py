"""Modules whose text emitted PyTorch copies, against the modules of Flax that they stand for."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from flax import nnx

from regauge.rules.modules.torch_modules import BatchNorm


@pytest.mark.parametrize("shape", [(5, 3), (1, 3), (2, 3, 4, 4), (1, 3, 1, 1)], ids=str)
def test_batch_norm_is_that_of_flax_in_training(shape: tuple[int, ...]) -> None:
    """Of a single value per channel too: it has no variance, and its gradient is zero."""
    draw = np.random.default_rng(0)
    x, cotangent = draw.normal(size=shape).astype(np.float32), draw.normal(size=shape).astype(np.float32)
    last = (0, *range(2, len(shape)), 1)
    theirs = nnx.BatchNorm(3, use_running_average=False, rngs=nnx.Rngs(0))
    ours = BatchNorm(3).train()
    assert (ours.eps, ours.momentum) == (theirs.epsilon, theirs.momentum)

    def weighed(array: jax.Array) -> jax.Array:
        fresh = nnx.BatchNorm(3, use_running_average=False, rngs=nnx.Rngs(0))
        return (fresh(array.transpose(last)) * jnp.asarray(cotangent).transpose(last)).sum()

    value, slope = jax.value_and_grad(weighed)(jnp.asarray(x))
    given = torch.tensor(x, requires_grad=True)
    found = (ours(given) * torch.tensor(cotangent)).sum()
    found.backward()
    assert given.grad is not None
    # where there is no variance torch adds two numbers that are 1 / sqrt(eps) times as large as the input
    np.testing.assert_allclose(found.item(), value, rtol=1e-5, atol=2 * np.finfo(np.float32).eps / ours.eps**0.5)
    np.testing.assert_allclose(given.grad, slope, rtol=1e-4, atol=1e-5)

    theirs(jnp.asarray(x).transpose(last))
    np.testing.assert_allclose(ours.running_mean, theirs.mean[...], rtol=1e-5, atol=1e-7)
    np.testing.assert_allclose(ours.running_var, theirs.var[...], rtol=1e-5, atol=1e-7)
