"""An image classifier as a vision transformer is built; the port in Haiku, channels last."""

from __future__ import annotations

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from torch import nn

import regauge
from judge.filling import filled, weights_of

WIDTH, HEADS, PATCH = 8, 2, 4


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.norm_q, self.norm_k = nn.RMSNorm(WIDTH // HEADS, eps=1e-6), nn.RMSNorm(WIDTH // HEADS, eps=1e-6)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(self.norm1(x)).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(self.norm_q(q), self.norm_k(k), v)
        x = x + self.o(y.transpose(1, 2).flatten(2))
        return x + self.down(F.gelu(self.up(self.norm2(x))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.patches = nn.Conv2d(3, WIDTH, PATCH, stride=PATCH)
        self.first = nn.Parameter(torch.randn(1, 1, WIDTH))
        self.places = nn.Parameter(torch.randn(1, 5, WIDTH))
        self.block = Block()
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.patches(x).flatten(2).transpose(1, 2)
        x = torch.cat([self.first.expand(len(x), -1, -1), x], 1) + self.places
        return self.head(self.norm(self.block(x))[:, 0])


def normed(x: jax.Array, name: str) -> jax.Array:
    return hk.LayerNorm(-1, create_scale=True, create_offset=True, eps=1e-5, name=name)(x)


def rms_normed(x: jax.Array, name: str) -> jax.Array:
    return hk.RMSNorm(-1, eps=1e-6, name=name)(x)


class BlockPort(hk.Module):
    def __call__(self, x: jax.Array) -> jax.Array:
        y = hk.Linear(3 * WIDTH, name="qkv")(normed(x, "norm1"))
        q, k, v = jnp.moveaxis(y.reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        q, k = rms_normed(q, "norm_q"), rms_normed(k, "norm_k")
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH // HEADS)
        y = jnp.einsum("bhqk,bkhd->bqhd", jax.nn.softmax(scores, -1), v).reshape(x.shape)
        x = x + hk.Linear(WIDTH, name="o")(y)
        y = hk.Linear(2 * WIDTH, name="up")(normed(x, "norm2"))
        return x + hk.Linear(WIDTH, name="down")(jax.nn.gelu(y, approximate=False))


def network(x: jax.Array) -> jax.Array:
    x = hk.Conv2D(WIDTH, PATCH, stride=PATCH, padding="VALID", name="patches")(x)
    x = x.reshape(len(x), -1, WIDTH)
    first = hk.get_parameter("first", (1, 1, WIDTH), init=jnp.zeros)
    places = hk.get_parameter("places", (1, 5, WIDTH), init=jnp.zeros)
    x = jnp.concatenate([jnp.broadcast_to(first, (len(x), 1, WIDTH)), x], 1) + places
    x = BlockPort(name="block")(x)
    return hk.Linear(3, name="head")(normed(x, "norm")[:, 0])


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05)
    return regauge.Case(
        model,
        inputs=(torch.randn(4, 3, 8, 8),),
        targets=torch.randint(0, 3, (4,)),
        loss=F.cross_entropy,
        optimizer=(optimizer, torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, 20)),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    images = np.moveaxis(case.inputs[0].numpy(), 1, -1)
    transformed = hk.without_apply_rng(hk.transform(network))
    params = jax.eval_shape(transformed.init, jax.random.key(0), images)
    params = filled(params, weights)
    return regauge.Case(
        (transformed, params),
        inputs=(images,),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.adamw(optax.cosine_decay_schedule(1e-3, 20), weight_decay=0.05),
    )
