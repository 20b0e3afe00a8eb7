"""The progress bar: one line for each finished stage, the time that is left while one runs."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from regauge.cli.progress import Bar, clock


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0:00"), (7.4, "0:07"), (750, "12:30"), (3723, "1:02:03"), (-1, "0:00")]
)
def test_clock(seconds: float, text: str) -> None:
    assert clock(seconds) == text


def test_stages_leave_a_line_each() -> None:
    file = io.StringIO()
    with Bar(Console(file=file, width=100)) as bar:
        bar.reuse("convert")
        bar.begin("check")
        bar.advance(1, 2, None, "")
        bar.begin("measure")
    lines = [line.split()[:2] for line in file.getvalue().splitlines() if line.strip()]
    assert lines == [["✓", "convert"], ["✓", "check"], ["✓", "measure"]]


def test_a_stage_that_fails_is_not_ticked() -> None:
    file = io.StringIO()
    bar = Bar(Console(file=file, width=100))
    bar.__enter__()
    bar.begin("check")
    bar.__exit__(RuntimeError, RuntimeError(), None)
    assert "✗ check" in file.getvalue()


def test_time_left_is_shown() -> None:
    file = io.StringIO()
    console = Console(file=file, width=100, force_terminal=True, color_system=None)
    with Bar(console) as bar:
        bar.begin("measure")
        bar.advance(3, 10, 75.0, "torch eager, train")
        bar.refresh()
        assert "about 1:15 left" in file.getvalue()
        assert "torch eager, train" in file.getvalue()
