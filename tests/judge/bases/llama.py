"""A causal language model as Llama is built: RMS norm, rotary positions, shared key heads, gated units; port in nnx."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge
from judge.filling import fill, weights_of

WORDS, WIDTH, HEADS, GROUPS = 11, 16, 4, 2
SIZE = WIDTH // HEADS


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions on [batch, heads, time, size], halves paired."""
    angles = torch.arange(x.shape[2])[:, None] * 10000.0 ** (-torch.arange(0, SIZE, 2) / SIZE)
    a, b = x.chunk(2, -1)
    return torch.cat([a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()], -1)


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH, eps=1e-6), nn.RMSNorm(WIDTH, eps=1e-6)
        self.q, self.o = nn.Linear(WIDTH, WIDTH, bias=False), nn.Linear(WIDTH, WIDTH, bias=False)
        self.k, self.v = (nn.Linear(WIDTH, GROUPS * SIZE, bias=False) for _ in range(2))
        self.gate, self.up = (nn.Linear(WIDTH, 2 * WIDTH, bias=False) for _ in range(2))
        self.down = nn.Linear(2 * WIDTH, WIDTH, bias=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        q, k, v = (layer(y).unflatten(-1, (-1, SIZE)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        k, v = (part.repeat_interleave(HEADS // GROUPS, 1) for part in (rotate(k), v))
        y = F.scaled_dot_product_attention(rotate(q), k, v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        y = self.norm2(x)
        return x + self.down(F.silu(self.gate(y)) * self.up(y))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH)
        self.block = Block()
        self.norm = nn.RMSNorm(WIDTH, eps=1e-6)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        return self.head(self.norm(self.block(self.words(ids))))


class RMSNorm(nnx.Module):
    def __init__(self) -> None:
        self.scale = nnx.Param(jnp.ones(WIDTH))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-6) * self.scale[...]


def rotated(x: jax.Array) -> jax.Array:
    """Rotary positions on [batch, time, heads, size], halves paired."""
    angles = jnp.arange(x.shape[1], dtype=x.dtype)[:, None] * 10000.0 ** (-jnp.arange(0, SIZE, 2, x.dtype) / SIZE)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    a, b = jnp.split(x, 2, -1)
    return jnp.concatenate([a * cos - b * sin, b * cos + a * sin], -1)


class BlockPort(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.norm1, self.norm2 = RMSNorm(), RMSNorm()
        self.q, self.o = (nnx.Linear(WIDTH, WIDTH, use_bias=False, rngs=rngs) for _ in range(2))
        self.k, self.v = (nnx.Linear(WIDTH, GROUPS * SIZE, use_bias=False, rngs=rngs) for _ in range(2))
        self.gate, self.up = (nnx.Linear(WIDTH, 2 * WIDTH, use_bias=False, rngs=rngs) for _ in range(2))
        self.down = nnx.Linear(2 * WIDTH, WIDTH, use_bias=False, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        y = self.norm1(x)
        q, k, v = (layer(y).reshape(*y.shape[:2], -1, SIZE) for layer in (self.q, self.k, self.v))
        q, k = rotated(q), rotated(k)
        k, v = jnp.repeat(k, HEADS // GROUPS, axis=2), jnp.repeat(v, HEADS // GROUPS, axis=2)
        y = jax.nn.dot_product_attention(q, k, v, is_causal=True)
        x = x + self.o(y.reshape(x.shape))
        y = self.norm2(x)
        return x + self.down(jax.nn.silu(self.gate(y)) * self.up(y))


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.words = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.block = BlockPort(rngs)
        self.norm = RMSNorm()
        self.head = nnx.Linear(WIDTH, WORDS, use_bias=False, rngs=rngs)

    def __call__(self, ids: jax.Array) -> jax.Array:
        return self.head(self.norm(self.block(self.words(ids))))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    ids = torch.randint(0, WORDS, (3, 6))
    return regauge.Case(
        model,
        inputs=(ids,),
        targets=ids.roll(-1, 1),
        loss=lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()),
        optimizer=torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.1),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(case.inputs[0].numpy().astype(np.int32),),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.adamw(3e-3, weight_decay=0.1),
    )
