"""Two cases by reference, each side in a process of its own, with the interpreter that has its framework."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regauge.run.case_frameworks import framework_of_case
from regauge.run.launch import Framework, Interpreters, launch
from regauge.verify.evaluations import Side
from regauge.verify.reproduction import Sources
from regauge.verify.subjects import Role, environment_of, role_of


@dataclass(frozen=True)
class WorkerSides:
    """Two cases, ``file.py:name`` and so on, evaluated in workers."""

    label: str
    names: tuple[str, str]
    jobs: Mapping[Role, Mapping[str, Any]]
    frameworks: Mapping[Role, Framework]
    interpreters: Mapping[Role, Interpreters]
    symbols: list[dict[str, Any]] | None = None
    separate: bool = True

    @property
    def sources(self) -> Sources:
        """Their references, and the interpreters that are not this one."""
        named = {role: getattr(self.interpreters[role], self.frameworks[role]) for role in self.jobs}
        pythons: dict[str, str] = {role: path for role, path in named.items() if path != sys.executable}
        return Sources(*self.names, pythons)

    def describe(self, role: Role, out: Path, timeout: float | None) -> dict[str, Any]:
        job = {"job": "describe", **self.jobs[role], "out": str(out)}
        environment = environment_of(self.frameworks[role], "M32")
        return launch(
            self.frameworks[role],
            job,
            interpreters=self.interpreters[role],
            environment=environment,
            timeout=timeout,
        )

    def execute(self, side: Side, job: Mapping[str, Any], out: Path, timeout: float | None) -> dict[str, Any]:
        role = role_of(side)
        return launch(
            self.frameworks[role],
            {**job, "out": str(out)},
            interpreters=self.interpreters[role],
            environment=environment_of(self.frameworks[role], side),
            timeout=timeout,
        )


def sides_of_cases(
    original: str,
    converted: str,
    work: Path,
    interpreters: Interpreters,
    pythons: Mapping[Role, str | None] | None = None,
) -> WorkerSides:
    """Two references as sides.

    Args:
        original: reference of the original.
        converted: reference of the converted side.
        work: directory for what it takes to tell the frameworks.
        interpreters: executables by framework.
        pythons: executables by role, where a side has one of its own.

    Raises:
        BadCase: a file cannot be read, or its case is of neither framework.
    """
    references: dict[Role, str] = {"original": original, "converted": converted}
    own = pythons or {}
    chosen: dict[Role, Interpreters] = {}
    frameworks: dict[Role, Framework] = {}
    for role, reference in references.items():
        python = own.get(role)
        chosen[role] = Interpreters(python, python) if python else interpreters
        frameworks[role] = framework_of_case(reference, work / f"framework_{role}", chosen[role])
    jobs = {role: {"case": reference} for role, reference in references.items()}
    return WorkerSides(f"{original} {converted}", (original, converted), jobs, frameworks, chosen)
