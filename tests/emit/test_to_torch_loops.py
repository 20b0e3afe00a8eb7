"""Calls of a list of modules one after the other are the loop that they were."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import pytest
from comparing_jax import assert_same
from flax import nnx

RNGS = nnx.Rngs(0)
X = jax.random.normal(jax.random.key(3), (3, 8))


class Stack(nnx.Module):
    """Layers, and what is done with them in order."""

    def __init__(self, run: Callable[[Any, Any], Any]) -> None:
        self.layers = nnx.List([nnx.Linear(8, 8, rngs=RNGS) for _ in range(3)])
        self.run = run

    def __call__(self, x: Any) -> Any:
        return self.run(self.layers, x)


def plain(layers: Any, x: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def activated(layers: Any, x: Any) -> Any:
    for layer in layers:
        x = nnx.relu(layer(x))
    return x


def activated_before_a_head(layers: Any, x: Any) -> Any:
    for layer in layers:
        x = jnp.tanh(nnx.gelu(layer(x)))
    return x * 2.0


def without_the_last(layers: Any, x: Any) -> Any:
    for layer in layers[:-1]:
        x = nnx.relu(layer(x))
    return layers[-1](x)


LOOPS = {
    plain: "layer(x)",
    activated: "F.relu(layer(x))",
    activated_before_a_head: 'F.gelu(layer(x), approximate="tanh")',
}


@pytest.mark.parametrize("run", LOOPS)
def test_equal_calls_are_a_loop(run: Callable[[Any, Any], Any]) -> None:
    made = assert_same(Stack(run), (X,))
    assert "for layer in self.layers:" in made.source
    assert LOOPS[run] in made.source
    assert "self.layers[" not in made.source


def test_calls_that_differ_are_no_loop() -> None:
    made = assert_same(Stack(without_the_last), (X,))
    assert "for " not in made.source.split("def forward")[1].split("def load")[0]


class Block(eqx.Module):
    norm: eqx.nn.LayerNorm
    linear: eqx.nn.Linear

    def __call__(self, x: Any) -> Any:
        return x + jax.nn.gelu(self.linear(self.norm(x)))


class Blocks(eqx.Module):
    blocks: list[Block]

    def __call__(self, x: Any) -> Any:
        def one(x: Any) -> Any:
            for block in self.blocks:
                x = block(x)
            return x

        return jax.vmap(one)(x)


def test_blocks_of_equinox_are_a_loop() -> None:
    keys = jax.random.split(jax.random.key(0), 3)
    made = assert_same(Blocks([Block(eqx.nn.LayerNorm(8), eqx.nn.Linear(8, 8, key=key)) for key in keys]), (X,))
    assert "for block in self.blocks:" in made.source


@pytest.mark.parametrize("cell", [nnx.LSTMCell, nnx.OptimizedLSTMCell, nnx.GRUCell, nnx.SimpleCell])
def test_cells_that_a_scan_runs_have_layers(cell: Any) -> None:
    class Recurrent(nnx.Module):
        def __init__(self) -> None:
            self.rnn = nnx.RNN(cell(4, 5, rngs=RNGS))

        def __call__(self, x: Any) -> Any:
            return self.rnn(x)

    made = assert_same(Recurrent(), (jax.random.normal(jax.random.key(4), (3, 6, 4)),))
    assert "nn.Linear(4, " in made.source
    assert "ops.scan(" in made.source
    assert ".kernel" not in made.source
