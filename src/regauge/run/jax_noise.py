"""Within a check `jax.random.normal` and `jax.random.uniform` of emitted code give the numbers of `shared_noise`."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import jax
import jax.numpy as jnp

from regauge.run.shared_noise import Kind, numbers


@contextmanager
def shared_noise() -> Iterator[None]:
    """Within the block draws are numbered from 0; code that is traced in it keeps its numbers."""
    normal, uniform = jax.random.normal, jax.random.uniform
    drawn = 0

    def following(kind: Kind, shape: Any, dtype: Any) -> jax.Array:
        nonlocal drawn
        found = numbers(kind, drawn, tuple(shape))
        drawn += 1
        return jnp.asarray(found, dtype)

    def shared_normal(key: Any, shape: Any = (), dtype: Any = float, **_: Any) -> jax.Array:
        return following("normal", shape, dtype)

    def shared_uniform(
        key: Any, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0, **_: Any
    ) -> jax.Array:
        return minval + (maxval - minval) * following("uniform", shape, dtype)

    jax.random.normal, jax.random.uniform = shared_normal, shared_uniform
    try:
        yield
    finally:
        jax.random.normal, jax.random.uniform = normal, uniform
