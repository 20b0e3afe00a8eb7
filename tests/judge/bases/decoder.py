"""A causal language model as GPT-2 is built, with tied embeddings; the port in Linen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import optax
import torch
import torch.nn.functional as F
from flax import linen
from torch import nn

import regauge
from judge.filling import filled, weights_of

WORDS, WIDTH, HEADS, LENGTH = 11, 8, 2, 6


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH), nn.LayerNorm(WIDTH)
        self.q, self.k, self.v, self.o = (nn.Linear(WIDTH, WIDTH) for _ in range(4))
        self.up, self.down = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(3 * WIDTH, WIDTH)
        self.drop = nn.Dropout(0.1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.norm1(x)
        q, k, v = (layer(y).unflatten(-1, (HEADS, -1)).transpose(1, 2) for layer in (self.q, self.k, self.v))
        y = F.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + self.drop(self.o(y.transpose(1, 2).flatten(2)))
        return x + self.drop(self.down(F.gelu(self.up(self.norm2(x)))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words, self.places = nn.Embedding(WORDS, WIDTH), nn.Embedding(LENGTH, WIDTH)
        self.block = Block()
        self.norm = nn.LayerNorm(WIDTH)
        self.head = nn.Linear(WIDTH, WORDS, bias=False)
        self.head.weight = self.words.weight

    def forward(self, ids: torch.Tensor) -> torch.Tensor:
        x = self.words(ids) + self.places.weight[: ids.shape[1]]
        return self.head(self.norm(self.block(x)))


class BlockPort(linen.Module):
    @linen.compact
    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        y = linen.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm1")(x)
        q, k, v = (linen.Dense(WIDTH, name=name)(y).reshape(*y.shape[:2], HEADS, -1) for name in ("q", "k", "v"))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) * (WIDTH / HEADS) ** -0.5
        mask = jnp.tril(jnp.ones(scores.shape[-2:], bool))
        weights = jax.nn.softmax(jnp.where(mask, scores, -jnp.inf), axis=-1)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)
        y = linen.Dense(WIDTH, name="o")(y)
        x = x + linen.Dropout(0.1, deterministic=not train)(y)
        y = linen.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm2")(x)
        y = jax.nn.gelu(linen.Dense(3 * WIDTH, name="up")(y), approximate=False)
        return x + linen.Dropout(0.1, deterministic=not train)(linen.Dense(WIDTH, name="down")(y))


class Port(linen.Module):
    @linen.compact
    def __call__(self, ids: jax.Array, train: bool = False) -> jax.Array:
        words = linen.Embed(WORDS, WIDTH, name="words")
        places = self.param("places", linen.initializers.zeros, (LENGTH, WIDTH))
        x = words(ids) + places[: ids.shape[1]]
        x = BlockPort(name="block")(x, train)
        x = linen.LayerNorm(epsilon=1e-5, use_fast_variance=False, name="norm")(x)
        return words.attend(x)


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    ids = torch.randint(0, WORDS, (3, LENGTH))
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.05)
    return regauge.Case(
        model,
        inputs=(ids,),
        targets=ids.roll(-1, 1),
        loss=lambda logits, targets: F.cross_entropy(logits.flatten(0, 1), targets.flatten()),
        optimizer=(optimizer, torch.optim.lr_scheduler.LinearLR(optimizer, 0.2, 1.0, 4)),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def rate(count: jax.Array) -> jax.Array:
    return 3e-3 * (0.2 + 0.8 * jnp.minimum(count, 4) / 4)


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    weights["places"] = weights.pop("places.weight")
    ids = case.inputs[0].numpy().astype(np.int32)
    variables = filled(jax.eval_shape(Port().init, jax.random.key(0), ids), weights)
    return regauge.Case(
        (Port(), variables),
        inputs=(ids,),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=optax.adamw(rate, weight_decay=0.05),
    )
