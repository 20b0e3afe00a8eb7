"""What every test starts from."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from regauge.language import use_language


@pytest.fixture(autouse=True)
def in_english() -> Iterator[None]:
    """A command that runs in this process with `--lang` leaves no language behind for the next test."""
    with use_language("en"):
        yield
