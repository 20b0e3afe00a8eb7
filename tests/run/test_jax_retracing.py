"""Functions that JAX has traced are traced again where a check asks for it, and there alone."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from regauge.run.jax_retracing import traced_each_time

X = jnp.ones(3)


@pytest.mark.parametrize("transform", [jax.checkpoint, jax.jit])
def test_a_function_is_traced_each_time(transform: Callable[..., Any]) -> None:
    traces = []

    @transform
    def function(x: Any) -> Any:
        traces.append(None)
        return jnp.sin(x)

    def twice(x: Any) -> Any:
        return function(function(x))

    jax.make_jaxpr(twice)(X)
    assert len(traces) == 1
    with traced_each_time():
        jaxpr = jax.make_jaxpr(twice)(X)
        assert len(traces) == 3
        assert jnp.allclose(jax.core.eval_jaxpr(jaxpr.jaxpr, jaxpr.consts, X)[0], jnp.sin(jnp.sin(X)))
    jax.make_jaxpr(twice)(X)
    assert len(traces) == 3


@pytest.mark.parametrize("transform", [nnx.remat, nnx.jit])
def test_modules_too(transform: Callable[..., Any]) -> None:
    traces = []

    class Block(nnx.Module):
        def __init__(self) -> None:
            self.layer = nnx.Linear(3, 3, rngs=nnx.Rngs(0))

        @transform
        def __call__(self, x: Any) -> Any:
            traces.append(None)
            return self.layer(x)

    graphdef, state = nnx.split((Block(), Block()))

    def both(state: Any, x: Any) -> Any:
        first, second = nnx.merge(graphdef, state)
        return second(first(x))

    with traced_each_time():
        jax.make_jaxpr(both)(state, X)
    assert len(traces) == 2


def test_functions_of_jax_keep_their_traces() -> None:
    traces = []

    def function(x: Any) -> Any:
        traces.append(None)
        return jnp.sin(x)

    function.__module__ = "jax.numpy"
    jitted = jax.jit(function)
    with traced_each_time():
        jax.make_jaxpr(lambda x: jitted(jitted(x)))(X)
    assert len(traces) == 1
