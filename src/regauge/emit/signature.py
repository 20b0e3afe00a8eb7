"""The signature of the root and of functions: one parameter for each argument of the original, read or not."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from regauge.emit.literals import literal
from regauge.emit.names import identifier, unique
from regauge.findings import Finding


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
        places = {name: place for place, name in enumerate(declared)}
        named = sorted(tree["dict"].items(), key=lambda item: places.get(item[0], len(places)))
        return [Parameter(key, item) for key, item in named]
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


def fixed_values(parameters: Sequence[Parameter], dialect: str) -> tuple[Finding, ...]:
    """Findings for numbers, flags and texts among the inputs, which are part of the code and no inputs any more.

    Args:
        parameters: of the root.
        dialect: of the original's graph, ``aten`` or ``lax``.
    """
    numbers: list[str] = []
    others: list[str] = []
    for parameter in parameters:
        for place, value in constants(parameter.tree, parameter.name):
            is_number = isinstance(value, int | float | complex) and not isinstance(value, bool)
            (numbers if is_number else others).append(f"{place}={value!r}")
    found = []
    if numbers:
        given, example = ", ".join(numbers), "torch.tensor(number)" if dialect == "aten" else "jnp.asarray(number)"
        text = f"Numbers of Python are part of the converted code: {given}. Given as {example}, one stays an input."
        found.append(Finding("E120", "info", "", text))
    if others:
        text = f"The model is converted for {', '.join(others)}: for another value, convert it again."
        found.append(Finding("E121", "info", "", text))
    return tuple(found)


def constants(tree: Any, place: str) -> Iterator[tuple[str, Any]]:
    """Constants in a skeleton, with the expressions that name their places."""
    if "value" in tree:
        yield place, tree["value"]
    items = tree["dict"].items() if "dict" in tree else enumerate(tree.get("tuple", tree.get("list", ())))
    for key, item in items:
        yield from constants(item, f"{place}.{key}" if "record" in tree else f"{place}[{key!r}]")


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
        part: ast.expr = ast.Subscript(expression, literal(key), ast.Load())
        _visit(item, ast.Attribute(expression, str(key), ast.Load()) if "record" in tree else part, found)
