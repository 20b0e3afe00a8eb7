"""Numbers of a JAX program: as its source has them, where a trace rounds them to float32."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch

import regauge

X = jnp.linspace(0.5, 2.0, 6).reshape(2, 3)


def in_both(function: Callable[[Any], Any]) -> tuple[np.ndarray, np.ndarray, str]:
    """The function in JAX's 64-bit mode, its conversion in float64, and the source of that."""
    made = regauge.to_torch(function, (X,))
    with jax.enable_x64(True):
        expected = np.asarray(function(np.asarray(X, np.float64)))
    return expected, made.double()(torch.tensor(np.asarray(X, np.float64))).detach().numpy(), made.source


FUNCTIONS: dict[str, Callable[[Any], Any]] = {
    "literal": lambda x: x * jnp.pi,
    "negative": lambda x: -jnp.pi - x,
    "quotient of numbers": lambda x: x + 1 / 3,
    "computed from numbers": lambda x: x + jnp.log(2 * jnp.pi) - jnp.sqrt(2.0),
    "difference of numbers": lambda x: x * 0.9 + (jnp.ones([]) - 0.9) * x**2,
    "difference to a number nearby": lambda x: x * (1 - jax.lax.convert_element_type(0.999, x.dtype)),
    "in a loop": lambda x: jax.lax.fori_loop(0, 3, lambda _, carry: carry / math.e, x),
    "in a call": lambda x: jax.jit(lambda y, c: y * jnp.exp(c))(x, 0.7),
    "in a branch": lambda x: jax.lax.cond(x.sum() > 0, lambda y: y * math.tau, lambda y: y, x),
    "of a library": lambda x: jax.nn.gelu(x) + jax.scipy.stats.norm.logpdf(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_float64_is_what_the_source_says(name: str) -> None:
    expected, found, _ = in_both(FUNCTIONS[name])
    np.testing.assert_allclose(found, expected, rtol=1e-14)


def test_float32_is_what_it_was() -> None:
    function = FUNCTIONS["literal"]
    made = regauge.to_torch(function, (X,))
    assert np.array_equal(made(torch.tensor(np.asarray(X))).detach().numpy(), np.asarray(function(X)))


def test_known_numbers_have_their_names() -> None:
    _, _, source = in_both(lambda x: x * jnp.pi + 2 * jnp.pi)
    assert "x * math.pi + 2 * math.pi" in source


def test_a_program_that_refuses_64_bits_keeps_the_numbers_of_its_trace() -> None:
    def narrow(x: Any) -> Any:
        return jax.lax.mul(x, np.full(x.shape, 2, np.float32)) * jnp.pi

    made = regauge.to_torch(narrow, (X,))
    assert "3.1415927" in made.source


def test_numbers_that_float32_holds_ask_for_no_second_trace() -> None:
    calls = []

    def counted(x: Any) -> Any:
        calls.append(jax.enable_x64.value)
        return x * 0.5 + 1e-5 + 0.044715

    regauge.to_torch(counted, (X,))
    assert calls
    assert not any(calls)
