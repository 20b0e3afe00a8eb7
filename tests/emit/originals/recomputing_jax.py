"""Blocks with dropout that JAX computes again for the gradient: NNX and Linen."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx

import regauge

SIZE = 8


class Block(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.up = nnx.Linear(SIZE, 4 * SIZE, rngs=rngs)
        self.down = nnx.Linear(4 * SIZE, SIZE, rngs=rngs)
        self.drop = nnx.Dropout(0.2, rngs=rngs)

    @nnx.remat
    def __call__(self, x):
        return x + self.drop(self.down(nnx.gelu(self.up(x))))


class Net(nnx.Module):
    def __init__(self, rngs: nnx.Rngs):
        self.blocks = nnx.List([Block(rngs) for _ in range(3)])
        self.head = nnx.Linear(SIZE, 1, rngs=rngs)

    def __call__(self, x):
        for block in self.blocks:
            x = block(x)
        return self.head(x)


class LinenBlock(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool):
        y = linen.Dense(4 * SIZE, name="up")(x)
        y = linen.Dense(SIZE, name="down")(linen.gelu(y))
        return x + linen.Dropout(0.2, name="drop")(y, deterministic=not train)


class LinenNet(linen.Module):
    @linen.compact
    def __call__(self, x, train: bool = False):
        for number in range(2):
            x = linen.remat(LinenBlock, static_argnums=(2,))(name=f"block_{number}")(x, train)
        return linen.Dense(1, name="head")(x)


def _case(model):
    key = jax.random.key(1)
    inputs, targets = (
        jax.random.normal(k, (6, size)) for k, size in zip(jax.random.split(key), (SIZE, 1), strict=True)
    )
    return regauge.Case(
        model,
        inputs=(inputs,),
        targets=targets,
        loss=lambda outputs, targets: jnp.mean((outputs - targets) ** 2),
        optimizer=optax.adam(1e-2),
    )


def case():
    return _case(Net(nnx.Rngs(0)))


def linen_case():
    model = LinenNet()
    return _case((model, model.init(jax.random.key(0), jnp.ones((6, SIZE)))))
