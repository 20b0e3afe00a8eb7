"""A sentence classifier as BERT is built, with a padding mask; the port in nnx."""

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

WORDS, WIDTH, HEADS, LENGTH, CLASSES = 17, 8, 2, 5, 3


class Block(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.qkv, self.o = nn.Linear(WIDTH, 3 * WIDTH), nn.Linear(WIDTH, WIDTH)
        self.up, self.down = nn.Linear(WIDTH, 2 * WIDTH), nn.Linear(2 * WIDTH, WIDTH)
        self.norm1, self.norm2 = nn.LayerNorm(WIDTH, eps=1e-12), nn.LayerNorm(WIDTH, eps=1e-12)

    def forward(self, x: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        q, k, v = self.qkv(x).unflatten(-1, (3, HEADS, -1)).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v, attn_mask=mask[:, None, None])
        x = self.norm1(x + self.o(y.transpose(1, 2).flatten(2)))
        return self.norm2(x + self.down(F.gelu(self.up(x))))


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.words = nn.Embedding(WORDS, WIDTH, padding_idx=0)
        self.places = nn.Embedding(LENGTH, WIDTH)
        self.norm = nn.LayerNorm(WIDTH)
        self.blocks = nn.ModuleList(Block() for _ in range(2))
        self.drop = nn.Dropout(0.1)
        self.head = nn.Linear(WIDTH, CLASSES)
        self.places.weight.requires_grad_(False)

    def forward(self, ids: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
        x = self.norm(self.words(ids) + self.places.weight)
        for block in self.blocks:
            x = block(x, mask)
        kept = mask[..., None].to(x.dtype)
        pooled = (x * kept).sum(1) / kept.sum(1).clamp(min=1) + x[:, 0]
        return self.head(self.drop(pooled))


class BlockPort(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.qkv, self.o = nnx.Linear(WIDTH, 3 * WIDTH, rngs=rngs), nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.up, self.down = nnx.Linear(WIDTH, 2 * WIDTH, rngs=rngs), nnx.Linear(2 * WIDTH, WIDTH, rngs=rngs)
        self.norm1 = nnx.LayerNorm(WIDTH, epsilon=1e-12, use_fast_variance=False, rngs=rngs)
        self.norm2 = nnx.LayerNorm(WIDTH, epsilon=1e-12, use_fast_variance=False, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        q, k, v = jnp.moveaxis(self.qkv(x).reshape(*x.shape[:2], 3, HEADS, -1), 2, 0)
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / jnp.sqrt(q.shape[-1])
        scores = jnp.where(mask[:, None, None], scores, -jnp.inf)
        top = jnp.where(mask.any(-1)[:, None, None, None], scores.max(-1, keepdims=True), 0)
        weights = jnp.exp(scores - jax.lax.stop_gradient(top))
        total = weights.sum(-1, keepdims=True)
        weights = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1), 0)
        y = jnp.einsum("bhqk,bkhd->bqhd", weights, v).reshape(x.shape)
        x = self.norm1(x + self.o(y))
        y = jax.nn.gelu(self.up(x), approximate=False)
        return self.norm2(x + self.down(y))


class Port(nnx.Module):
    def __init__(self) -> None:
        rngs = nnx.Rngs(0)
        self.words = nnx.Embed(WORDS, WIDTH, rngs=rngs)
        self.places = nnx.Embed(LENGTH, WIDTH, rngs=rngs)
        self.norm = nnx.LayerNorm(WIDTH, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.blocks = nnx.List([BlockPort(rngs) for _ in range(2)])
        self.drop = nnx.Dropout(0.1, rngs=rngs)
        self.head = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, ids: jax.Array, mask: jax.Array) -> jax.Array:
        x = self.words(ids)
        x = jnp.where((ids == 0)[..., None], jax.lax.stop_gradient(x), x)
        x = self.norm(x + jax.lax.stop_gradient(self.places.embedding[...]))
        for block in self.blocks:
            x = block(x, mask)
        kept = mask[..., None].astype(x.dtype)
        pooled = (x * kept).sum(1) / jnp.maximum(kept.sum(1), 1) + x[:, 0]
        return self.head(self.drop(pooled))


def original(seed: int = 0) -> regauge.Case:
    torch.manual_seed(seed)
    model = Net()
    for name, parameter in model.named_parameters():
        if "norm" in name:
            nn.init.uniform_(parameter, 0.5, 1.5)
    ids = torch.randint(1, WORDS, (4, LENGTH))
    ids[1, 3:], ids[3, 2:] = 0, 0
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    return regauge.Case(
        model,
        inputs=(ids, ids != 0),
        targets=torch.randint(0, CLASSES, (4,)),
        loss=F.cross_entropy,
        optimizer=torch.optim.AdamW(trained, lr=2e-3, betas=(0.9, 0.98)),
    )


def loss(logits: jax.Array, targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(logits, targets).mean()


def trained_only(inner: optax.GradientTransformation) -> optax.GradientTransformation:
    """Everything but the places, which are frozen."""

    def labels(params: optax.Params) -> optax.Params:
        path_of = jax.tree_util.tree_map_with_path
        return path_of(lambda path, _: "frozen" if "places" in str(path) else "trained", params)

    return optax.multi_transform({"trained": inner, "frozen": optax.set_to_zero()}, labels)


def port(case: regauge.Case) -> regauge.Case:
    weights = weights_of(case.model)
    model = Port()
    fill(model, weights)
    return regauge.Case(
        model,
        inputs=(case.inputs[0].numpy().astype(np.int32), case.inputs[1].numpy()),
        targets=case.targets.numpy().astype(np.int32),
        loss=loss,
        optimizer=trained_only(optax.adamw(2e-3, b2=0.98, weight_decay=1e-2)),
    )
