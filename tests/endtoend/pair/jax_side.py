"""Ports of the scorer by hand, with weights of their own: JAX alone."""

import jax
import numpy as np
import optax
from flax import nnx

import regauge


class Scorer(nnx.Module):
    def __init__(self, eps, rngs):
        self.a = nnx.Linear(4, 8, rngs=rngs)
        self.norm = nnx.LayerNorm(8, epsilon=eps, rngs=rngs)
        self.b = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, x):
        return self.b(jax.nn.gelu(self.norm(self.a(x)), approximate=False))


def made(eps):
    inputs = np.random.default_rng(0).standard_normal((6, 4)).astype(np.float32)
    return regauge.Case(
        Scorer(eps, nnx.Rngs(0)),
        inputs=(inputs,),
        targets=np.zeros((6, 3), np.float32),
        loss=lambda outputs, targets: ((outputs - targets) ** 2).mean(),
        optimizer=optax.adamw(1e-2, weight_decay=1e-2),
    )


def case():
    return made(1e-5)


def wrong():
    return made(1e-6)
