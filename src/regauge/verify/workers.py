"""Two cases by reference, each side in a process of its own, with the interpreter that has its framework."""

from __future__ import annotations

import ast
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from regauge.errors import BadCase, MissingFramework, RegaugeError
from regauge.report.sources import case_path
from regauge.run.launch import Framework, Interpreters, launch
from regauge.verify.evaluations import Side
from regauge.verify.reproduction import Sources
from regauge.verify.subjects import Role, environment_of, role_of

_PACKAGES: dict[str, Framework] = {
    "torch": "torch",
    "torchvision": "torch",
    "transformers": "torch",
    "jax": "jax",
    "flax": "jax",
    "equinox": "jax",
    "haiku": "jax",
    "optax": "jax",
}
FRAMEWORKS: tuple[Framework, ...] = ("torch", "jax")


@dataclass(frozen=True)
class WorkerSides:
    """Two cases, ``file.py:name`` and so on, evaluated in workers."""

    label: str
    names: tuple[str, str]
    jobs: Mapping[Role, Mapping[str, Any]]
    frameworks: Mapping[Role, Framework]
    interpreters: Mapping[Role, Interpreters]
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
        frameworks[role] = framework_of(reference, work / f"framework_{role}", chosen[role])
    jobs = {role: {"case": reference} for role, reference in references.items()}
    return WorkerSides(f"{original} {converted}", (original, converted), jobs, frameworks, chosen)


def framework_of(reference: str, work: Path, interpreters: Interpreters) -> Framework:
    """The framework of a case: read from what its file imports, or asked of a worker that loads it."""
    path = case_path(reference)
    found = imported_frameworks(path) if path else set()
    if len(found) == 1:
        return found.pop()
    work.mkdir(parents=True, exist_ok=True)
    failed: RegaugeError | None = None
    for framework in FRAMEWORKS:
        try:
            reply = launch(
                framework, {"job": "framework", "case": reference, "out": str(work)}, interpreters=interpreters
            )
        except MissingFramework as error:
            failed = error
            continue
        except BadCase as error:
            failed = error
            if "No module named" not in error.what and "no module named" not in error.what:
                raise
            continue
        if reply["framework"] in FRAMEWORKS:
            return reply["framework"]
        failed = BadCase(
            f"{reference} holds a model of neither PyTorch nor JAX",
            received=reply["model"],
            next="give a torch.nn.Module, a model of JAX, or a function that uses one of them",
        )
    raise failed or BadCase(f"{reference} cannot be loaded")


def imported_frameworks(path: Path) -> set[Framework]:
    """The frameworks that a file imports by itself, without running it."""
    try:
        tree = ast.parse(path.read_text(encoding="utf-8"))
    except (OSError, SyntaxError, ValueError):
        return set()
    names: set[str] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names |= {alias.name.partition(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.partition(".")[0])
    return {_PACKAGES[name] for name in names if name in _PACKAGES}
