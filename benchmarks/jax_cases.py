"""The networks of `benchmarks.handwritten` as cases, from which PyTorch is emitted; their yardstick is `originals`."""

from __future__ import annotations

from typing import Any

import jax
import optax
from flax import nnx

import regauge
from benchmarks.handwritten import CLASSES, MODELS, OPTIMIZERS, TOKENS, VOCABULARY


def loss(scores: jax.Array, labels: jax.Array) -> jax.Array:
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def _case(name: str, inputs: jax.Array, labels: jax.Array) -> regauge.Case:
    model: Any = MODELS[name](rngs=nnx.Rngs(0))
    return regauge.Case(model, (inputs,), labels, loss, OPTIMIZERS[name](), name)


def encoder() -> regauge.Case:
    tokens = jax.random.randint(jax.random.key(0), (16, TOKENS), 0, VOCABULARY)
    return _case("encoder", tokens, jax.random.randint(jax.random.key(1), (16,), 0, CLASSES))


def resnet() -> regauge.Case:
    images = jax.random.normal(jax.random.key(0), (32, 3, 32, 32))
    return _case("resnet", images, jax.random.randint(jax.random.key(1), (32,), 0, 10))
