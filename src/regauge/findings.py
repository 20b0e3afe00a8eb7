"""Findings: what a stage noticed about a person's model, as data that every report can show."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any, Literal

Severity = Literal["info", "warning", "error"]

# Findings that the converted loss is that of the outputs in training, and may be another function in evaluation.
LOSS_OF_TRAINING = ("C170", "C193")


@dataclass(frozen=True)
class Finding:
    """One thing that a person should know, with the place that it is about.

    Attributes:
        code: stable identifier such as ``C110``; the letter names the stage (C capture, R rules, E emit,
            W weights, V verify, M measure, O optimizer).
        severity: ``info``, ``warning`` (the result holds, but only so far) or ``error``.
        where: ``file.py:line``, a module path or an empty string.
        text: one or two plain sentences in English.
    """

    code: str
    severity: Severity
    where: str
    text: str

    def to_json(self) -> dict[str, Any]:
        return asdict(self)

    @staticmethod
    def from_json(data: dict[str, Any]) -> Finding:
        return Finding(data["code"], data["severity"], data["where"], data["text"])
