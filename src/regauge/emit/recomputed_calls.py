"""Calls that are to be recomputed in the backward pass, and are not, because no code makes them."""

from __future__ import annotations

from collections.abc import Iterable

from regauge.emit.scopes import Scope
from regauge.findings import Finding
from regauge.ir.graph import Graph


def not_recomputed(graph: Graph, modules: Iterable[Scope]) -> tuple[Finding, ...]:
    """Calls that are to be recomputed and that no code makes, because their operators stand in the module around."""
    called = {call.step.call for scope in modules for call in scope.calls()}
    lines: dict[str, str] = {}
    for node in graph.nodes:
        for step in node.origin.modules:
            if step.recomputed and step.call not in called:
                lines.setdefault(step.call, node.origin.line or step.path)
    text = (
        "A module whose code stands in the module around it is not recomputed. Values and gradients are the same, "
        "memory is not: put torch.utils.checkpoint around these lines."
    )
    return tuple(Finding("C165", "info", line, text) for line in dict.fromkeys(lines.values()))
