"""A mixture of experts with top-2 routing behind attention with rotary positions; the port in nnx."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
import torch
import torch.nn.functional as F
from flax import nnx
from torch import nn

import regauge
from judge.filling import fill, weights_of

WIDTH, HEADS, EXPERTS, CHOSEN = 8, 2, 4, 2
SIZE = WIDTH // HEADS


def rotate(x: torch.Tensor) -> torch.Tensor:
    """Rotary positions on [batch, heads, time, size], neighbours paired."""
    angles = torch.arange(x.shape[2])[:, None] * 100.0 ** (-torch.arange(0, SIZE, 2) / SIZE)
    a, b = x[..., ::2], x[..., 1::2]
    pairs = [a * angles.cos() - b * angles.sin(), b * angles.cos() + a * angles.sin()]
    return torch.stack(pairs, -1).flatten(-2)


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.router = nn.Linear(WIDTH, EXPERTS, bias=False)
        self.first = nn.Parameter(torch.randn(EXPERTS, WIDTH, 2 * WIDTH) / WIDTH**0.5)
        self.second = nn.Parameter(torch.randn(EXPERTS, 2 * WIDTH, WIDTH) / WIDTH**0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        scores = self.router(x).softmax(-1)
        shares, chosen = scores.topk(CHOSEN, -1)
        shares = shares / shares.sum(-1, keepdim=True)
        gates = torch.zeros_like(scores).scatter(-1, chosen, shares)
        hidden = F.gelu(torch.einsum("btd,edf->btef", x, self.first), approximate="tanh")
        return torch.einsum("btef,efd,bte->btd", hidden, self.second, gates)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.RMSNorm(WIDTH, eps=1e-5), nn.LayerNorm(WIDTH)
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH, bias=False), nn.Linear(WIDTH, WIDTH)
        self.experts = Experts()
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, SIZE)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(rotate(q), rotate(k), v, is_causal=True)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        return self.head(x + self.experts(self.norm2(x)))


class RMSNorm(nnx.Module):
    def __init__(self) -> None:
        self.scale = nnx.Param(jnp.ones(WIDTH))

    def __call__(self, x: jax.Array) -> jax.Array:
        return x * jax.lax.rsqrt(jnp.mean(x * x, -1, keepdims=True) + 1e-5) * self.scale[...]


def rotated(x: jax.Array) -> jax.Array:
    """Rotary positions on [batch, time, heads, size], neighbours paired."""
    angles = jnp.arange(x.shape[1], dtype=x.dtype)[:, None] * 100.0 ** (-jnp.arange(0, SIZE, 2, x.dtype) / SIZE)
    cos, sin = jnp.cos(angles)[:, None], jnp.sin(angles)[:, None]
    a, b = x[..., ::2], x[..., 1::2]
    return jnp.stack([a * cos - b * sin, b * cos + a * sin], -1).reshape(x.shape)


class ExpertsPort(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.router = nnx.Linear(WIDTH, EXPERTS, use_bias=False, rngs=rngs)
        self.first = nnx.Param(jnp.zeros((EXPERTS, WIDTH, 2 * WIDTH)))
        self.second = nnx.Param(jnp.zeros((EXPERTS, 2 * WIDTH, WIDTH)))

    def __call__(self, x: jax.Array) -> jax.Array:
        scores = jax.nn.softmax(self.router(x), -1)
        shares, chosen = jax.lax.top_k(scores, CHOSEN)
        shares = shares / shares.sum(-1, keepdims=True)
        gates = jnp.sum(jax.nn.one_hot(chosen, EXPERTS, dtype=x.dtype) * shares[..., None], -2)
        hidden = jax.nn.gelu(jnp.einsum("btd,edf->btef", x, self.first[...]), approximate=True)
        return jnp.einsum("btef,efd,bte->btd", hidden, self.second[...], gates)


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.norm1 = RMSNorm()
        self.norm2 = nnx.LayerNorm(WIDTH, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.qkv, self.o = nnx.Linear(WIDTH, 3 * WIDTH, use_bias=False, rngs=rngs), nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.experts = ExpertsPort(rngs)
        self.head = nnx.Linear(WIDTH, 3, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        q, k, v = jnp.moveaxis(self.qkv(self.norm1(x)).reshape(*x.shape[:2], 3, HEADS, SIZE), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", rotated(q), rotated(k)) * SIZE**-0.5
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), -1)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)
        x = x + self.o(y)
        return self.head(x + self.experts(self.norm2(x)))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    return regauge.Case(
        model,
        inputs=(torch.randn(3, 5, WIDTH),),
        targets=torch.randn(3, 5, 3),
        loss=nn.HuberLoss(delta=0.5),
        optimizer=torch.optim.Adam(model.parameters(), lr=3e-3, weight_decay=0.01),
    )


def loss(outputs: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.huber_loss(outputs, targets, delta=0.5).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(case.inputs[0].numpy(),),
        targets=case.targets.numpy(),
        loss=loss,
        optimizer=optax.chain(optax.add_decayed_weights(0.01), optax.adam(3e-3)),
    )
