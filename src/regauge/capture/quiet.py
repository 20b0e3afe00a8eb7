"""What torch says of its own accord while it exports a model."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def quiet() -> Iterator[None]:
    """Within the block torch.export neither warns nor logs: what matters comes as findings and errors."""
    logger = logging.getLogger("torch")
    children = [logging.getLogger(name) for name in ("torch.fx", "torch.export", "torch._dynamo", "torch._export")]
    levels = [(item, item.level) for item in (logger, *children)]
    try:
        for item, _ in levels:
            item.setLevel(logging.CRITICAL)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for item, level in levels:
            item.setLevel(level)
