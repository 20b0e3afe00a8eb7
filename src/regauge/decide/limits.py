"""What a stack leaves open: hardware that a framework does not fully use, and roles that no library fills."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import lru_cache

from pydantic import Field

from regauge.decide.libraries import Library
from regauge.decide.sources import SourcedText
from regauge.decide.tables import SourceRow, Strict, read_rows

# The roles that every project has, and those that a kind of project has besides.
ROLES_OF_ALL = ("framework", "data", "training", "optimizers", "metrics", "checkpoints", "tracking", "testing")
ROLES_OF_KIND = {
    "vision": ("models",),
    "language": ("models", "finetuning"),
    "speech": ("models",),
    "control": ("rl",),
    "science": ("scientific", "probabilistic"),
    "generative": ("models",),
    "recommendation": ("models",),
    "other": (),
}
# Roles that a library of any framework fills as well as one of the framework itself.
NEUTRAL_ROLES = ("data", "metrics", "checkpoints", "tracking", "testing")


class _Hardware(Strict):
    framework: str = ""
    hardware: str
    os: str = ""
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    source: tuple[SourceRow, ...] = Field(min_length=1)


class _Gap(Strict):
    framework: str
    role: str
    kinds: tuple[str, ...] = ()
    en: str = Field(min_length=1)
    zh: str = Field(min_length=1)
    source: tuple[SourceRow, ...] = Field(min_length=1)


def hardware_limits(framework: str, hardware: Sequence[str], os: str) -> tuple[SourcedText, ...]:
    """What a framework does not do, or not fully, on this hardware under this system."""
    return tuple(
        _text(row)
        for row in _hardware()
        if row.framework in ("", framework) and row.hardware in hardware and row.os in ("", os)
    )


def needed_roles(kind: str) -> tuple[str, ...]:
    """The roles that a project of this kind has."""
    return ROLES_OF_ALL + ROLES_OF_KIND[kind]


def open_roles(framework: str, kind: str, libraries: Mapping[str, Sequence[Library]]) -> tuple[str, ...]:
    """The roles of such a project that no active library of the framework (a neutral role: of any) fills."""
    return tuple(
        role
        for role in needed_roles(kind)
        if not any(
            library.status == "active" and (role in NEUTRAL_ROLES or library.framework == framework)
            for library in libraries.get(role, ())
        )
    )


def gap(framework: str, role: str, kind: str) -> SourcedText | None:
    """Why a role of a project has no library of its own, and what takes its place; None where nothing is written."""
    found = next(
        (row for row in _gaps() if (row.framework, row.role) == (framework, role) and kind in (row.kinds or (kind,))),
        None,
    )
    return None if found is None else _text(found)


def _text(row: _Hardware | _Gap) -> SourcedText:
    return SourcedText(row.en, row.zh, tuple(source.source() for source in row.source))


@lru_cache(maxsize=1)
def _hardware() -> tuple[_Hardware, ...]:
    return read_rows("hardware.yaml", tuple[_Hardware, ...])


@lru_cache(maxsize=1)
def _gaps() -> tuple[_Gap, ...]:
    return read_rows("gaps.yaml", tuple[_Gap, ...])
