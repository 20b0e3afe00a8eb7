"""A converted module computes where it is moved: the meta device refuses every mixture with the processor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import transformer_jax
from cnn_jax import CNN
from flax import nnx
from jax import lax

import regauge

X = jnp.arange(12.0).reshape(3, 4)
TABLE = jnp.arange(3.0)
KEY = jax.random.key(0)


def counts(x: Any) -> Any:
    return x + jnp.arange(4) + lax.broadcasted_iota(jnp.float32, (3, 4), 0)


def filled(x: Any) -> Any:
    return jnp.concatenate([x, jnp.full((3, 2), 7.0), jnp.zeros((3, 1))], 1)


def held(x: Any) -> Any:
    return x[:, :3] * TABLE + jnp.array([1.0, 2.0, 3.0])


def joined(x: Any) -> Any:
    return x[:, :2] * jnp.stack([0.0, 1.0])


def chosen(x: Any) -> Any:
    return jnp.where(x > 2, 1.5, 2.5) * x


def scattered(x: Any) -> Any:
    return x.at[jnp.array([0, 2])].add(1.0).at[1, 2].set(5.0)


def sized(x: Any) -> Any:
    return x / x.shape[0] + jnp.ones((x.shape[0], 1))


def scanned(x: Any) -> Any:
    def step(carry: Any, row: Any) -> Any:
        carry = carry + row * jnp.arange(4)
        return carry, carry.sum() + jnp.ones(2)

    return lax.scan(step, jnp.zeros(4), x)


def looped(x: Any) -> Any:
    return lax.fori_loop(0, 3, lambda i, y: y + i * jnp.arange(4.0), x)


def drawn(x: Any) -> Any:
    return x + jax.random.uniform(jax.random.fold_in(KEY, 3), x.shape)


def drawn_from(key: Any, x: Any) -> Any:
    first, _ = jax.random.split(key)
    return x + jax.random.normal(first, x.shape)


@jax.custom_vjp
def clipped(x: Any) -> Any:
    return x * jnp.arange(4.0)


clipped.defvjp(lambda x: (clipped(x), x), lambda _, g: (g * jnp.full((4,), 0.5),))


def own(x: Any) -> Any:
    return clipped(x)


def weighted(params: Any, x: Any) -> Any:
    return x @ params["w"] + jnp.arange(4.0)


def tensors(tree: Any) -> Any:
    return jax.tree.map(lambda array: torch.from_numpy(np.array(array)), tree)


FUNCTIONS: tuple[Callable[..., Any], ...] = (
    counts, filled, held, joined, chosen, scattered, sized, scanned, drawn, own,
)  # fmt: skip
MODELS: dict[str, tuple[Any, tuple[Any, ...], Any]] = {
    **{function.__name__: (function, (X,), None) for function in FUNCTIONS},
    "drawn from a key": (drawn_from, (jax.random.PRNGKey(1), X), None),
    "weighted": (weighted, (X,), {"w": jnp.eye(4)}),
    "cnn": (CNN(rngs=nnx.Rngs(0)), (jnp.ones((2, 28, 28, 1)),), None),
    "transformer": (transformer_jax.Transformer(rngs=nnx.Rngs(0)), (jnp.ones((2, 16), jnp.int32),), None),
}


@pytest.mark.parametrize("dynamic", ["auto", None])
@pytest.mark.parametrize("name", MODELS)
def test_a_module_computes_where_it_is(name: str, dynamic: Any) -> None:
    model, args, params = MODELS[name]
    made = regauge.to_torch(model, args, params=params, dynamic=dynamic)
    given = tensors(args)
    expected = torch.utils._pytree.tree_leaves(made(*given))
    moved = made.to("meta")
    found = torch.utils._pytree.tree_leaves(moved(*(tensor.to("meta") for tensor in given)))
    assert [(t.device.type, t.dtype, t.shape) for t in found] == [("meta", t.dtype, t.shape) for t in expected]


# A loop on the meta device has no condition to ask.
@pytest.mark.parametrize("name", [*MODELS, "looped"])
def test_what_is_made_of_numbers_says_where(name: str) -> None:
    """A 0-d array of the processor may meet others, so that running does not show it."""
    model, args, params = MODELS.get(name, (looped, (X,), None))
    for text in regauge.to_torch(model, args, params=params).sources.values():
        for line in text.splitlines():
            makes = any(f"torch.{function}(" in line for function in ("arange", "full", "tensor", "eye"))
            assert not makes or "device=" in line or "nn.Buffer" in line, line
