"""Cases of JAX that must be refused, each with the mistake on a line of its own."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jax import Array

import regauge

CALLS = 0


def counted(x: Array) -> Array:
    global CALLS
    CALLS += 1
    return x * CALLS


def counting() -> regauge.Case:
    return regauge.Case(counted, inputs=(jnp.ones((2, 4)),))


def decided(x: Array) -> Array:
    if x.sum() > 0:
        return x
    return -x


def branching() -> regauge.Case:
    return regauge.Case(decided, inputs=(jnp.ones((2, 4)),))


def called_back(x: Array) -> Array:
    return jax.pure_callback(np.sin, x, x)


def on_the_host() -> regauge.Case:
    return regauge.Case(called_back, inputs=(jnp.ones((2, 4)),))


class Net(nnx.Module):
    def __init__(self) -> None:
        self.fc = nnx.Linear(4, 2, rngs=nnx.Rngs(0))

    def __call__(self, x: Array) -> Array:
        return self.fc(x)


def wrong_width() -> regauge.Case:
    return regauge.Case(Net(), inputs=(jnp.ones((2, 3)),))


def abstract() -> regauge.Case:
    return regauge.Case(nnx.eval_shape(Net), inputs=(jnp.ones((2, 4)),))
