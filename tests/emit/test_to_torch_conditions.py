"""Conditions of JAX on values: what only one way reads has a gradient of zero in JAX, and none in a call of torch."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from regauge.capture.jaxpr import capture_model
from regauge.emit.gradients import read_at_times

X = jnp.linspace(-1.0, 1.0, 12).reshape(3, 4)


class Layers(nnx.Module):
    def __init__(self, rngs: nnx.Rngs) -> None:
        self.first, self.second, self.third = (nnx.Linear(4, 4, rngs=rngs) for _ in range(3))


class OneWay(Layers):
    def __call__(self, x: Any) -> Any:
        return jax.lax.cond(x.sum() > 0, lambda x: self.first(self.second(x)), self.first, x)


class Nested(Layers):
    def __call__(self, x: Any) -> Any:
        inner = lambda x: jax.lax.cond(x.max() > 1, lambda x: self.first(x), lambda x: self.first(x * 2), x)  # noqa: E731
        return jax.lax.cond(x.sum() > 0, inner, lambda x: self.first(x) + self.second(x), x)


class Chosen(Layers):
    def __call__(self, x: Any) -> Any:
        place = jnp.argmax(x[0]) % 3
        return self.third(jax.lax.switch(place, [self.first, self.second, self.third], x))


class Loop(Layers):
    def __call__(self, x: Any) -> Any:
        x = jax.lax.fori_loop(0, 2, lambda _, x: self.third(x), x)
        return jax.lax.while_loop(lambda x: jnp.abs(x).max() > 9, lambda x: self.first(x), jax.lax.stop_gradient(x)) + x


class Outside(Layers):
    """What a way reads is computed of a parameter before; both ways give another as it is."""

    def __call__(self, x: Any) -> Any:
        kernel = self.second.kernel[...] * 2
        x = jax.lax.cond(x.sum() > 0, lambda x: x @ kernel, lambda x: x, x)
        bias = jax.lax.cond(x.max() > 1, lambda: self.first.bias[...], lambda: self.first.bias[...] * 2)
        return self.third(x) + bias


class Within(Layers):
    """A condition in each step of a loop."""

    def __call__(self, x: Any) -> Any:
        step = lambda x, _: (jax.lax.cond(x.sum() > 0, self.first, lambda x: x, self.third(x)), None)  # noqa: E731
        return jax.lax.scan(step, x, length=2)[0]


READ = {
    Outside: ["second"],
    Within: ["first"],
    OneWay: ["second"],
    Nested: ["second"],
    Chosen: ["first", "second"],
    Loop: ["first"],
}


@pytest.mark.parametrize("make", READ, ids=lambda make: make.__name__)
def test_what_only_some_calls_read(make: type[Layers]) -> None:
    graph = capture_model(make(nnx.Rngs(0)), (X,), train=True).graph
    assert sorted({name.split(".")[0] for name in read_at_times(graph)}) == READ[make]
