"""Noisy copies of a JAX original: another rounding of what saturates and of sums, and nothing else."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regauge.run.jax_rewriting import Rewriting, rewritten
from regauge.run.jax_rounding import in_last_place

X = np.random.default_rng(0).standard_normal((5, 4))
W = np.random.default_rng(1).standard_normal((4, 4))


def through_everything(w: jax.Array, x: jax.Array) -> dict[str, jax.Array]:
    """A scan, a loop, a branch, a function of a library and a custom derivative."""

    def step(h: jax.Array, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        h = jnp.tanh(w @ h + x)
        return h, jax.nn.softmax(h)

    last, every = jax.lax.scan(step, x[0], x, reverse=True)
    looped = jax.lax.while_loop(lambda c: c[1] < 3, lambda c: (jax.nn.sigmoid(c[0]), c[1] + 1), (last, 0))[0]
    branch = jax.lax.cond(last[0] > 0, lambda h: jax.nn.gelu(h, approximate=False), lambda h: -h, last)
    return {"every": every, "looped": looped, "branch": jax.jit(jax.nn.relu6)(branch), "logs": jax.nn.log_sigmoid(x)}


@pytest.fixture(autouse=True)
def wide():
    with jax.enable_x64(True):
        yield


def test_a_function_that_is_rewritten_as_it_is_gives_the_same() -> None:
    found = jax.jit(rewritten(through_everything, Rewriting()))(W, X)
    for name, value in jax.jit(through_everything)(W, X).items():
        np.testing.assert_array_equal(found[name], value)


def test_a_noisy_copy_is_as_far_away_as_rounding_is() -> None:
    usual, moved = jax.jit(through_everything)(W, X), jax.jit(in_last_place(through_everything, 1, True))(W, X)
    away = [float(jnp.abs(moved[name] - value).max()) for name, value in usual.items()]
    assert 0 < max(away) < 1e-14


def test_the_derivative_of_a_gate_that_is_nearly_open_moves_far() -> None:
    """At 20 a sigmoid keeps seven digits of its distance to 1."""
    slope = jax.grad(jax.nn.sigmoid)
    usual, moved = (float(function(jnp.float64(20.0))) for function in (slope, in_last_place(slope, 1, True)))
    assert 1e-9 < abs(moved / usual - 1) < 1e-6


def test_a_softmax_that_is_nearly_certain_moves_its_derivative_too() -> None:
    def first(x: jax.Array) -> jax.Array:
        return jax.nn.softmax(x)[0]

    x = jnp.array([30.0, 0.0, -1.0], jnp.float64)
    slope = jax.grad(first)
    usual, moved = slope(x), in_last_place(slope, 1, True)(x)
    assert float(jnp.abs(moved - usual).max() / jnp.abs(usual).max()) > 1e-6


def test_equal_values_stay_equal_and_zero_stays_zero() -> None:
    x = jnp.array([0.0, 0.3, 0.3, 1e9], jnp.float64)
    moved = in_last_place(jnp.tanh, 1, True)(x)
    assert moved[0] == 0
    assert moved[1] == moved[2] != jnp.tanh(x[1])
    assert moved[3] != 1


def test_float32_and_a_pass_without_noise_are_left_alone() -> None:
    assert in_last_place(jnp.tanh, None, True) is jnp.tanh
    assert in_last_place(jnp.tanh, 1, False) is jnp.tanh
    x = jnp.linspace(-1, 1, 9, dtype=jnp.float32)
    np.testing.assert_array_equal(in_last_place(jnp.tanh, 1, True)(x), jnp.tanh(x))


def test_a_sum_is_rounded_to_the_other_side() -> None:
    x = jnp.array([1e7 + 0.1, 1.0, -3.3, 0.0, jnp.inf])
    y = jnp.array([1e-10, 2.0, 1e-17, 0.0, 1.0])
    usual, moved = x + y, jax.jit(in_last_place(lambda x, y: x + y, 1, True))(x, y)
    spacing = np.spacing(np.abs(np.asarray(usual)))
    np.testing.assert_array_equal(np.abs(moved - usual)[:4] > 0, [True, False, True, False])  # exact sums stay
    assert float(moved[0]) != float(usual[0])
    assert np.all(np.abs(moved - usual)[:4] <= spacing[:4])
    assert float(moved[4]) == np.inf
    back = jax.jit(in_last_place(lambda x, y: y - x, 1, True))(x[:4], -y[:4])
    np.testing.assert_array_equal(back, -moved[:4])


def test_what_a_mean_leaves_of_a_large_sum_moves() -> None:
    def centred(bias: jax.Array, x: jax.Array) -> jax.Array:
        y = x + bias
        return (y - y.mean()) / y.std()

    def away(function: Callable[..., jax.Array], bias: float) -> float:
        usual = jax.jit(centred)(1e5, 1e-3 * X)
        return float(jnp.abs(jax.jit(function)(bias, 1e-3 * X) - usual).max())

    assert away(centred, np.nextafter(1e5, np.inf)) < 1e-8  # the bias moves its mean too
    assert away(in_last_place(centred, 1, True), 1e5) > 1e-8
