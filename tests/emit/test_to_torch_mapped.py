"""Modules of Equinox inside what maps, jits or calls them: a module of torch with their parameters and names."""

from __future__ import annotations

import functools
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


class Shifted(Net):
    """x: float32[4], shift: float32[8]  ->  scores: float32[3]"""

    def __call__(self, x: Any, shift: Any, key: Any = None) -> Any:
        return self.layers[1](self.drop(jax.nn.relu(self.layers[0](x) + shift), key=key))


X, SHIFT = jax.random.normal(KEY, (5, 4)), jax.random.normal(KEY, (8,))
NAMES = [f"layers.{n}.{part}" for n in (0, 1) for part in ("weight", "bias")]
GLOBAL = Net()


@eqx.filter_jit
def predict(x: Any, key: Any = None) -> Any:
    """A function of a file that calls a module of the file."""
    keys = None if key is None else jax.random.split(key, len(x))
    return jax.vmap(lambda row, own: GLOBAL(row, key=own), in_axes=(0, None if key is None else 0))(x, keys)


# what is written around a module that takes one example
MAPPED: dict[str, Any] = {
    "jax.vmap": jax.vmap,
    "jax.jit of it": lambda net: jax.jit(jax.vmap(net)),
    "filter_vmap": eqx.filter_vmap,
    "filter_jit of it": lambda net: eqx.filter_jit(eqx.filter_vmap(net)),
    "of filter_jit": lambda net: eqx.filter_vmap(eqx.filter_jit(net)),
    "jax.vmap of filter_jit": lambda net: jax.vmap(eqx.filter_jit(net)),
    "of filter_checkpoint": lambda net: eqx.filter_vmap(eqx.filter_checkpoint(net)),
    "a function": lambda net: jax.vmap(lambda x, key=None: net(x, key=key)),
    "a function of a function": lambda net: (lambda inner: lambda x, key=None: jax.vmap(inner)(x))(
        eqx.filter_jit(eqx.nn.inference_mode(net))
    ),
    "functools.partial": lambda net: jax.vmap(functools.partial(net)),
    "eqx.Partial": lambda net: jax.vmap(eqx.Partial(net)),
}  # fmt: skip


@pytest.mark.parametrize("name", MAPPED)
def test_a_mapped_module_keeps_its_parameters_and_layers(name: str) -> None:
    mapped = MAPPED[name](Net())
    converted: Any = regauge.to_torch(mapped, (X,), train=True)
    assert [name for name, _ in converted.named_parameters()] == NAMES
    assert isinstance(converted.layers[0], torch.nn.Linear)
    assert name == "a function of a function" or isinstance(converted.drop, torch.nn.Dropout)
    assert_same(mapped, (X,))


def test_mapped_axes_and_keys_of_each_level() -> None:
    net, x = Shifted(), X.reshape(5, 1, 4)
    for axes in ((0, None), {"shift": None}):
        mapped = eqx.filter_vmap(net, in_axes=axes)
        assert isinstance(regauge.to_torch(mapped, (X, SHIFT), train=True).drop, torch.nn.Dropout)
        assert_same(mapped, (X, SHIFT))
    for mapped in (
        jax.vmap(jax.vmap(Net())),
        eqx.filter_vmap(eqx.filter_vmap(Net())),
        jax.vmap(eqx.filter_vmap(Net())),
    ):
        assert isinstance(regauge.to_torch(mapped, (x,), train=True).drop, torch.nn.Dropout)
        assert_same(mapped, (x,))


def test_modules_of_a_file_and_several_of_them() -> None:
    made: Any = assert_same(predict, (X,))
    assert (type(made).__name__, [name for name, _ in made.named_parameters()]) == ("Predict", NAMES)
    assert "nn.Dropout" in regauge.to_torch(predict, (X,), train=True, dynamic=None).source
    encoder, head = Net(), eqx.nn.Linear(3, 2, key=KEY)
    both: Any = assert_same(lambda x: jax.vmap(lambda row: head(encoder(row)))(x), (X,))
    assert isinstance(both.encoder.layers[0], torch.nn.Linear)
    assert isinstance(both.head, torch.nn.Linear)
    twice: Any = assert_same(lambda x: predict(x) + predict(x[::-1]), (X,))
    assert [name for name, _ in twice.named_parameters()] == NAMES
    trees = {"encoder": eqx.nn.inference_mode(encoder), "head": head}
    given: Any = assert_same((lambda p, x: jax.vmap(p["head"])(jax.vmap(p["encoder"])(x)), trees), (X,))
    assert isinstance(given.encoder.layers[0], torch.nn.Linear)


def test_a_method_and_keys_that_are_inputs() -> None:
    class Encoder(Net):
        def encode(self, x: Any) -> Any:
            return jax.nn.relu(self.layers[0](x))

    made: Any = assert_same(jax.vmap(Encoder().encode), (X,))
    assert [name for name, _ in made.named_parameters()] == NAMES[:2]
    net, keys = Net(), jax.random.split(KEY, 5)
    drawn: Any = regauge.to_torch(jax.vmap(lambda x, key: net(x, key=key)), (X, keys), train=True)
    assert [name for name, _ in drawn.named_parameters()] == NAMES


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
    made = assert_same((apply, params, state), (x,))
    assert not made.findings  # both modes, any batch


@pytest.mark.parametrize(
    "reduce",
    [
        lambda x: x - jax.lax.pmean(x, "batch"),
        lambda x: x / jax.lax.psum(1, "batch"),
        lambda x: x * jax.lax.axis_size("batch") + jax.lax.psum(jnp.ones(4), "batch"),
        lambda x: x - jax.lax.pmean(x, ("batch",)),
    ],
)
def test_the_size_of_a_named_axis_may_be_symbolic(reduce: Any) -> None:
    made = assert_same((lambda scale, x: jax.vmap(reduce, axis_name="batch")(x * scale), jnp.arange(4.0)), (X,))
    assert [symbol.name for symbol in made._conversion.symbols] == ["batch"]


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
