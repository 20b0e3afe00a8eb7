"""Operators that say what is so anyway are not written; values are PyTorch's."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge


class Plain(nn.Module):
    def forward(self, x: Tensor, i: Tensor) -> tuple[Tensor, ...]:
        return (
            F.one_hot(i, 4).float() @ x.mT,
            F.one_hot(i, 4),
            torch.full_like(torch.zeros(3, 4), 0.25) + x,
            x.permute(0, 1) * 2,
            x.cumsum(1),
            1.0 * x + 1,
            x + 0,
        )


def test_what_is_so_anyway_is_not_written() -> None:
    torch.manual_seed(0)
    x, i = torch.randn(3, 4), torch.tensor([2, 0, 3])
    made = regauge.to_jax(Plain(), (x, i))
    for text in (
        "jax.nn.one_hot(i, 4, dtype=jnp.float32) @ ",
        "jax.nn.one_hot(i, 4, dtype=int)",
        "jnp.full((3, 4), 0.25, jnp.float32) + x",
        " x * 2",
        "jnp.cumsum(x, axis=1)",
        "x + 1",
        "x + 0",  # makes 0.0 of -0.0
    ):
        assert text in made.source
    assert "transpose(0, 1)" not in made.source
    for mine, theirs in zip(made(jnp.asarray(x.numpy()), jnp.asarray(i.numpy())), Plain()(x, i), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-6)
