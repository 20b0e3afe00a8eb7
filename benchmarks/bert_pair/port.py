"""The port of the pair, written by hand for NNX; it reads the original's weights from ``$BERT_WEIGHTS``."""

from __future__ import annotations

import os

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from safetensors.numpy import load_file

import regauge

WIDTH, HEADS, DEPTH, INNER, VOCABULARY, POSITIONS, TYPES, CLASSES = 768, 12, 12, 3072, 30522, 512, 2, 3
RATE, EPS, BATCH, TOKENS = 0.1, 1e-12, 2, 16


class Norm(nnx.LayerNorm):
    def __init__(self, rngs: nnx.Rngs) -> None:
        super().__init__(WIDTH, epsilon=EPS, use_fast_variance=False, rngs=rngs)


class Embeddings(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.words = nnx.Embed(VOCABULARY, WIDTH, rngs=rngs)
        self.positions = nnx.Embed(POSITIONS, WIDTH, rngs=rngs)
        self.types = nnx.Embed(TYPES, WIDTH, rngs=rngs)
        self.norm = Norm(rngs)
        self.drop = nnx.Dropout(RATE, rngs=rngs)

    def __call__(self, tokens: jax.Array) -> jax.Array:
        x = self.words(tokens) + self.types(jnp.zeros_like(tokens))
        return self.drop(self.norm(x + self.positions(jnp.arange(tokens.shape[1]))))


class Attention(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.query, self.key, self.value, self.out = (nnx.Linear(WIDTH, WIDTH, rngs=rngs) for _ in range(4))
        self.drop = nnx.Dropout(RATE, rngs=rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        b, t, _ = x.shape
        q, k, v = (layer(x).reshape(b, t, HEADS, -1) for layer in (self.query, self.key, self.value))
        scores = jnp.einsum("bqhd,bkhd->bhqk", q, k) / np.sqrt(WIDTH // HEADS)
        seen = mask.any(-1, keepdims=True)  # a row that sees nothing gets nothing, as in torch
        scores = jnp.where(seen, jnp.where(mask, scores, -jnp.inf), 0)
        shares = self.drop(jnp.where(seen, jax.nn.softmax(scores, axis=-1), 0))
        return self.out(jnp.einsum("bhqk,bkhd->bqhd", shares, v).reshape(b, t, -1))


class Layer(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.attention = Attention(rngs)
        self.attention_drop = nnx.Dropout(RATE, rngs=rngs)
        self.attention_norm = Norm(rngs)
        self.up = nnx.Linear(WIDTH, INNER, rngs=rngs)
        self.down = nnx.Linear(INNER, WIDTH, rngs=rngs)
        self.drop = nnx.Dropout(RATE, rngs=rngs)
        self.norm = Norm(rngs)

    def __call__(self, x: jax.Array, mask: jax.Array) -> jax.Array:
        x = self.attention_norm(x + self.attention_drop(self.attention(x, mask)))
        return self.norm(x + self.drop(self.down(jax.nn.gelu(self.up(x), approximate=False))))


class Bert(nnx.Module):
    """input_ids, attention_mask: int[batch, tokens]  ->  {"logits": float[batch, 3]}"""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.embeddings = Embeddings(rngs)
        self.layers = nnx.List([Layer(rngs) for _ in range(DEPTH)])
        self.pooler = nnx.Linear(WIDTH, WIDTH, rngs=rngs)
        self.drop = nnx.Dropout(RATE, rngs=rngs)
        self.classifier = nnx.Linear(WIDTH, CLASSES, rngs=rngs)

    def __call__(self, input_ids: jax.Array, attention_mask: jax.Array) -> dict[str, jax.Array]:
        x = self.embeddings(input_ids)
        for layer in self.layers:
            x = layer(x, attention_mask[:, None, None, :].astype(bool))
        return {"logits": self.classifier(self.drop(jnp.tanh(self.pooler(x[:, 0]))))}


_NAMES = {
    "words": "word_embeddings",
    "positions": "position_embeddings",
    "types": "token_type_embeddings",
    "attention.query": "attention.self.query",
    "attention.key": "attention.self.key",
    "attention.value": "attention.self.value",
    "attention.out": "attention.output.dense",
    "attention_norm": "attention.output.LayerNorm",
    "up": "intermediate.dense",
    "down": "output.dense",
}
_LEAVES = {"kernel": "weight", "scale": "weight", "embedding": "weight", "bias": "bias"}


def original_name(path: str) -> str:
    """``layers.3.up.kernel`` as transformers calls it."""
    module, _, leaf = path.rpartition(".")
    if module == "classifier":
        return f"classifier.{_LEAVES[leaf]}"
    if module == "pooler":
        return f"bert.pooler.dense.{_LEAVES[leaf]}"
    if module.startswith("embeddings."):
        inner = module.removeprefix("embeddings.")
        return f"bert.embeddings.{_NAMES.get(inner, 'LayerNorm')}.{_LEAVES[leaf]}"
    number, _, inner = module.removeprefix("layers.").partition(".")
    return f"bert.encoder.layer.{number}.{_NAMES.get(inner, 'output.LayerNorm')}.{_LEAVES[leaf]}"


def load() -> Bert:
    model = nnx.eval_shape(lambda: Bert(nnx.Rngs(0)))
    weights = load_file(os.environ["BERT_WEIGHTS"])
    for path, variable in nnx.to_flat_state(nnx.state(model)):
        name = ".".join(map(str, path))
        if isinstance(variable, nnx.Param):
            array = weights[original_name(name)]
            variable.set_value(jnp.asarray(array.T if name.endswith("kernel") else array))
    for number, (_, variable) in enumerate(nnx.to_flat_state(nnx.state(model, nnx.RngState))):
        is_key = isinstance(variable, nnx.RngKey)
        variable.set_value(jax.random.key(number) if is_key else jnp.zeros((), jnp.uint32))
    return model


def loss(outputs: dict[str, jax.Array], targets: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(outputs["logits"], targets).mean()


def case() -> regauge.Case:
    tokens = np.random.default_rng(0).integers(0, 30000, (BATCH, TOKENS))
    inputs = {"input_ids": tokens, "attention_mask": np.ones_like(tokens)}
    return regauge.Case(load(), inputs, np.array([0, 2]), loss, optax.adamw(5e-5, weight_decay=1e-2), name="bert-port")
