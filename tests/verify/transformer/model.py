"""The encoder of original.py in Flax NNX, written by hand."""

from pathlib import Path

import jax
import jax.numpy as jnp
from flax import nnx
from jax import lax
from safetensors.numpy import load_file


class Buffer(nnx.Variable):
    pass


class Block(nnx.Module):
    def __init__(self, *, rngs):
        self.norm1 = nnx.LayerNorm(16, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.qkv = nnx.Linear(16, 48, rngs=rngs)
        self.proj = nnx.Linear(16, 16, rngs=rngs)
        self.norm2 = nnx.LayerNorm(16, epsilon=1e-5, use_fast_variance=False, rngs=rngs)
        self.fc1 = nnx.Linear(16, 16, rngs=rngs)
        self.fc2 = nnx.Linear(16, 16, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)

    def __call__(self, x, mask):
        batch, time, _ = x.shape
        q, k, v = self.qkv(self.norm1(x)).reshape(batch, time, 3, 2, 8).transpose(2, 0, 3, 1, 4)
        scores = q @ k.swapaxes(-1, -2) * 8**-0.5
        scores = jnp.where(mask[:, None, None, :] == 0, -1e4, scores)
        mixed = (self.drop(jax.nn.softmax(scores, axis=-1)) @ v).swapaxes(1, 2).reshape(batch, time, 16)
        x = x + self.drop(self.proj(mixed))
        return x + self.fc2(jax.nn.gelu(self.fc1(self.norm2(x)), approximate=False))


class Encoder(nnx.Module):
    def __init__(self, *, rngs):
        self.words = nnx.Embed(20, 16, rngs=rngs)
        self.block = Block(rngs=rngs)
        self.scale = Buffer(jnp.zeros(2))
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, ids, mask):
        words = self.words(ids)
        words = jnp.where((ids == 0)[..., None], lax.stop_gradient(words), words)
        x = self.block(words, mask)
        weights = mask[..., None].astype(x.dtype)
        count = weights.sum(1)
        pooled = (x * weights).sum(1) / jnp.where(count < 1, 1, count)
        return {"logits": self.head(pooled) * self.scale[1], "best": jnp.argmax(x.sum(-1), -1)}


def load(directory=Path(__file__).parent):
    model = Encoder(rngs=nnx.Rngs(0))
    weights = load_file(Path(directory) / "weights.safetensors")
    state = nnx.state(model, nnx.Not(nnx.RngState))
    for path, variable in nnx.to_flat_state(state):
        variable[...] = weights[".".join(map(str, path))]
    nnx.update(model, state)
    return model
