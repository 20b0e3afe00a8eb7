"""A small model of JAX that uses what models of JAX use: statistics, dropout, tables of numpy, optax."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx

import regauge


class Small(nnx.Module):
    """x: float32[batch, 6]  ->  scores: float32[batch, 3]"""

    def __init__(self, rngs: nnx.Rngs) -> None:
        self.hidden = nnx.Linear(6, 8, rngs=rngs)
        self.norm = nnx.BatchNorm(8, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)
        self.head = nnx.Linear(8, 3, rngs=rngs)
        self.waves = np.sin(np.arange(8) / 3)  # float64, which JAX computes with in float32

    def __call__(self, x: Any) -> Any:
        x = self.drop(nnx.relu(self.norm(self.hidden(x)))) + self.waves
        return self.head(x) * jnp.array([0.1, 0.2, 0.7])


def loss(scores: Any, labels: Any) -> Any:
    return optax.softmax_cross_entropy_with_integer_labels(scores, labels).mean()


def small() -> regauge.Case:
    x = jax.random.normal(jax.random.key(1), (4, 6))
    return regauge.Case(Small(nnx.Rngs(0)), (x,), jnp.array([0, 1, 2, 0]), loss, optax.adam(1e-2), "Small")
