"""Test modules that are no part of a package have names of their own: pytest imports them by their names alone."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]


def test_no_two_test_modules_bear_one_name() -> None:
    alone = [file for file in TESTS.rglob("*.py") if not (file.parent / "__init__.py").is_file()]
    collected = Counter(file.name for file in alone if file.name.startswith("test_"))
    assert len(collected) > 100
    assert [name for name, count in collected.items() if count > 1] == []
