"""Cases of JAX with optimizers of optax, for the command line."""

import jax
import jax.numpy as jnp
import optax
from flax import linen, nnx

import regauge

KEY = jax.random.key(0)
INPUTS = (jax.random.normal(jax.random.key(1), (5, 8)),)
TARGETS = jnp.ones((5, 3))
RATE = optax.warmup_cosine_decay_schedule(0.0, 1e-2, 5, 20, 1e-3)


class Network(nnx.Module):
    def __init__(self, rngs):
        self.hidden = nnx.Linear(8, 16, rngs=rngs)
        self.head = nnx.Linear(16, 3, rngs=rngs)

    def __call__(self, x):
        return self.head(jnp.tanh(self.hidden(x)))


class LinenNetwork(linen.Module):
    @linen.compact
    def __call__(self, x):
        return linen.Dense(3, name="head")(jnp.tanh(linen.Dense(16, name="hidden")(x)))


def squares(outputs, targets):
    return ((outputs - targets) ** 2).sum()


def kernels(params):
    return jax.tree_util.tree_map_with_path(lambda path, _: "kernel" in jax.tree_util.keystr(path), params)


def label(params):
    return jax.tree_util.tree_map_with_path(
        lambda path, _: "head" if "head" in jax.tree_util.keystr(path) else "body", params
    )


def case(model, optimizer):
    return regauge.Case(model, inputs=INPUTS, targets=TARGETS, loss=squares, optimizer=optimizer)


chained = case(
    Network(nnx.Rngs(0)),
    optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(RATE, weight_decay=0.1, mask=kernels)),
)
divided = case(
    (LinenNetwork(), LinenNetwork().init(KEY, *INPUTS)),
    optax.partition({"body": optax.lion(1e-3), "head": optax.sgd(1e-2, 0.9, nesterov=True)}, label),
)
accumulated = case(Network(nnx.Rngs(0)), optax.MultiSteps(chained.optimizer, 3))
refused = case(Network(nnx.Rngs(0)), optax.chain(optax.centralize(), optax.adafactor(1e-3)))


class Layer(linen.Module):
    @linen.compact
    def __call__(self, x, train):
        y = jnp.tanh(linen.Dense(8)(linen.LayerNorm()(x)))
        return x + linen.Dropout(0.1, deterministic=not train)(y), None


class Layers(linen.Module):
    """Layers under a scan, each with a dropout."""

    @linen.compact
    def __call__(self, x, train=False):
        layers = linen.scan(
            Layer, {"params": 0}, split_rngs={"params": True, "dropout": True}, in_axes=(linen.broadcast,), length=3
        )
        return linen.Dense(3, name="head")(layers(name="layers")(x, train)[0])


def still(params, x):
    """Layers under a scan without dropout."""
    return jax.lax.scan(lambda x, w: (jnp.tanh(x @ w), None), x, params["w"])[0] @ params["head"]


STACK = (still, {"w": jax.random.normal(KEY, (3, 8, 8)), "head": jnp.ones((8, 3))})
SCANNED = (Layers(), Layers().init(KEY, *INPUTS))

stacked = case(SCANNED, optax.chain(optax.clip_by_global_norm(0.1), optax.adamw(RATE, weight_decay=0.1, mask=kernels)))
whole = case(STACK, optax.lamb(1e-2))
dropping = case(SCANNED, optax.lamb(1e-2))
