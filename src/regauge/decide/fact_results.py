"""Results of fact checks as they are kept: one JSON file in the output directory, for all who show or use facts.

    store(results, Path("build"))
    stale_ids(Path("build"))

A recommendation must not rest on a stale fact until somebody has looked at its sources again.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from regauge.decide.fact_checks import CheckResult
from regauge.decide.facts import FactBase, load
from regauge.errors import BadResult
from regauge.run.protocol import read_json, write_json

FILE = "facts.json"
SCHEMA = 1


def store(results: Iterable[CheckResult], out: Path) -> Path:
    """Keep results as ``facts.json`` in `out`; those of other facts that are there already stay.

    Returns:
        The path of the file.
    """
    kept = {**stored_results(out), **{result.id: result for result in results}}
    path = out / FILE
    write_json(path, {"schema": SCHEMA, "results": [result.to_json() for result in kept.values()]})
    return path


def stored_results(out: Path, base: FactBase | None = None) -> dict[str, CheckResult]:
    """The kept results by the id of their fact; empty if nothing was kept.

    A result counts only as long as its fact has the check that was evaluated.

    Args:
        out: the directory that `store` was given.
        base: the facts; those of the package by default.

    Raises:
        BadResult: the file is damaged or of another version.
    """
    path = out / FILE
    if not path.is_file():
        return {}
    try:
        data = read_json(path)
        if data["schema"] != SCHEMA:
            raise ValueError(f"schema {data['schema']}")
        results = [CheckResult(**result) for result in data["results"]]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BadResult(
            "the results of fact checks cannot be read",
            where=str(path),
            received=f"{type(error).__name__}: {error}",
            next="delete the file and run regauge facts --check again",
        ) from error
    expressions = {fact.id: fact.check.expr for fact in (base or load()).facts if fact.check}
    return {result.id: result for result in results if expressions.get(result.id) == result.expr}


def stale_ids(out: Path) -> frozenset[str]:
    """Ids of the facts that a kept check contradicts; empty if none was kept.

    Args:
        out: the directory that ``regauge facts --check --out`` wrote to.

    Raises:
        BadResult: the file is damaged.
    """
    return frozenset(id for id, result in stored_results(out).items() if result.status == "stale")
