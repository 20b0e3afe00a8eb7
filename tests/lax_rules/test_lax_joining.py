"""Arrays side by side, and numbers among them."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from sides import body, same_gradients, same_values

X = np.random.RandomState(0).standard_normal((2, 3)).astype(np.float32)


def test_a_tile_is_that_of_torch() -> None:
    assert body(lambda x: jnp.tile(x, (2, 3)), X) == "return x.tile((2, 3))"
    same_values(lambda x: jnp.tile(x, (2, 1, 3)), X)
    with jax.enable_x64(True):
        same_gradients(lambda x: jnp.tile(x, (2, 3)) ** 2, X.astype(np.float64))


def test_numbers_in_a_stack_are_arrays() -> None:
    same_values(lambda x: x * jnp.stack([0.5, 2.0, 3.0]), X)
    same_values(lambda x: jnp.stack([x[0, 0], 2.0, x[1, 1]]), X)
    with jax.enable_x64(True):
        same_gradients(lambda x: jnp.stack([x[0, 0], 2.0, x[1, 1]]) * x, X.astype(np.float64))


@pytest.mark.parametrize("end", ["min", "max"])
def test_the_ends_of_float32_do_not_overflow(end: str) -> None:
    number = getattr(jnp.finfo(jnp.float32), end)
    same_values(lambda x: jnp.where(x > 0, x, number), X)
