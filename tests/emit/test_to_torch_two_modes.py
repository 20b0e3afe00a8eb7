"""Modules that are a layer in one mode and a person's own code in the other."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from comparing_jax import assert_same
from flax import linen, nnx

RNGS = nnx.Rngs(0)
X = jax.random.normal(jax.random.key(3), (3, 8))


class TwoWays(nnx.Module):
    """Calls its layer in one mode and does something else with it in the other."""

    def __init__(self, layer: nnx.Module, other: Callable[[Any, Any], Any], *, layer_in_training: bool) -> None:
        self.layer = layer
        self.other = other
        self.layer_in_training = layer_in_training
        self.deterministic = False

    def __call__(self, x: Any) -> Any:
        if self.deterministic != self.layer_in_training:
            return self.layer(x)
        return self.other(self.layer, x)


class Outer(nnx.Module):
    def __init__(self, inner: nnx.Module) -> None:
        self.inner = inner

    def __call__(self, x: Any) -> Any:
        return self.inner(x) * 2.0


def centred(norm: Any, x: Any) -> Any:
    return (x - x.mean(-1, keepdims=True)) * norm.scale[...] + norm.bias[...]


OTHERS: dict[str, tuple[Callable[[], nnx.Module], Callable[[Any, Any], Any], str]] = {
    "weights of a norm": (lambda: nnx.LayerNorm(8, rngs=RNGS), centred, "self.layer = nn.LayerNorm(8, eps=1e-06)"),
    "a norm with a mask": (
        lambda: nnx.LayerNorm(8, rngs=RNGS),
        lambda norm, x: norm(x, mask=x > 0),
        "self.layer = nn.LayerNorm(8, eps=1e-06)",
    ),
    "a kernel": (
        lambda: nnx.Linear(8, 5, rngs=RNGS),
        lambda linear, x: x @ jnp.exp(linear.kernel[...]),
        "self.layer = nn.Linear(8, 5)",
    ),
    "parts of a chain": (
        lambda: nnx.Sequential(nnx.Linear(8, 8, rngs=RNGS), nnx.relu, nnx.Linear(8, 8, rngs=RNGS)),
        lambda chain, x: chain.layers[2](jnp.tanh(chain.layers[0](x))),
        "layers_2",
    ),
}


@pytest.mark.parametrize("layer_in_training", [True, False])
@pytest.mark.parametrize("name", OTHERS)
def test_a_layer_of_one_mode_holds_the_weights_of_both(name: str, layer_in_training: bool) -> None:
    make, other, text = OTHERS[name]
    model = Outer(TwoWays(make(), other, layer_in_training=layer_in_training))
    made = assert_same(model, (X,), train=True)
    assert text in made.source
    assert_same(model, (X,), train=False)


class LinenTwoWays(linen.Module):
    masked_in_training: bool

    @linen.compact
    def __call__(self, x: Any, train: bool = True) -> Any:
        return linen.LayerNorm()(x, mask=x > 0 if train == self.masked_in_training else None)


@pytest.mark.parametrize("masked_in_training", [True, False])
def test_a_layer_of_one_mode_in_linen(masked_in_training: bool) -> None:
    model = LinenTwoWays(masked_in_training)
    subject = (model, model.init(jax.random.key(0), X))
    made = assert_same(subject, (X,), train=True)
    assert "self.LayerNorm_0 = nn.LayerNorm(8, eps=1e-06)" in made.source
    assert_same(subject, (X,), train=False)


class EquinoxTwoWays(eqx.Module):
    norm: eqx.nn.LayerNorm
    drop: eqx.nn.Dropout

    def __call__(self, x: Any) -> Any:
        if self.drop.inference:
            return self.norm(x)
        return (x - x.mean()) * self.norm.weight + self.norm.bias


class OverBatch(eqx.Module):
    one: EquinoxTwoWays

    def __call__(self, x: Any) -> Any:
        return jax.vmap(self.one)(x)


def test_a_layer_of_one_mode_in_equinox() -> None:
    model = OverBatch(EquinoxTwoWays(eqx.nn.LayerNorm(8), eqx.nn.Dropout(0.5)))
    made = assert_same(model, (X,), train=True)
    assert "self.norm = nn.LayerNorm(8)" in made.source
    assert_same(model, (X,), train=False)


class ChainBeforeOwnCode(nnx.Module):
    """A chain with a dropout, which evaluation does not have, in a model whose other code asks for the mode."""

    def __init__(self) -> None:
        drop = nnx.Dropout(0.5, rngs=nnx.Rngs(1))
        self.chain = nnx.Sequential(nnx.Linear(8, 8, rngs=RNGS), drop, nnx.Linear(8, 8, rngs=RNGS))
        self.deterministic = False

    def __call__(self, x: Any) -> Any:
        y = self.chain(x)
        return y if self.deterministic else y * 0.5


def test_a_chain_with_a_dropout_beside_code_of_a_mode() -> None:
    made = assert_same(ChainBeforeOwnCode(), (X,), train=False)
    assert "nn.Dropout(0.5)" in made.source
