"""Calls that make numbers of Python from sizes, as calls that keep them symbolic: what `capture.branch_source` writes.

``n = int(x.shape[0] / 2)`` becomes ``n = _regauge.converted(int, x.shape[0] / 2)`` on the lines where a trace fixed a
size; `capture.size_numbers` has the functions.
"""

from __future__ import annotations

import ast

from regauge.capture.branch_syntax import helper, stands_on

_FUNCTIONS = frozenset({"int", "float", "len", "divmod"})
_ROOTS = frozenset({"sqrt"})


class SizeCalls(ast.NodeTransformer):
    """The calls on some lines; `found` says whether there is any."""

    def __init__(self, lines: frozenset[int]) -> None:
        self._lines = lines
        self.found = False

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if (
            not stands_on(self._lines, node)
            or node.keywords
            or any(isinstance(item, ast.Starred) for item in node.args)
        ):
            return node
        match node:
            case ast.Call(ast.Name("map") as function, [ast.Name(name) as given, *others], []) if name in _FUNCTIONS:
                made = ast.Call(function, [helper("each", given), *others], [])
            case ast.Call(ast.Name(name) as function, arguments, []) if name in _FUNCTIONS:
                made = helper("converted", function, *arguments)
            case ast.Call(ast.Attribute(_, name) as function, arguments, []) if name in _ROOTS:
                made = helper("converted", function, *arguments)
            case ast.Call(ast.Attribute(value, "numel"), [], []):
                made = helper("numel", value)
            case _:
                return node
        self.found = True
        return ast.copy_location(made, node)
