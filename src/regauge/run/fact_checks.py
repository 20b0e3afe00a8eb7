"""The job that evaluates machine checks of facts: the same in both workers, since a check brings its own imports.

Every result is written as soon as it is there, so that a check which hangs or crashes costs no other: the parent sees
which one was running, and starts a fresh worker for the rest.
"""

from __future__ import annotations

import faulthandler
import importlib
import importlib.metadata
import importlib.util
import json
import os
import platform
import sys
import warnings
from collections.abc import Callable
from operator import attrgetter
from pathlib import Path
from typing import Any

RESULTS = "results.jsonl"


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Evaluate ``job["checks"]`` in order, each for at most ``job["seconds"]``.

    A check is a dict with ``id``, ``imports``, ``expr`` and ``packages``. The file `RESULTS` in ``job["out"]`` gets
    one line when a check starts (``{"id"}``) and one when it has ended (``{"id", "status", "reason", "versions"}``).
    A check that takes too long ends this process: only so is a call into C stopped for certain.
    """
    with (Path(job["out"]) / RESULTS).open("a", encoding="utf-8") as file:
        for check in job["checks"]:
            _write(file, {"id": check["id"]})
            faulthandler.dump_traceback_later(job["seconds"], exit=True)
            status, reason = evaluate(check["imports"], check["expr"])
            faulthandler.cancel_dump_traceback_later()
            versions = {**versions_of(check["packages"]), "python": platform.python_version()}
            _write(file, {"id": check["id"], "status": status, "reason": reason, "versions": versions})
    return {"checks": len(job["checks"])}


def _write(file: Any, line: dict[str, Any]) -> None:
    file.write(json.dumps(line, ensure_ascii=False) + "\n")
    file.flush()
    os.fsync(file.fileno())


def evaluate(imports: list[str], expression: str) -> tuple[str, str]:
    """The status of one check and, unless it is confirmed, the reason.

    Returns:
        ``confirmed`` (the expression is true), ``stale`` (it is false), ``not checked`` (a package is not installed)
        or ``failed`` (an import or the expression raised).
    """
    names: dict[str, Any] = {"importlib": importlib, "raises": raises, "warns": warns, "has": has}
    try:
        for name in imports:
            exec(f"import {name}", names)
        holds = bool(eval(expression, names))
    except importlib.metadata.PackageNotFoundError as error:
        return "not checked", _missing_reason(error.name)
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        if package and not _installed(package):
            return "not checked", _missing_reason(package)
        return "failed", _described(error)
    except Exception as error:
        return "failed", _described(error)
    return ("confirmed", "") if holds else ("stale", "")


def _missing_reason(package: str) -> str:
    return f"{package} is not installed in this interpreter"


def _described(error: Exception) -> str:
    lines = str(error).strip().splitlines()
    return f"{type(error).__name__}: {lines[0]}" if lines else type(error).__name__


def versions_of(packages: list[str]) -> dict[str, str]:
    """The installed versions of distributions; one that is not installed is left out."""
    found = {}
    for package in packages:
        try:
            found[package] = importlib.metadata.version(package)
        except importlib.metadata.PackageNotFoundError:
            continue
    return found


def raises(fn: Callable[[], object], *class_names: str) -> bool:
    """Whether `fn` raises an exception of one of these classes (or their subclasses); of any class without names."""
    try:
        fn()
    except Exception as error:
        return not class_names or any(cls.__name__ in class_names for cls in type(error).__mro__)
    return False


def warns(fn: Callable[[], object], text: str) -> bool:
    """Whether `fn` gives a warning whose message contains `text`."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        fn()
    return any(text in str(warning.message) for warning in caught)


def has(module: str, dotted: str) -> bool:
    """Whether `module` can be imported and has the attribute `dotted`, which may be several levels deep.

    Raises:
        ModuleNotFoundError: the package itself is not installed, so that there is nothing to be said about it.
    """
    package = module.partition(".")[0]
    if not _installed(package):
        raise ModuleNotFoundError(f"No module named {package!r}", name=package)
    try:
        found = importlib.import_module(module)
        attrgetter(dotted)(found)
    except (ImportError, AttributeError):
        return False
    return True


def _installed(package: str) -> bool:
    try:
        return importlib.util.find_spec(package) is not None
    except ValueError:  # a module that was put into sys.modules by hand has no spec
        return package in sys.modules
