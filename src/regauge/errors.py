"""The exceptions of regauge: one tree, one printed form.

Every error says what must hold, where, what was received, why it matters and what to do next, so that one
function (`RegaugeError.lines`) prints them all. Exit code 1 means "the answer is no", 2 "the input was bad".
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any


class RegaugeError(Exception):
    """Base of every error that regauge raises on purpose.

    Args:
        what: one sentence, what went wrong.
        code: stable identifier such as ``R201``; the class gives a default.
        where: the person's own ``file.py:line`` or module path, if one is known.
        received: what was found in place of what was expected.
        why: why it is refused.
        next: what to do about it.
        details: further lines (a table of operators, the last output of a worker).
    """

    default_code = "E000"
    exit_code = 2

    def __init__(
        self,
        what: str,
        *,
        code: str | None = None,
        where: str = "",
        received: str = "",
        why: str = "",
        next: str = "",
        details: Sequence[str] = (),
    ) -> None:
        self.what = what
        self.code = code or self.default_code
        self.where = where
        self.received = received
        self.why = why
        self.next = next
        self.details = tuple(details)
        super().__init__("\n".join(self.lines()))

    def lines(self) -> list[str]:
        """The printed form, one string per line, without colour."""
        lines = [f"{self.code} {self.what}"]
        lines += [f"  {line}" for line in self.details]
        for label, text in (
            ("where", self.where),
            ("received", self.received),
            ("why", self.why),
            ("next", self.next),
        ):
            if text:
                lines.append(f"  {label}: {text}")
        return lines

    def to_json(self) -> dict[str, Any]:
        return {
            "error": type(self).__name__,
            "code": self.code,
            "what": self.what,
            "where": self.where,
            "received": self.received,
            "why": self.why,
            "next": self.next,
            "details": list(self.details),
        }

    @staticmethod
    def from_json(data: dict[str, Any]) -> RegaugeError:
        """The error that a worker process wrote, as the class it had there."""
        classes = {cls.__name__: cls for cls in _tree(RegaugeError)}
        cls = classes.get(data["error"], RegaugeError)
        keys = ("code", "where", "received", "why", "next", "details")
        return cls(data["what"], **{key: data[key] for key in keys})


def _tree(cls: type[RegaugeError]) -> list[type[RegaugeError]]:
    return [cls, *(found for sub in cls.__subclasses__() for found in _tree(sub))]


class BadCase(RegaugeError):
    """The case cannot be read: no such file or name, not a case, or inputs that the model rejects."""

    default_code = "B100"


class MissingFramework(RegaugeError):
    """A framework that the command needs is not installed in the interpreter that was asked."""

    default_code = "B150"


class CaptureError(RegaugeError):
    """The framework could not capture the model as a graph."""

    default_code = "C100"


class GraphError(RegaugeError):
    """A graph breaks an invariant of the representation: a defect of regauge, not of the model."""

    default_code = "I100"


class UnsupportedOps(RegaugeError):
    """Operators without a rule, or inside a limit of their rule; all of them at once."""

    default_code = "R201"
    exit_code = 1


class SpecMismatch(RegaugeError):
    """A rule gives another shape or dtype than the original had at that node."""

    default_code = "R300"


class EmitError(RegaugeError):
    """The source could not be written as required."""

    default_code = "E100"


class WeightMismatch(RegaugeError):
    """The weight map is not total and one-to-one, or a file does not hold what the map says."""

    default_code = "W100"


class UnsupportedOptimizer(RegaugeError):
    """The optimizer, schedule or loss has no exact counterpart."""

    default_code = "O100"
    exit_code = 1


class NotEqual(RegaugeError):
    """The two models are not the same function."""

    default_code = "V100"
    exit_code = 1


class WorkerFailed(RegaugeError):
    """A worker process crashed, was killed, ran out of memory or time."""

    default_code = "P100"
    exit_code = 1


class BadResult(RegaugeError):
    """A stored result cannot be read: damaged, or written by another version."""

    default_code = "S100"


class OutputError(RegaugeError):
    """The output directory is full, read-only or not a directory."""

    default_code = "S200"


class BadNeeds(RegaugeError):
    """NEEDS.yaml is not valid."""

    default_code = "N100"


class NoSuchDirection(RegaugeError):
    """The target of a conversion is none that there is, or the framework that the case is of already."""

    default_code = "U110"
