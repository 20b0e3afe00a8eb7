"""Modules that are called with inputs of several sizes: one class serves them if its text is the same for all.

Operators and their arguments do not say it all. `x.flatten(3)` has one argument, and is written with the sizes of x
where they are numbers: ``x.reshape(batch, 4, 4, -1)`` for one call, ``x.reshape(batch, 2, 2, -1)`` for another.
"""

from __future__ import annotations

import ast
from collections.abc import Callable
from typing import Any

from regauge.emit.lines import Body
from regauge.emit.members import Structure
from regauge.emit.same_code import code_key
from regauge.emit.scopes import Scope
from regauge.ir.graph import Node


def of_several_sizes(
    structure: Structure, body: Callable[[Scope], Body], function: Callable[[Node], str]
) -> frozenset[str]:
    """Paths of the modules whose calls are written differently, though they run the same operators.

    Args:
        structure: whose modules have their names.
        body: writes the function of a call.
        function: writes an operator of a chain.
    """
    found = set()
    for path, calls in structure.calls().items():
        if len(calls) < 2 or structure.kinds[calls[0]] == "layer":
            continue
        context, literals = structure.context, structure.literals
        different = {code_key(call, context.weights, structure.layers, literals): call for call in calls}
        if len(different) > 1:
            chain = structure.kinds[calls[0]] == "sequential"
            texts = {_chain(call, function) if chain else _renamed(body(call)) for call in different.values()}
            found |= {path} if len(texts) > 1 else set()
    return frozenset(found)


def _chain(scope: Scope, function: Callable[[Node], str]) -> str:
    return "\n".join(function(item) for item in scope.items if isinstance(item, Node))


def _renamed(body: Body) -> str:
    """The text of a function with its local names by their order: those depend on what the caller passes."""
    lines = "".join(f"\n    {line.text}" for line in body.lines)
    tree = ast.parse(f"def body({', '.join(body.parameters)}):{lines}")
    names: dict[str, str] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):
            names.setdefault(node.arg, f"v{len(names)}")
        elif isinstance(node, ast.FunctionDef):
            names.setdefault(node.name, f"v{len(names)}")
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            names.setdefault(node.id, f"v{len(names)}")
    return ast.unparse(_Renaming(names).visit(tree))


class _Renaming(ast.NodeTransformer):
    def __init__(self, names: dict[str, str]) -> None:
        self.names = names

    def visit_arg(self, node: ast.arg) -> Any:
        node.arg = self.names[node.arg]
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> Any:
        node.name = self.names[node.name]
        return self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> Any:
        node.id = self.names.get(node.id, node.id)
        return node
