"""The tiny vision transformer of tiny_vit.py in Flax NNX, written by hand: how long emitted code may be."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
from flax import nnx

LayerNorm = partial(nnx.LayerNorm, epsilon=1e-5, use_fast_variance=False)


class Attention(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.qkv = nnx.Linear(64, 192, rngs=rngs)
        self.proj = nnx.Linear(64, 64, rngs=rngs)
        self.drop = nnx.Dropout(0.1, rngs=rngs)

    def __call__(self, x):
        q, k, v = jnp.unstack(self.qkv(x).reshape(-1, 16, 3, 4, 16), axis=2)
        x = jax.nn.dot_product_attention(q, k, v)
        return self.drop(self.proj(x.reshape(-1, 16, 64)))


class Block(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.norm1 = LayerNorm(64, rngs=rngs)
        self.attn = Attention(rngs=rngs)
        self.norm2 = LayerNorm(64, rngs=rngs)
        self.mlp = nnx.Sequential(
            nnx.Linear(64, 256, rngs=rngs),
            partial(jax.nn.gelu, approximate=False),
            nnx.Linear(256, 64, rngs=rngs),
        )

    def __call__(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class TinyViT(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs):
        self.patch = nnx.Conv(3, 64, kernel_size=(8, 8), strides=8, padding="VALID", rngs=rngs)
        self.pos = nnx.Param(jnp.zeros((1, 16, 64)))
        self.blocks = nnx.List([Block(rngs=rngs) for _ in range(4)])
        self.norm = LayerNorm(64, rngs=rngs)
        self.head = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, images):
        x = self.patch(jnp.moveaxis(images, 1, -1))
        x = x.reshape(-1, 16, 64) + self.pos
        for block in self.blocks:
            x = block(x)
        return self.head(self.norm(x).mean(1))
