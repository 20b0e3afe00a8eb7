"""Within a check `jax.random` gives emitted code the numbers, integers, orders and choices of `shared_noise`."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from regauge.run.shared_noise import Kind, gumbel, integers, numbers, order


class _Draws:
    """What takes the place of functions of `jax.random`; draws are numbered from 0."""

    def __init__(self) -> None:
        self.drawn = 0
        self._randint, self._permutation, self._categorical = (
            jax.random.randint,
            jax.random.permutation,
            jax.random.categorical,
        )

    def _number(self) -> int:
        self.drawn += 1
        return self.drawn - 1

    def _following(self, kind: Kind, shape: Any, dtype: Any) -> jax.Array:
        return jnp.asarray(numbers(kind, self._number(), tuple(shape)), dtype)

    def normal(self, key: Any, shape: Any = (), dtype: Any = float, **_: Any) -> jax.Array:
        return self._following("normal", shape, dtype)

    def uniform(
        self, key: Any, shape: Any = (), dtype: Any = float, minval: Any = 0.0, maxval: Any = 1.0, **_: Any
    ) -> jax.Array:
        return minval + (maxval - minval) * self._following("uniform", shape, dtype)

    def gumbel(self, key: Any, shape: Any = (), dtype: Any = float, *_: Any, **__: Any) -> jax.Array:
        return jnp.asarray(gumbel(self._number(), tuple(shape)), dtype)

    def randint(self, key: Any, shape: Any, minval: Any, maxval: Any, dtype: Any = int, **options: Any) -> jax.Array:
        if any(isinstance(end, jax.core.Tracer) or np.ndim(end) for end in (minval, maxval)):
            return self._randint(key, shape, minval, maxval, dtype, **options)
        return jnp.asarray(integers(self._number(), tuple(shape), int(minval), int(maxval)), dtype)

    def permutation(self, key: Any, x: Any, axis: int = 0, independent: bool = False, **options: Any) -> jax.Array:
        if independent:
            return self._permutation(key, x, axis, independent, **options)
        if np.ndim(x) == 0:
            return jnp.asarray(order(self._number(), int(x)))
        return jnp.take(x, order(self._number(), x.shape[axis]), axis=axis)

    def categorical(
        self, key: Any, logits: Any, axis: int = -1, shape: Any = None, replace: bool = True, **options: Any
    ) -> jax.Array:
        axis = axis % logits.ndim - logits.ndim
        others = tuple(size for at, size in enumerate(logits.shape) if at != axis + logits.ndim)
        wanted = others if shape is None else tuple(shape)
        repeated = wanted[: len(wanted) - len(others)]
        if not replace or wanted != (*repeated, *others):
            return self._categorical(key, logits, axis, shape, replace, **options)
        noise = self.gumbel(key, (*repeated, *logits.shape), logits.dtype)
        return jnp.argmax(logits + noise, axis=axis)


@contextmanager
def shared_noise() -> Iterator[Callable[[], int]]:
    """Within the block draws are numbered from 0; code that is traced in it keeps its numbers.

    Yields:
        How many draws there have been.
    """
    draws = _Draws()
    with ExitStack() as stack:
        for name in ("normal", "uniform", "gumbel", "randint", "permutation", "categorical"):
            stack.enter_context(mock.patch.object(jax.random, name, getattr(draws, name)))
        yield lambda: draws.drawn
