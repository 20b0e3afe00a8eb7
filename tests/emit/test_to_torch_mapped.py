"""`jax.vmap(module)` of Equinox, whose modules take one example: a module of torch for all of them."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from comparing_jax import assert_same

import regauge
from regauge.capture.jaxpr import capture_model
from regauge.run.jax_program import program_of

KEY = jax.random.key(0)


class Net(eqx.Module):
    """x: float32[4]  ->  scores: float32[3]"""

    layers: list[eqx.nn.Linear]
    drop: eqx.nn.Dropout

    def __init__(self) -> None:
        self.layers = [eqx.nn.Linear(4, 8, key=KEY), eqx.nn.Linear(8, 3, key=KEY)]
        self.drop = eqx.nn.Dropout(0.5)

    def __call__(self, x: Any, *, key: Any = None) -> Any:
        return self.layers[1](self.drop(jax.nn.relu(self.layers[0](x)), key=key))


@pytest.mark.parametrize("transform", [jax.vmap, lambda net: jax.jit(jax.vmap(net))], ids=["vmap", "jitted"])
def test_a_mapped_module_keeps_its_parameters_and_layers(transform: Any) -> None:
    net = Net()
    x = jax.random.normal(KEY, (5, 4))
    converted: Any = regauge.to_torch(transform(net), (x,), train=True)
    assert [name for name, _ in converted.named_parameters()] == [
        f"layers.{n}.{part}" for n in (0, 1) for part in ("weight", "bias")
    ]
    assert isinstance(converted.layers[0], torch.nn.Linear)
    assert isinstance(converted.drop, torch.nn.Dropout)
    expected = jax.vmap(eqx.nn.inference_mode(net))(x)
    np.testing.assert_allclose(converted.eval()(torch.from_numpy(np.array(x))).detach(), expected, rtol=1e-6, atol=1e-6)


def test_a_mapped_module_is_as_it_was_after_a_call_with_other_weights() -> None:
    net = Net()
    before = [np.asarray(leaf) for leaf in jax.tree.leaves(eqx.filter(net, eqx.is_array))]
    program = program_of(jax.vmap(net))
    x = jax.random.normal(KEY, (5, 4))
    doubled = {name: 2 * array for name, array in program.params.items()}
    outputs, _ = jax.jit(lambda params: program.call(params, program.state, (x,), "eval", None))(doubled)
    expected = jax.vmap(jax.tree.map(lambda leaf: 2 * leaf if eqx.is_array(leaf) else leaf, eqx.nn.inference_mode(net)))
    np.testing.assert_allclose(outputs, expected(x), rtol=1e-6)
    after = jax.tree.leaves(eqx.filter(net, eqx.is_array))
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_jitted_module_is_the_module() -> None:
    net = Net()
    assert list(program_of(jax.jit(net)).params) == list(program_of(net).params)


def test_weights_that_a_function_holds_are_said_to_be_buffers() -> None:
    matrix, x = np.full((4, 3), 0.5, np.float32), np.ones((2, 4), np.float32)

    def findings(model: Any) -> list[str]:
        return [finding.code for finding in capture_model(model, (x,), train=False).findings]

    assert findings(lambda x: x @ matrix) == ["C171"]
    assert findings((lambda matrix, x: x @ matrix, matrix)) == []
    assert findings(lambda x: x * np.arange(4, dtype=np.float32)) == []


class Normed(eqx.Module):
    """x: float32[4]  ->  float32[2]; its statistics are counted in a state that is passed around."""

    norm: eqx.nn.BatchNorm
    head: eqx.nn.Linear

    def __init__(self) -> None:
        self.norm = eqx.nn.BatchNorm(4, axis_name="batch", mode="batch")
        self.head = eqx.nn.Linear(4, 2, key=KEY)

    def __call__(self, x: Any, state: Any) -> Any:
        x, state = self.norm(x, state)
        return self.head(x), state


def test_a_model_that_is_put_together_from_its_arrays_keeps_its_state() -> None:
    model, state = eqx.nn.make_with_state(Normed)()
    params, static = eqx.partition(model, eqx.is_inexact_array)  # flags of inference are not among the arrays

    def apply(params: Any, state: Any, x: Any) -> Any:
        whole = eqx.combine(params, static)
        return jax.vmap(whole, axis_name="batch", in_axes=(0, None), out_axes=(0, None))(x, state)

    x = jax.random.normal(KEY, (5, 4))
    assert_same((apply, params, state), (x,))


def test_counts_of_a_state_keep_their_dtype_in_64_bit_mode() -> None:
    _, state = eqx.nn.make_with_state(Normed)()
    program = program_of((lambda params, state, x: (x @ params, state), jnp.ones((4, 2)), state))
    with jax.enable_x64(True):
        counts = [array + 1 for array in program.state.values() if array.dtype == jnp.int32]
    assert [count.dtype for count in counts] == [jnp.int32]


def test_a_state_may_be_a_list() -> None:
    def model(params: Any, state: Any, x: Any) -> Any:
        mean, count = state["norm"]
        y = x @ params - mean
        return y, {"norm": [0.5 * mean + 0.5 * jax.lax.stop_gradient(y).mean(0), count + 1]}

    x = jax.random.normal(KEY, (5, 4))
    params, state = jnp.ones((4, 3)), {"norm": [jnp.zeros(3), jnp.zeros(())]}
    converted: Any = regauge.to_torch((model, params, state), (x,))
    for _ in range(2):
        expected, state = model(params, state, x)
        found = converted(torch.from_numpy(np.array(x))).detach()
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
    assert [buffer.tolist() for buffer in converted.buffers()] == [state["norm"][0].tolist(), 2.0]
