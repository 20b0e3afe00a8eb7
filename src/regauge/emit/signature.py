"""The signature of the root and of functions: one parameter for each argument of the original, read or not."""

from __future__ import annotations

import ast
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from regauge.emit.literals import literal
from regauge.emit.names import identifier, unique


@dataclass(frozen=True)
class Parameter:
    """A parameter and the skeleton of what is passed for it."""

    name: str
    tree: Any

    @property
    def leaf(self) -> str | None:
        """The value that the parameter is itself, if it is an array."""
        return self.tree.get("leaf")

    def text(self) -> str:
        """The parameter as the signature has it; constants of the capture are defaults."""
        if "none" in self.tree:
            return f"{self.name}=None"
        return f"{self.name}={self.tree['value']!r}" if "value" in self.tree else self.name


def signature(tree: Any, declared: Sequence[str]) -> list[Parameter]:
    """Parameters of a graph's inputs.

    Args:
        tree: its `in_tree`: ``{"tuple": [...]}`` or ``{"dict": {...}}``.
        declared: names of the original's positional parameters, as far as they are known.
    """
    if "dict" in tree:
        return [Parameter(key, item) for key, item in tree["dict"].items()]
    declared = tree.get("names", declared)
    taken: set[str] = set()
    parameters = []
    for position, item in enumerate(tree["tuple"]):
        fallback = item.get("leaf", f"argument{position}")
        name = unique(identifier(declared[position] if position < len(declared) else fallback), taken)
        taken.add(name)
        parameters.append(Parameter(name, item))
    return parameters


def texts(parameters: Sequence[Parameter]) -> list[str]:
    """Parameters of a `def`: a default only where all that follow have one too."""
    found: list[str] = []
    defaults = True
    for parameter in reversed(parameters):
        text = parameter.text()
        defaults = defaults and text != parameter.name
        found.append(text if defaults else parameter.name)
    return found[::-1]


def accesses(parameters: Sequence[Parameter]) -> dict[str, ast.expr]:
    """Where each array is: `images`, `outputs["logits"]`, `targets[0]`."""
    found: dict[str, ast.expr] = {}
    for parameter in parameters:
        _visit(parameter.tree, ast.Name(parameter.name, ast.Load()), found)
    return found


def _visit(tree: Any, expression: ast.expr, found: dict[str, ast.expr]) -> None:
    if "leaf" in tree:
        found.setdefault(tree["leaf"], expression)
        return
    items = tree["dict"].items() if "dict" in tree else enumerate(tree.get("tuple", tree.get("list", ())))
    for key, item in items:
        _visit(item, ast.Subscript(expression, literal(key), ast.Load()), found)
