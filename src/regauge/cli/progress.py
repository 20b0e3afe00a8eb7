"""The progress bar of a job: stage, what is being done, time spent and time left."""

from __future__ import annotations

import time
from types import TracebackType

from rich.console import Console
from rich.progress import BarColumn, Progress, SpinnerColumn, TaskID, TextColumn
from rich.text import Text

from regauge.cli.terminal import stderr
from regauge.language import _
from regauge.progress import STAGES, Stage


class Bar:
    """Shows one line on stderr while a stage runs, and leaves one line for each stage that is done."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or stderr()
        self._bar = Progress(
            SpinnerColumn(),
            TextColumn("{task.description}"),
            BarColumn(bar_width=24),
            TextColumn("{task.fields[left]}"),
            TextColumn("{task.fields[label]}", style="dim"),
            console=self._console,
            transient=True,
        )
        self._task: TaskID | None = None
        self._stage: Stage | None = None
        self._began = 0.0

    def __enter__(self) -> Bar:
        self._bar.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._close(done=kind is None)
        self._bar.stop()

    def begin(self, stage: Stage) -> None:
        self._close(done=True)
        self._stage, self._began = stage, time.monotonic()
        self._task = self._bar.add_task(_(STAGES[stage]), total=None, left="", label="")

    def advance(self, done: float, total: float, left: float | None, label: str) -> None:
        if self._task is None:
            return
        if left is None and done > 0:  # parts of a stage cost about the same
            left = (time.monotonic() - self._began) / done * (total - done)
        remaining = "" if left is None else _("about {time} left").format(time=clock(left))
        shown = _(label) if label else ""
        self._bar.update(self._task, completed=done, total=total, left=remaining, label=shown)

    def reuse(self, stage: Stage) -> None:
        self._close(done=True)
        self._console.print(Text("✓ ", "green").append(_(STAGES[stage])).append("  " + _("already there"), "dim"))

    def refresh(self) -> None:
        """Draw the line now instead of at the next tick."""
        self._bar.refresh()

    def _close(self, done: bool) -> None:
        if self._task is None or self._stage is None:
            return
        self._bar.remove_task(self._task)
        mark = Text("✓ ", "green") if done else Text("✗ ", "red")
        spent = clock(time.monotonic() - self._began)
        self._console.print(mark.append(_(STAGES[self._stage]), "default").append(f"  {spent}", "dim"))
        self._task = self._stage = None


def clock(seconds: float) -> str:
    """Seconds as minutes and seconds, or hours, minutes and seconds: 0:07, 12:30, 1:02:03."""
    minutes, rest = divmod(round(max(0.0, seconds)), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
