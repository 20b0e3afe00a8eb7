"""Functions that JAX traces once and takes again: under `jax.checkpoint` and `jax.jit`, `nnx.remat` and `nnx.jit`."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from typing import Any
from unittest import mock

from jax._src import ad_checkpoint, pjit

# Where JAX looks for an earlier trace; each takes the function first. A release without them keeps its traces.
_PLACES = ((ad_checkpoint, "_trace_to_jaxpr"), (pjit, "_infer_params"))


@contextmanager
def traced_each_time() -> Iterator[None]:
    """Within the block no function takes an earlier trace for its own, but for those of JAX itself.

    What is done while a function is traced, such as giving each dropout its mask, would be done once for all blocks
    of one kind, or never.
    """
    with ExitStack() as stack:
        for module, name in _PLACES:
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
