"""Python's garbage collector during work that makes many objects which live to its end."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def new_objects_only() -> Iterator[None]:
    """Within the block the collector leaves alone what existed before it.

    A loaded framework is more than a million objects, and each full collection walks through all of them: a quarter
    of a second, several times in one conversion. Afterwards everything is collected as before. Where the program
    itself froze objects, nothing is changed, because `gc.unfreeze` would give those back too.
    """
    if gc.get_freeze_count():
        yield
        return
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
