"""There and back: a conversion of a conversion is the model again, in source that a person can read."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge


class Block(nn.Module):
    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)
        self.mlp = nn.Sequential(nn.Linear(width, 2 * width), nn.GELU(), nn.Linear(2 * width, width))
        self.heads = heads

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        batch, time, width = x.shape
        q, k, v = self.qkv(self.norm(x)).reshape(batch, time, 3, self.heads, -1).permute(2, 0, 3, 1, 4)
        attended = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.out(attended.transpose(1, 2).reshape(batch, time, width))
        return x + self.mlp(x)


class Signals(nn.Module):
    """Convolutions that meet a transformer: both orders of axes in one model."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv1d(3, 16, 5, padding=2)
        self.norm = nn.BatchNorm1d(16)
        self.blocks = nn.ModuleList(Block(16, 4) for _ in range(2))
        self.head = nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = torch.relu(self.norm(self.stem(x))).transpose(1, 2)
        for block in self.blocks:
            x = block(x)
        return self.head(x.mean(1))


class Images(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.conv = nnx.Conv(3, 8, kernel_size=(3, 3), rngs=rngs)
        self.norm = nnx.GroupNorm(8, num_groups=2, rngs=rngs)
        self.head = nnx.Linear(8, 4, rngs=rngs)

    def __call__(self, x: jnp.ndarray) -> jnp.ndarray:
        return self.head(nnx.gelu(self.norm(self.conv(x))).mean((1, 2)))


def test_from_torch_and_back() -> None:
    torch.manual_seed(0)
    model, x = Signals().eval(), torch.randn(4, 3, 12)
    back = regauge.to_torch(regauge.to_jax(model, (x,)).module, (jnp.asarray(x.numpy()),))
    with torch.no_grad():
        torch.testing.assert_close(back(x[:3]), model(x[:3]), rtol=1e-5, atol=1e-6)
    assert sum(p.numel() for p in back.parameters()) == sum(p.numel() for p in model.parameters())
    for line in ("self.stem = nn.Conv1d(3, 16, 5, padding=", "self.qkv = nn.Linear(16, 48)", "nn.GELU()"):
        assert line in back.source
    assert "F.scaled_dot_product_attention(" in back.source
    assert back.source.count(".mT") == 1  # where convolutions end, and nowhere in the blocks


def test_from_jax_and_back() -> None:
    model, x = Images(nnx.Rngs(0)), np.random.default_rng(0).standard_normal((4, 6, 6, 3)).astype(np.float32)
    there = regauge.to_torch(model, (jnp.asarray(x),))
    back = regauge.to_jax(there, (torch.from_numpy(x),))
    np.testing.assert_allclose(back(jnp.asarray(x[:3])), model(jnp.asarray(x[:3])), rtol=1e-5, atol=1e-6)
    for line in ("self.conv = nnx.Conv(3, 8, kernel_size=(3, 3)", "nnx.GroupNorm(8, num_groups=2", "nnx.Linear(8, 4,"):
        assert line in back.source
