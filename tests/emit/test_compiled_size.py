"""What XLA makes of emitted layers grows with their number: no layer is computed again inside of all that follow."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
import torch
from torch import nn

import regauge


def instructions(layers: int, norm_first: bool, gradient: bool) -> int:
    """How many instructions the compiled program has, those inside of fused ones included."""
    layer = nn.TransformerEncoderLayer(16, 2, 32, dropout=0.0, batch_first=True, norm_first=norm_first)
    model = nn.TransformerEncoder(layer, layers, enable_nested_tensor=False)
    converted = regauge.to_jax(model, (torch.randn(2, 5, 16),), layers="unroll")

    def loss(params: Any, x: jax.Array) -> jax.Array:
        return jnp.sin(converted.apply(params, converted.state, x)[0]).sum()

    program = jax.jit(jax.grad(loss) if gradient else loss).lower(converted.params, jnp.ones((2, 5, 16))).compile()
    return program.as_text().count(" = ")


@pytest.mark.parametrize("gradient", [True, False], ids=["gradient", "forward"])
@pytest.mark.parametrize("norm_first", [True, False], ids=["norm first", "norm last"])
def test_each_layer_adds_as_much(norm_first: bool, gradient: bool) -> None:
    # equal layers add 2 to 1, and layers that hold those before them 3.2 and more; fusion differs a little by depth
    few, more, many = (instructions(layers, norm_first, gradient) for layers in (2, 4, 8))
    assert many - more <= 1.2 * 2 * (more - few)
