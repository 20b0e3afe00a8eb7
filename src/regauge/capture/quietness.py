"""Tracing without what torch says on the way: what matters of it comes as findings and errors."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from torch.export import _trace


@contextmanager
def quiet() -> Iterator[None]:
    """Without the warnings and logs of torch.export, and without the graphs that it prints."""
    logger = logging.getLogger("torch")
    children = [logging.getLogger(name) for name in ("torch.fx", "torch.export", "torch._dynamo", "torch._export")]
    levels = [(item, item.level) for item in (logger, *children)]
    try:
        for item, _ in levels:
            item.setLevel(logging.CRITICAL)
        # where a value is asked for, torch.export prints all of the graph that it has so far
        with warnings.catch_warnings(), mock.patch.object(_trace, "print", _nothing, create=True):
            warnings.simplefilter("ignore")
            yield
    finally:
        for item, level in levels:
            item.setLevel(level)


def _nothing(*_: Any, **__: Any) -> None:
    """In the place of `print`."""
