"""Machine checks of facts: run in worker processes against what is installed.

    results = check_facts(load().facts)
    store(results, Path("build"))       # regauge.decide.fact_results

A fact whose check is false does not hold for what is installed, whether that is newer or older than what the fact is
about: it is *stale*.
"""

from __future__ import annotations

import datetime
import json
import re
import sys
import tempfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from regauge.decide.facts import Fact, MachineCheck
from regauge.errors import MissingFramework, WorkerFailed
from regauge.run.fact_checks import RESULTS
from regauge.run.launch import Framework, Interpreters, launch

STATUSES = ("confirmed", "stale", "not checked", "failed")

# One check may import a framework, trace and compile a small program. Seconds.
SECONDS = 120.0
# Besides, for the start of a worker that does not get as far as its own watchdog. Seconds.
START = 60.0

# The framework that a package belongs to. Others (numpy, safetensors) do not decide where a check runs.
FRAMEWORK_OF = {
    "torch": "pytorch",
    "torchvision": "pytorch",
    "jax": "jax",
    "jaxlib": "jax",
    "flax": "jax",
    "optax": "jax",
    "orbax": "jax",
    "equinox": "jax",
    "tensorflow": "tensorflow",
    "keras": "keras",
}
# Facts are about defaults, so settings of the person's shell must not decide; and no check needs a whole GPU.
ENVIRONMENT = {
    "JAX_ENABLE_X64": "0",
    "JAX_DISABLE_JIT": "0",
    "JAX_DEBUG_NANS": "0",
    "JAX_NUMPY_DTYPE_PROMOTION": "standard",
    "XLA_PYTHON_CLIENT_PREALLOCATE": "false",
}


@dataclass(frozen=True)
class CheckResult:
    """What one machine check said.

    Attributes:
        id: of the fact.
        status: ``confirmed``, ``stale`` (the expression is false), ``not checked`` or ``failed``.
        reason: why it was not checked, or what it raised; empty otherwise.
        versions: of the packages that the check names, and of Python.
        python: the interpreter that was asked.
        expr: the expression that was evaluated.
        date: ISO date of the run.
    """

    id: str
    status: str
    reason: str
    versions: Mapping[str, str] = field(default_factory=dict)
    python: str = ""
    expr: str = ""
    date: str = ""

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "versions": dict(self.versions)}


@dataclass(frozen=True)
class _Group:
    """Checks that share a process: of one framework, or a single one that spans several."""

    framework: str
    facts: tuple[Fact, ...]

    @property
    def side(self) -> Framework:
        return "jax" if self.framework == "jax" else "torch"


def check_facts(
    facts: Iterable[Fact],
    *,
    interpreters: Interpreters | None = None,
    seconds: float = SECONDS,
    progress: Callable[[int, int], None] = lambda done, total: None,
) -> list[CheckResult]:
    """Evaluate the machine checks of these facts; facts without one are passed over.

    Each framework's checks share one worker process, a check that spans several frameworks has its own. A check that
    raises, crashes or takes longer than `seconds` is one ``failed`` result; the others go on in a fresh process.

    Args:
        facts: of any framework.
        interpreters: of the two sides. What belongs to neither runs on the torch side; a check that spans both runs
            there and, if a package is missing, on the JAX side.
        seconds: for one check, imports included.
        progress: called with the number of finished checks and of all.

    Returns:
        One result per check, in the order of the facts.

    Raises:
        MissingFramework: an interpreter cannot be started at all.
    """
    wanted = [fact for fact in facts if fact.check is not None]
    sides = interpreters or Interpreters()
    results: dict[str, CheckResult] = {}

    def note(found: CheckResult) -> None:
        results[found.id] = found
        progress(len(results), len(wanted))

    for group in _groups(wanted):
        _run(group.facts, group.side, sides, seconds, note)
        lacking = [fact for fact in group.facts if results[fact.id].status == "not checked"]
        if group.framework not in FRAMEWORK_OF.values() and lacking and sides.torch != sides.jax:
            _run(lacking, "jax", sides, seconds, note)
    return [results[fact.id] for fact in wanted]


def packages_of(check: MachineCheck) -> tuple[str, ...]:
    """Packages that a check imports or whose metadata it reads, without the standard library."""
    imported = [name.split(" ")[0].partition(".")[0] for name in check.imports]
    named = re.findall(r"importlib\.(?:metadata\.\w+|util\.find_spec)\('([\w-]+)", check.expr)
    named += re.findall(r"\bhas\('(\w+)", check.expr)
    return tuple(dict.fromkeys(name for name in imported + named if name not in sys.stdlib_module_names))


def _groups(facts: Sequence[Fact]) -> list[_Group]:
    shared: dict[str, list[Fact]] = {}
    alone = []
    for fact in facts:
        packages = packages_of(fact.check) if fact.check else ()
        touched = dict.fromkeys(FRAMEWORK_OF[name] for name in packages if name in FRAMEWORK_OF)
        if len(touched) > 1:
            alone.append(_Group("+".join(touched), (fact,)))
        else:
            shared.setdefault(next(iter(touched), fact.framework), []).append(fact)
    return [*(_Group(framework, tuple(of)) for framework, of in shared.items()), *alone]


def _run(
    facts: Sequence[Fact],
    side: Framework,
    interpreters: Interpreters,
    seconds: float,
    note: Callable[[CheckResult], None],
) -> None:
    """Evaluate checks on one side; a worker that dies takes only the check with it that was running."""
    waiting = list(facts)
    while waiting:
        with tempfile.TemporaryDirectory(prefix="regauge-") as out:
            try:
                launch(
                    side,
                    _job(waiting, out, seconds),
                    interpreters=interpreters,
                    environment=ENVIRONMENT,
                    timeout=START + seconds * len(waiting),
                )
                failure = ""
            except MissingFramework as error:
                if isinstance(error.__cause__, OSError):  # a path that is wrong, not a package that is missing
                    raise
                for fact in waiting:
                    note(_result(fact, side, interpreters, "not checked", error.what))
                return
            except WorkerFailed as error:
                failure = _failure_reason(error, Path(out), seconds)
            lines = _lines(Path(out) / RESULTS)
        ended = {line["id"]: line for line in lines if "status" in line}
        started = next((line["id"] for line in lines if line["id"] not in ended), None)
        for fact in waiting:
            if fact.id in ended:
                line = ended[fact.id]
                note(_result(fact, side, interpreters, line["status"], line["reason"], line["versions"]))
            elif fact.id == started or started is None:
                note(_result(fact, side, interpreters, "failed", failure))
        waiting = [fact for fact in waiting if started and fact.id != started and fact.id not in ended]


def _job(facts: Sequence[Fact], out: str, seconds: float) -> dict[str, Any]:
    checks = [
        {
            "id": fact.id,
            "imports": list(fact.check.imports),
            "expr": fact.check.expr,
            "packages": list(packages_of(fact.check)),
        }
        for fact in facts
        if fact.check
    ]
    return {"job": "facts", "out": out, "checks": checks, "seconds": seconds}


def _failure_reason(error: WorkerFailed, out: Path, seconds: float) -> str:
    log = (out / "log.txt").read_text(encoding="utf-8", errors="replace")
    if "Timeout (" in log:  # the first words of faulthandler's watchdog, which ended the worker
        return f"it did not finish within {seconds:g} s and was stopped"
    return error.what


def _lines(path: Path) -> list[dict[str, Any]]:
    """What the worker wrote. Half a line, of one that was killed while writing, is a check that did not end."""
    if not path.is_file():
        return []
    lines = []
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            lines.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return lines


def _result(
    fact: Fact,
    side: Framework,
    interpreters: Interpreters,
    status: str,
    reason: str,
    versions: Mapping[str, str] | None = None,
) -> CheckResult:
    return CheckResult(
        fact.id,
        status,
        reason,
        versions or {},
        getattr(interpreters, side),
        fact.check.expr if fact.check else "",
        datetime.datetime.now(datetime.UTC).date().isoformat(),
    )
