"""Statements of loops: their placeholders filled in, and their text."""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import replace

from regauge.emit.lines import Line
from regauge.emit.loop_headers import Header
from regauge.emit.merging import number_of
from regauge.emit.syntax import text_of

_LONGEST = 100  # of a statement that has a list inside, which otherwise has a name


class Filled(ast.NodeTransformer):
    """Writes what stands for the placeholders of a template."""

    def __init__(self, names: Mapping[str, str], header: Header) -> None:
        self.names, self.header = names, header

    def visit_Subscript(self, node: ast.Subscript) -> ast.AST:
        if isinstance(node.slice, ast.Name) and node.slice.id.startswith("?n"):
            key = (ast.unparse(node.value), int(node.slice.id[2:]))
            if key in self.header.elements:
                return ast.Name(self.header.elements[key], ast.Load())
        part = self._part(node)
        return ast.Name(part, ast.Load()) if part else self.generic_visit(node)

    def _part(self, node: ast.Subscript) -> str:
        """The variable of the loop that stands for a part of a module in a list, if one does."""
        inner = node.value
        if not isinstance(inner, ast.Subscript) or not isinstance(inner.slice, ast.Name):
            return ""
        number = inner.slice.id[2:] if inner.slice.id.startswith("?n") else ""
        names = self.header.unpacked.get((ast.unparse(inner.value), int(number or -1)), ())
        place = number_of(node.slice)
        return names[place] if names and isinstance(place, int) else ""

    def visit_Name(self, node: ast.Name) -> ast.AST:
        if not node.id.startswith("?"):
            return node
        kind, number = node.id[1], int(node.id[2:])
        if kind == "n":
            return ast.parse(self.header.numbers[number], mode="eval").body
        return ast.Name(self.header.values[number] if kind == "s" else self.names[node.id[1:]], node.ctx)

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        if node.name.startswith("?"):
            node.name = self.names[node.name[1:]]
        return self.generic_visit(node)


def written_inside(
    loop: list[Line], following: list[Line], name: str, rest: Sequence[Sequence[Line]]
) -> tuple[list[Line], list[Line]]:
    """A comprehension that only the next statement reads, written there."""
    value = loop[0].text.removeprefix(f"{name} = ")
    tree = ast.parse(following[0].text) if len(following) == 1 else None
    behind = ast.parse("\n".join(line.text for lines in rest for line in lines))
    if tree is None or _reads(tree, name) != 1 or _reads(behind, name):
        return loop, following
    if len(following[0].text) + len(value) > _LONGEST:
        return loop, following
    comprehension = ast.parse(value, mode="eval").body

    class Written(ast.NodeTransformer):
        def visit_Name(self, node: ast.Name) -> ast.AST:
            return comprehension if node.id == name else node

    text = text_of(Written().visit(tree).body[0])
    return [], [replace(following[0], text=text)]


def _reads(tree: ast.AST, name: str) -> int:
    return sum(isinstance(node, ast.Name) and node.id == name for node in ast.walk(tree))
