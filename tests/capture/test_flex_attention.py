"""`flex_attention`: functions of scores and masks become what they compute; the plain one is attention of JAX."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn.attention.flex_attention import create_block_mask, flex_attention

import regauge

BATCH, TIME, HEADS, WIDTH = 2, 16, 2, 8


class Attention(nn.Module):
    def __init__(self, **options: Any) -> None:
        super().__init__()
        self.qkv = nn.Linear(HEADS * WIDTH, 3 * HEADS * WIDTH)
        self.register_buffer("slopes", torch.tensor([0.5, 0.25]))
        self.options = options

    def heads(self, x: Tensor) -> list[Tensor]:
        return list(self.qkv(x).unflatten(-1, (3, HEADS, WIDTH)).permute(2, 0, 3, 1, 4))

    def forward(self, x: Tensor) -> Any:
        return flex_attention(*self.heads(x), **self.options)


class Sloped(Attention):
    def forward(self, x: Tensor) -> Any:
        return flex_attention(*self.heads(x), score_mod=lambda s, b, h, i, j: s - self.slopes[h] * (i - j))


class Grouped(Attention):
    def forward(self, x: Tensor) -> Any:
        q, k, v = self.heads(x)
        return flex_attention(q, k[:, :1], v[:, :1], enable_gqa=True)


def block_mask(mask_mod: Callable[..., Tensor]) -> Any:
    return create_block_mask(mask_mod, None, None, TIME, TIME, device="cpu")


WINDOW = block_mask(lambda b, h, i, j: (i >= j) & (i - j < 4))
FIRST_ROWS_EMPTY = block_mask(lambda b, h, i, j: i - 2 >= j)
MODELS = {
    "plain": Attention,
    "scaled": lambda: Attention(scale=0.5),
    "scores": Sloped,
    "grouped": Grouped,
    "masked": lambda: Attention(block_mask=WINDOW),
    "rows without a key": lambda: Attention(block_mask=FIRST_ROWS_EMPTY),
    "both": lambda: Attention(block_mask=WINDOW, score_mod=lambda s, b, h, i, j: 10 * torch.tanh(s / 10)),
}


@pytest.mark.parametrize("name", MODELS)
def test_it_is_the_same_for_other_batches(name: str) -> None:
    torch.manual_seed(0)
    model = MODELS[name]()
    converted = regauge.to_jax(model, (torch.randn(BATCH, TIME, HEADS * WIDTH),))
    x = torch.randn(BATCH + 1, TIME, HEADS * WIDTH)
    with torch.no_grad():
        expected = model(x).numpy()
    np.testing.assert_allclose(converted(x.numpy()), expected, atol=1e-6)


def test_plain_attention_is_that_of_jax() -> None:
    source = regauge.to_jax(Attention(), (torch.randn(BATCH, TIME, HEADS * WIDTH),)).source
    assert "jax.nn.dot_product_attention(" in source
    assert "arange" not in source


class Documents(nn.Module):
    """Tokens see those of their own document."""

    def forward(self, x: Tensor, documents: Tensor) -> Any:
        heads = x.unflatten(-1, (HEADS, WIDTH)).transpose(1, 2)
        same = lambda b, h, i, j: documents[b, i] == documents[b, j]  # noqa: E731
        mask = create_block_mask(same, x.shape[0], None, TIME, TIME, device="cpu")
        return flex_attention(heads, heads, heads, block_mask=mask)


def test_masks_of_inputs() -> None:
    inputs = (torch.randn(BATCH, TIME, HEADS * WIDTH), torch.randint(0, 3, (BATCH, TIME)))
    got = regauge.to_jax(Documents(), inputs)(*(jnp.asarray(x.numpy()) for x in inputs))
    np.testing.assert_allclose(got, Documents()(*inputs), atol=1e-6)
