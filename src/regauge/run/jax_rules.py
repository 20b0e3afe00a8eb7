"""The `rules` job: the table of operators as plain data, for readers that must not load JAX."""

from __future__ import annotations

import inspect
from typing import Any

from regauge.rules.aten_to_jax import FAMILIES
from regauge.rules.table import Rule


def run(job: dict[str, Any]) -> dict[str, Any]:
    """All rules of all families, each with the text of its function.

    Returns:
        ``{"rules": [{"op", "family", "schema", "promotes", "place", "limits": [...], "source"}, ...]}``, by operator.
    """
    rules = [_describe(rule, family.TABLE.name) for family in FAMILIES for rule in family.TABLE]
    return {"rules": sorted(rules, key=lambda rule: rule["op"])}


def _describe(rule: Rule, family: str) -> dict[str, Any]:
    limits = [
        {"when": limit.when, "effect": limit.effect, "reason": limit.reason, "url": limit.url} for limit in rule.limits
    ]
    return {
        "op": rule.op,
        "family": family,
        "schema": inspect.getdoc(rule.fn) or "",
        "promotes": rule.promotes.value,
        "place": rule.place,
        "limits": limits,
        "source": inspect.getsource(inspect.unwrap(rule.fn)),
    }
