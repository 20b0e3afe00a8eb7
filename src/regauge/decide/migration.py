"""What the existing code costs on another side: the shares of an audit as bounds of the migration criterion."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from regauge.decide.evidence import Evidence
from regauge.decide.needs import Needs

# The audit knows two sides; what it calls each, by the keys of the fact base.
Side = Literal["jax", "torch"]
SIDES: Mapping[str, Side] = {"jax": "jax", "pytorch": "torch"}


def migration_of(needs: Needs) -> tuple[Mapping[str, tuple[float, float, str]], tuple[Evidence, ...]]:
    """Bounds and evidence for every framework that the audit can speak of; nothing where there is no code to read.

    The lower bound is the share of lines that regauge converts by itself, the upper one adds those that have an
    equivalent elsewhere: how much work these are, nobody knows beforehand. Lines to be rewritten count in neither.

    Raises:
        RegaugeError: the path cannot be audited.
    """
    code = needs.existing_code
    if code is None or code.path is None:
        return {}, ()
    bounds: dict[str, tuple[float, float, str]] = {}
    found: list[Evidence] = []
    for candidate in needs.candidates:
        # Only the way between the two sides is audited: what a switch from elsewhere takes, no table says.
        if candidate == code.framework or {candidate, code.framework} != set(SIDES):
            continue
        shares = _shares(Path(code.path), SIDES[candidate])
        if shares is None:
            continue
        automatic, equivalent = shares
        evidence = _evidence(code.path, candidate, automatic, equivalent)
        bounds[candidate] = (automatic, min(1.0, automatic + equivalent), evidence.id)
        found.append(evidence)
    return bounds, tuple(found)


def _shares(path: Path, target: Side) -> tuple[float, float] | None:
    """Shares of the framework's lines that are automatic, and that have an equivalent; None if there are no lines."""
    from regauge.decide.audit import audit_tree

    totals = audit_tree(path, target).totals
    automatic, equivalent = totals.share("automatic"), totals.share("equivalent")
    return None if automatic is None or equivalent is None else (automatic, equivalent)


def _evidence(path: str, candidate: str, automatic: float, equivalent: float) -> Evidence:
    return Evidence(
        id=f"audit:{candidate}",
        claim=f"{automatic:.0%} of the lines are converted, {equivalent:.0%} have an equivalent",
        value=automatic,
        unit="",
        kind="checked",
        source=f"regauge audit {path}",
        limits="read, not run; counts lines, not hours",
    )
