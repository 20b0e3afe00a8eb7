"""An operator that gives a list gives a list of one where there is one array alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import nn

import regauge

X = np.arange(4, dtype=np.float32) ** 2


class Lists(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bags = nn.ModuleList(
            nn.EmbeddingBag(5, 3, mode=m, include_last_offset=True) for m in ("sum", "mean", "max")
        )

    def forward(self, x: torch.Tensor, offsets: torch.Tensor) -> Any:
        (slope,) = torch.gradient(x)
        (grid,) = torch.meshgrid([x[0]], indexing="ij")
        (row,) = torch.atleast_2d((x,))
        (part,) = torch.unsafe_chunk(x, 1)
        bags = [bag(x.long() % 5, offsets) for bag in self.bags]
        return slope * 2, grid * 2, row * 2, part * 2, *bags


def test_pytorch_lists() -> None:
    model = Lists()
    inputs = (torch.from_numpy(X), torch.tensor([0, 1, 4]))
    converted = regauge.to_jax(model, inputs)
    for got, expected in zip(converted.module(*(x.numpy() for x in inputs)), model(*inputs), strict=True):
        np.testing.assert_allclose(got, expected.detach().numpy(), rtol=1e-6)


def unstacked(x: jax.Array) -> jax.Array:
    return jnp.unstack(x[None])[0] * 2


def barred(x: jax.Array) -> jax.Array:
    return jax.lax.optimization_barrier(jnp.sin(x)) * 2


def barred_with_a_number(x: jax.Array) -> jax.Array:
    y, size = jax.lax.optimization_barrier((jnp.sin(x), jnp.asarray(x.shape[-1], x.dtype)))
    return y / size


@pytest.mark.parametrize("function", [unstacked, barred, barred_with_a_number])
def test_jax_lists(function: Callable[[jax.Array], jax.Array]) -> None:
    got = regauge.to_torch(function, (jnp.asarray(X),))(torch.from_numpy(X))
    np.testing.assert_allclose(got, function(jnp.asarray(X)), rtol=1e-6)
