"""From a trained model to where it is served: formats, steps, libraries and limits for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regauge.decide.facts import Source
from regauge.decide.libraries import Library
from regauge.decide.tables import as_plain
from regauge.decide.text import Text


@dataclass(frozen=True)
class Deployment:
    """One way to serve a model on one target."""

    serve: str
    format: str
    steps: tuple[Text, ...]
    libraries: tuple[Library, ...]
    limits: tuple[Text, ...]
    sources: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        return {name: as_plain(value) for name, value in self.__dict__.items()}


def deployment_for(
    framework: str, *, kind: str, serve: Sequence[str], os: str
) -> tuple[tuple[Deployment, ...], tuple[Text, ...]]:
    """The paths for every target, and what is not known about one."""
    return (), ()
