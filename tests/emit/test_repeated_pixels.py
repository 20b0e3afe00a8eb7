"""Nearest-neighbour resizing by a whole number is repetition, written where it stands; other resizing is a helper."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge


class Upsampled(nn.Module):
    """A decoder's step: images are channels-last between the convolutions."""

    def __init__(self, **how: Any) -> None:
        super().__init__()
        self.first, self.last, self.how = nn.Conv2d(2, 3, 3, padding=1), nn.Conv2d(3, 2, 1), how

    def forward(self, x: Tensor) -> Tensor:
        return self.last(F.interpolate(self.first(x), **self.how))  # type: ignore[no-any-return]


PLAIN = [
    ({"scale_factor": 2}, ".repeat(2, axis=1).repeat(2, axis=2)"),
    ({"scale_factor": 3, "mode": "nearest-exact"}, ".repeat(3, axis=1).repeat(3, axis=2)"),
    ({"size": (12, 5)}, ".repeat(3, axis=1)"),
    ({"scale_factor": (1, 4)}, ".repeat(4, axis=2)"),
]


@pytest.mark.parametrize(("how", "expected"), PLAIN, ids=[str(how) for how, _ in PLAIN])
def test_whole_factors_are_repetition(how: dict[str, Any], expected: str) -> None:
    assert f"self.first(x.transpose(0, 2, 3, 1)){expected}" in like_torch(how)


@pytest.mark.parametrize("how", [{"size": (7, 5)}, {"scale_factor": 1.5}, {"scale_factor": 2, "mode": "bilinear"}])
def test_other_resizing_is_a_helper(how: dict[str, Any]) -> None:
    assert "ops.resize_" in like_torch(how)


def like_torch(how: dict[str, Any]) -> str:
    """What is written; its values and gradients are PyTorch's."""
    torch.manual_seed(0)
    module, x = Upsampled(**how), torch.randn(2, 2, 4, 5, requires_grad=True)
    made = regauge.to_jax(module, (x,))
    expected = module(x)
    expected.sin().sum().backward()

    def loss(x: jax.Array) -> tuple[jax.Array, jax.Array]:
        found = made.apply(made.params, made.state, x)[0]
        return jnp.sin(found).sum(), found

    gradient, found = jax.grad(loss, has_aux=True)(jnp.asarray(x.detach().numpy()))
    np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-5)
    assert x.grad is not None
    np.testing.assert_allclose(gradient, x.grad.numpy(), rtol=1e-5, atol=1e-5)
    return made.source
