"""Functions that JAX traces once and takes again: under `jax.checkpoint` and `jax.jit`, `nnx.remat` and `nnx.jit`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from regauge.capture.jax_compat import TRACE_CACHES


@contextmanager
def traced_each_time() -> Iterator[None]:
    """Within the block no function takes an earlier trace for its own, but for those of JAX itself.

    What is done while a function is traced, such as giving each dropout its mask, would be done once for all blocks
    of one kind, or never.
    """
    with ExitStack() as stack:
        for module, name in TRACE_CACHES:
            if (kept := getattr(module, name, None)) is not None:
                stack.enter_context(mock.patch.object(module, name, _anew(kept)))
        yield


def _anew(kept: Callable[..., Any]) -> Callable[..., Any]:
    def traced(function: Any, *rest: Any) -> Any:
        if str(getattr(function, "__module__", "")).partition(".")[0] == "jax":
            return kept(function, *rest)

        @functools.wraps(function)
        def unseen(*args: Any, **kwargs: Any) -> Any:
            return function(*args, **kwargs)

        return kept(unseen, *rest)

    return traced
