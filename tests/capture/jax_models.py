"""Models of JAX that cannot be converted as they are, each with the mistake on a line of its own."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
from flax import linen, nnx
from jax.experimental import checkify, io_callback

SEEN: list[Any] = []
CALLS = 0
TOTAL: Any = 0.0


def writes_a_list(x: Any) -> Any:
    SEEN.append(x * 2)
    return x + 1


def counts_its_calls(x: Any) -> Any:
    global CALLS
    CALLS += 1
    return x * CALLS


def sums_in_a_global(x: Any) -> Any:
    global TOTAL
    TOTAL = TOTAL + x.sum()
    return x + TOTAL


def draws_with_numpy(x: Any) -> Any:
    noise = np.random.rand(4).astype(np.float32)
    return x + noise


def keeps_in_a_closure() -> Any:
    held: list[Any] = []

    def model(x: Any) -> Any:
        held.append(x)
        return x + held[0].sum()

    return model


def branches(x: Any) -> Any:
    if x.sum() > 0:
        return x
    return -x


def uses_numpy(x: Any) -> Any:
    return jnp.asarray(np.sin(x))


def masks(x: Any) -> Any:
    return x[x > 0].sum()


def asks_for_a_number(x: Any) -> Any:
    return x * float(x.mean())


def slices(x: Any, n: Any) -> Any:
    return x[:n]


def asks_the_host(x: Any) -> Any:
    y = jax.pure_callback(np.sin, jax.ShapeDtypeStruct(x.shape, x.dtype), x)
    return y + 1


def tells_the_host(x: Any) -> Any:
    io_callback(SEEN.append, None, x)
    return x + 1


def prints(x: Any) -> Any:
    jax.debug.print("mean {m}", m=x.mean())
    return x + 1


def calls_back(x: Any) -> Any:
    jax.debug.callback(len, x)
    return x + 1


def maps_over_devices(x: Any) -> Any:
    return jax.pmap(lambda row: row * 2)(x)


def draws_with_rbg(x: Any) -> Any:
    return x + jax.random.normal(jax.random.key(0, impl="rbg"), x.shape)


def draws_with_xla(x: Any) -> Any:
    return x + jax.lax.rng_uniform(0.0, 1.0, (3, 4))


def stops(x: Any) -> Any:
    checkify.check(x.sum() > 0, "negative")
    return x


def writes_memory(x: Any) -> Any:
    memory = jax.new_ref(x)
    memory[...] = memory[...] * 2
    return memory[...]


def casts(x: Any) -> Any:
    return x.astype(jnp.int4).astype(jnp.float32)


def adds_float8(x: Any) -> Any:
    y = x.astype(jnp.float8_e5m2)
    return (y + y).astype(jnp.float32)


def returns_a_text(x: Any) -> Any:
    return {"y": x, "name": "hidden"}


def decomposes(x: Any) -> Any:
    return jax.scipy.linalg.schur(x)


def reduces(x: Any) -> Any:
    return jax.lax.linalg.tridiagonal(x)


def untransformed(x: Any) -> Any:
    return hk.Linear(3)(x)


class TwoLayers(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        x = linen.Dense(4)(x)
        return linen.Dense(3)(x)


class Normed(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.BatchNorm(use_running_average=True)(x)


class Noisy(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return x + jax.random.normal(self.make_rng("noise"), x.shape)


class Grows(nnx.Module):
    def __call__(self, x: Any) -> Any:
        self.cache = nnx.Variable(x * 2)
        return x + 1


class Counts(nnx.Module):
    def __init__(self) -> None:
        self.calls = 0

    def __call__(self, x: Any) -> Any:
        self.calls += 1
        return x * self.calls


class Sows(nnx.Module):
    def __init__(self) -> None:
        self.linear = nnx.Linear(4, 4, rngs=nnx.Rngs(0))

    def __call__(self, x: Any) -> Any:
        y = self.linear(x)
        self.sow(nnx.Intermediate, "hidden", y)
        return y


class Listed(eqx.Module):
    """A static field that no hash takes."""

    weight: jax.Array
    scales: list[int] = eqx.field(static=True)

    def __call__(self, x: Any) -> Any:
        return x @ self.weight * self.scales[0]


class Settings:
    """No pytree: JAX sees one leaf."""

    def __init__(self, scale: Any) -> None:
        self.scale = scale


@jax.tree_util.register_pytree_node_class
class Box:
    """A container of a person's own."""

    def __init__(self, content: Any) -> None:
        self.content = content

    def tree_flatten(self) -> tuple[tuple[Any], None]:
        return (self.content,), None

    @classmethod
    def tree_unflatten(cls, _: None, children: Any) -> Box:
        return cls(*children)
