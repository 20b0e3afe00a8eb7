"""From a trained model to where it is served: formats, steps, libraries and limits for each target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from pydantic import Field

from regauge.decide.facts import Source
from regauge.decide.libraries import Library, load
from regauge.decide.sources import SourcedText
from regauge.decide.tables import SourceRow, Strict, TextRow, as_plain, read_rows
from regauge.decide.text import Text


@dataclass(frozen=True)
class Deployment:
    """One way to serve a model on one target.

    Attributes:
        serve: the target, such as ``cpu`` or ``mobile``.
        format: what is handed over.
        steps: what to do, in order.
        libraries: what it takes, the first one always.
        limits: what it does not do, or what was not tried.
        sources: where this was read.
    """

    serve: str
    format: str
    steps: tuple[Text, ...]
    libraries: tuple[Library, ...]
    limits: tuple[Text, ...]
    sources: tuple[Source, ...]

    def to_json(self) -> dict[str, Any]:
        """Plain data; texts in English and Chinese, libraries by name."""
        plain = {name: as_plain(value) for name, value in self.__dict__.items()}
        return {**plain, "libraries": [library.name for library in self.libraries]}


class _Row(Strict):
    framework: str
    serve: tuple[str, ...] = Field(min_length=1)
    kinds: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    first: bool = False
    format: str
    steps: tuple[TextRow, ...] = Field(min_length=1)
    libraries: tuple[str, ...] = Field(min_length=1)
    limits: tuple[TextRow, ...] = Field(min_length=1)
    source: tuple[SourceRow, ...] = Field(min_length=1)

    def serves(self, framework: str, kind: str, target: str) -> bool:
        fits = kind in self.kinds if self.kinds else kind not in self.without
        return fits and framework == self.framework and target in self.serve


def deployment_for(
    framework: str, *, kind: str, serve: Sequence[str]
) -> tuple[tuple[Deployment, ...], tuple[SourcedText, ...]]:
    """The ways for every target of `serve`, the recommended one first, and a sentence for each target without any."""
    found: list[Deployment] = []
    unknown: list[SourcedText] = []
    for target in dict.fromkeys(serve):
        rows = [row for row in _rows() if row.serves(framework, kind, target)]
        rows.sort(key=lambda row: not row.first)
        found += [_deployment(row, target) for row in rows]
        if not rows:
            unknown.append(
                SourcedText(
                    f"No sourced way from {framework} to serving on {target} is known here.",
                    f"此处没有从 {framework} 到在 {target} 上提供服务的有来源途径。",
                )
            )
    return tuple(found), tuple(unknown)


def _deployment(row: _Row, target: str) -> Deployment:
    libraries = load().by_name
    return Deployment(
        target,
        row.format,
        tuple(step.text() for step in row.steps),
        tuple(libraries[name] for name in row.libraries),
        tuple(limit.text() for limit in row.limits),
        tuple(source.source() for source in row.source),
    )


@lru_cache(maxsize=1)
def _rows() -> tuple[_Row, ...]:
    return read_rows("deployment.yaml", tuple[_Row, ...])
