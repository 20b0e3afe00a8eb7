"""How far a job is, for whoever watches: the terminal, a notebook or nobody."""

from __future__ import annotations

from typing import Literal, Protocol

from regauge.language import N_

Stage = Literal["convert", "check", "measure", "report"]
STAGES: dict[Stage, str] = {
    "convert": N_("convert"),
    "check": N_("check"),
    "measure": N_("measure"),
    "report": N_("report"),
}


class Progress(Protocol):
    """A watcher of a job. Labels are English msgids: a watcher that shows them translates them."""

    def begin(self, stage: Stage) -> None:
        """A stage begins; the one before it is done."""

    def advance(self, done: float, total: float, left: float | None, label: str) -> None:
        """`done` of `total` parts of this stage are done, about `left` seconds remain (None: not known)."""

    def reuse(self, stage: Stage) -> None:
        """The stage's result was there already and still holds."""


class Stopped(KeyboardInterrupt):
    """Ctrl-C while launches were made: `made` of `launches` had ended, `kept` of them will not be made again."""

    def __init__(self, made: int, kept: int, launches: int) -> None:
        super().__init__(f"{kept} of {launches} launches are kept")
        self.made, self.kept, self.launches = made, kept, launches


class Silence:
    """Progress that nobody watches."""

    def begin(self, stage: Stage) -> None:
        return

    def advance(self, done: float, total: float, left: float | None, label: str) -> None:
        return

    def reuse(self, stage: Stage) -> None:
        return
