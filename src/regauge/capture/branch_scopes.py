"""Where a function stands in its file, and its rewritten form in the same scopes: a class, free variables."""

from __future__ import annotations

import ast
from types import CodeType

from regauge.capture.branch_syntax import HELPERS, parameters


class NotRewritten(Exception):
    """The function stays as it is."""


def definition_of(tree: ast.Module, code: CodeType) -> tuple[ast.FunctionDef, str]:
    """The definition that a code comes from, and the class that it stands in, or an empty string."""
    owners = {child: node.name for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for child in node.body}
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef) and node.name == code.co_name:
            first = min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)])
            if first == code.co_firstlineno:
                return node, owners.get(node, "")
    raise NotRewritten


def in_its_scopes(made: ast.FunctionDef, owner: str, code: CodeType, helpers: str) -> ast.Module:
    """A module with the function inside a class, for names with two underscores, and its free variables around it."""
    place = made.body[0]
    package, _, name = helpers.rpartition(".")
    made.body.insert(0, ast.copy_location(ast.ImportFrom(package, [ast.alias(name, HELPERS)], 0), place))
    inner: ast.stmt = made
    if owner or "__class__" in code.co_freevars:
        inner = ast.ClassDef(owner or "_", [], [], [made], [])
    around = [name for name in code.co_freevars if name != "__class__"]
    outer = ast.FunctionDef("_around", parameters(around), [inner], [])
    module = ast.Module([ast.copy_location(outer, place)], [])
    # The code of a decorated function says that it begins with its first decorator; nothing else depends on that.
    made.decorator_list = []
    made.lineno = code.co_firstlineno
    return ast.fix_missing_locations(module)


def code_in(code: CodeType, name: str, line: int) -> CodeType | None:
    for constant in code.co_consts:
        if isinstance(constant, CodeType):
            if constant.co_name == name and constant.co_firstlineno == line:
                return constant
            if (found := code_in(constant, name, line)) is not None:
                return found
    return None


class WithSuper(ast.NodeTransformer):
    """``super()`` with its arguments, which a function inside a method needs."""

    def __init__(self, first: str) -> None:
        self.first = first

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id == "super" and not node.args and self.first:
            node.args = [ast.Name(name, ast.Load()) for name in ("__class__", self.first)]
        return node
