"""Random numbers of a float32 program in the float64 run of a check."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from functools import wraps
from types import SimpleNamespace
from typing import Any
from unittest import mock

import jax
import jax.numpy as jnp
import numpy as np

from regauge.capture.jax_compat import RANDOM

_WIDE = np.dtype("float64")
_JITTED = type(jax.jit(lambda: None))


@contextmanager
def draws_of_float32() -> Iterator[None]:
    """Within the block `jax.random` makes float64 and int64 of the bits of which it makes float32 and int32.

    In 64-bit mode it draws 64 bits for a number of the default dtype: other numbers, with which a model would be
    another function than in its person's run. Functions that JAX has jitted are called as they are written, so that
    none of their traces outlives the block.
    """
    own: dict[str, Callable[..., Any]] = {
        name: inspect.unwrap(value) for name, value in vars(RANDOM).items() if isinstance(value, _JITTED)
    }
    own |= {"_uniform": _uniform(own["_uniform"]), "_randint": _randint(own["_randint"])}
    own["_normal_real"] = _normal(own["_normal_real"])
    dtypes = SimpleNamespace(**{**vars(RANDOM.dtypes), "finfo": _limits})  # ends of intervals are numbers of a dtype
    with ExitStack() as stack:
        for name, replaced in {**own, "dtypes": dtypes}.items():
            stack.enter_context(mock.patch.object(RANDOM, name, replaced))
        yield


def _limits(dtype: Any) -> Any:
    return jnp.finfo("float32" if jnp.dtype(dtype) == _WIDE else dtype)


def with_draws_of_float32(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that draws so whenever it is called or traced."""

    @wraps(function)
    def drawing(*arguments: Any, **named: Any) -> Any:
        with draws_of_float32():
            return function(*arguments, **named)

    return drawing


def _uniform(function: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
        if dtype != _WIDE:
            return function(key, minval, maxval, shape, dtype)
        fractions = (jax.random.bits(key, shape, "uint32") >> 9).astype("float64") * 2.0**-23
        low, high = (jnp.asarray(end, "float64") for end in (minval, maxval))
        return jnp.maximum(low, fractions * (high - low) + low)

    return drawn


def _normal(function: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(key: Any, shape: Any, dtype: Any) -> Any:
        if dtype != _WIDE:
            return function(key, shape, dtype)
        return np.sqrt(2.0) * jax.scipy.special.erfinv(jax.random.uniform(key, shape, dtype, 2.0**-24 - 1.0, 1.0))

    return drawn


def _randint(function: Callable[..., Any]) -> Callable[..., Any]:
    def drawn(key: Any, minval: Any, maxval: Any, shape: Any, dtype: Any) -> Any:
        if dtype != jnp.dtype("int64"):
            return function(key, minval, maxval, shape, dtype)
        narrow = (jnp.asarray(end).astype("int32") for end in (minval, maxval))
        return function(key, *narrow, shape, jnp.dtype("int32")).astype("int64")

    return drawn
