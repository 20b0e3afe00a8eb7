"""``x.data`` of a person's own code in a trace: it reads what ``x.detach()`` reads, which a trace can follow."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

from torch import Tensor

from regauge.capture.source_lines import is_own

_DATA = Tensor.data  # of the class that Tensor derives from


def _read(tensor: Tensor) -> Tensor:
    if is_own(sys._getframe(1).f_code.co_filename):
        return tensor.detach()
    return _DATA.__get__(tensor)  # type: ignore[attr-defined, no-any-return]


def _write(tensor: Tensor, value: Tensor) -> None:
    _DATA.__set__(tensor, value)  # type: ignore[attr-defined]


@contextmanager
def as_detached() -> Iterator[None]:
    """Within the block own code that reads ``x.data`` gets ``x.detach()``."""
    Tensor.data = property(_read, _write)  # type: ignore[assignment]
    try:
        yield
    finally:
        del Tensor.data
