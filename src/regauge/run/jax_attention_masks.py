"""The masks that Flax's attention modules draw for their dropout, where other draws are the model's own."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from contextvars import ContextVar
from functools import wraps
from typing import Any
from unittest import mock

import jax
from flax import linen, nnx

_INSIDE: ContextVar[bool] = ContextVar("inside_attention", default=False)


@contextmanager
def attention_masks(drawn: Callable[..., Any]) -> Iterator[None]:
    """Within the block `jax.random.bernoulli` is another function in calls of Flax's attention modules.

    Args:
        drawn: takes the arguments of `jax.random.bernoulli`.
    """
    own = jax.random.bernoulli

    def bernoulli(*arguments: Any, **options: Any) -> Any:
        return drawn(*arguments, **options) if _INSIDE.get() else own(*arguments, **options)

    with ExitStack() as stack:
        for module in (linen.MultiHeadDotProductAttention, nnx.MultiHeadAttention):
            stack.enter_context(mock.patch.object(module, "__call__", _marked(module.__call__)))
        stack.enter_context(mock.patch.object(jax.random, "bernoulli", bernoulli))
        yield


def _marked(call: Callable[..., Any]) -> Callable[..., Any]:
    """A call of a module during which masks are its own."""

    @wraps(call)
    def marked(*arguments: Any, **options: Any) -> Any:
        token = _INSIDE.set(True)
        try:
            return call(*arguments, **options)
        finally:
            _INSIDE.reset(token)

    return marked
