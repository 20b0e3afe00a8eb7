"""Functions under `jax.checkpoint` (`nnx.remat`, `eqx.filter_checkpoint`) in an evaluation."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from jax._src import ad_checkpoint


@contextmanager
def traced_each_time() -> Iterator[None]:
    """Within the block no function that is recomputed takes an earlier trace for its own.

    JAX keeps them. What is done while a function is traced, such as giving each dropout its mask, would be done once
    for all blocks of one kind, or never. In a release of JAX that keeps them elsewhere nothing is changed.
    """
    kept = getattr(ad_checkpoint, "_trace_to_jaxpr", None)
    if kept is None:
        yield
        return

    def traced(function: Callable[..., Any], *options: Any) -> Any:
        return kept(lambda *args, **kwargs: function(*args, **kwargs), *options)  # a function that JAX has not seen

    with mock.patch.object(ad_checkpoint, "_trace_to_jaxpr", traced):
        yield
