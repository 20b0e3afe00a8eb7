"""Conditions inside expressions as statements of their own, where nothing else changes.

    y = (jnp.roll(x, 2) if self.shift else x).reshape(4, 4)

becomes what a person writes:

    if self.shift:
        x = jnp.roll(x, 2)
    y = x.reshape(4, 4)
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence

from regauge.emit.templates import ANY, Statement, column, column_values, columns


def hoisted(statements: Sequence[Statement], longest: int) -> list[Statement] | None:
    """The statements with their optional expressions before them, or behind where one is the whole value.

    Args:
        statements: of one body.
        longest: characters of an expression that may stay in both branches of a condition.

    Returns:
        None where a longer one has to stay.
    """
    found: list[Statement] = []
    for position, statement in enumerate(statements):
        parts = _before(statement, statements[position + 1 :]) or _behind(statement) or [statement]
        if any(len(ast.unparse(_without(node))) > longest for part in parts for node in _optional(part.tree)):
            return None
        found += parts
    return found


def _optional(tree: ast.AST) -> Iterator[ast.IfExp]:
    yield from (node for node in ast.walk(tree) if isinstance(node, ast.IfExp) and hasattr(node, "optional"))


def _parts(node: ast.IfExp) -> tuple[ast.expr, ast.expr]:
    """The shorter and the longer expression of a choice."""
    short, long = sorted((node.body, node.orelse), key=lambda part: len(ast.unparse(part)))
    return short, long


def _without(node: ast.IfExp) -> ast.expr:
    return _parts(node)[0]


def _statement(node: ast.IfExp, name: str, value: ast.expr, like: Statement) -> Statement:
    """`if self.shift:` with the longer expression as the new value of a name."""
    test = node.test if _parts(node)[1] is node.body else ast.UnaryOp(ast.Not(), node.test)
    tree = ast.If(test, [ast.Assign([ast.Name(name, ast.Store())], value, lineno=0)], [])
    tree.optional = True  # type: ignore[attr-defined]
    return Statement(tree, [("", like.notes[0][1])] * 2)


def _before(statement: Statement, later: Sequence[Statement]) -> list[Statement] | None:
    """A name gets its optional value before the statement, which nothing else reads the old one in or behind."""
    choices = list(_optional(statement.tree))
    if len(choices) != 1 or not isinstance(_without(choices[0]), ast.Name) or _calls_parts(choices[0]):
        return None
    (node,) = choices
    name, value = _without(node).id, _parts(node)[1]  # type: ignore[attr-defined]
    rest = _Replaced(node, ast.Name(name, ast.Load())).visit(copy.deepcopy(statement.tree, {id(node): node}))
    reads = sum(isinstance(part, ast.Name) and part.id == name and not _is_stored(part) for part in ast.walk(rest))
    if reads != 1 or not _is_always_evaluated(statement.tree, node) or not isinstance(rest, ast.stmt):
        return None
    if not _stores(rest, name) and _is_read(name, later):
        return None
    return [_statement(node, name, value, statement), Statement(rest, statement.notes)]


def _behind(statement: Statement) -> list[Statement] | None:
    """`y = f(x)` and then `if self.shift:` with `y = g(y)`, where the choice is between `f(x)` and `g(f(x))`."""
    tree = statement.tree
    if not isinstance(tree, ast.Assign):
        return None
    node, target = tree.value, tree.targets[0]
    if not isinstance(node, ast.IfExp) or not hasattr(node, "optional") or not isinstance(target, ast.Name):
        return None
    short, long = _parts(node)
    text = ast.unparse(short)
    inside = [part for part in ast.walk(long) if isinstance(part, ast.expr) and ast.unparse(part) == text]
    if isinstance(short, ast.Name) or len(inside) != 1 or _calls_parts(node):
        return None
    outer = _Replaced(inside[0], ast.Name(target.id, ast.Load())).visit(copy.deepcopy(long, {id(inside[0]): inside[0]}))
    if sum(isinstance(part, ast.Name) and part.id == target.id for part in ast.walk(outer)) != 1:
        return None
    first = Statement(ast.Assign(tree.targets, _of_all(short, inside[0]), lineno=0), statement.notes)
    return [first, _statement(node, target.id, outer, statement)] if isinstance(outer, ast.expr) else None


def _of_all(one: ast.expr, other: ast.expr) -> ast.expr:
    """An expression of all members, for one that stands in two places with the constants of some each."""
    made = copy.deepcopy(one)
    for constant, mine, others in zip(columns(made), column_values(one), column_values(other), strict=True):
        texts = [b if a == ANY else a for a, b in zip(mine.texts, others.texts, strict=True)]
        constant.value = column(texts).value
    return made


def _calls_parts(node: ast.IfExp) -> bool:
    """Whether the longer expression calls more of the module, whose order of drawing would change."""
    short, long = (ast.unparse(part) for part in _parts(node))
    return long.count("self.") > short.count("self.")


def _is_always_evaluated(tree: ast.AST, node: ast.AST) -> bool:
    conditional = (ast.IfExp, ast.BoolOp, ast.Lambda, ast.ListComp, ast.GeneratorExp, ast.DictComp)
    around = [part for part in ast.walk(tree) if isinstance(part, conditional) and part is not node]
    return isinstance(tree, ast.Assign | ast.Return) and not any(node in list(ast.walk(part)) for part in around)


def _is_read(name: str, statements: Sequence[Statement]) -> bool:
    """Whether statements read a name before they give it another value."""
    for statement in statements:
        names = [n for n in ast.walk(statement.tree) if isinstance(n, ast.Name) and n.id == name]
        if any(not _is_stored(part) for part in names):
            return True
        if names and isinstance(statement.tree, ast.Assign):
            return False
    return False


def _is_stored(name: ast.Name) -> bool:
    return isinstance(name.ctx, ast.Store)


def _stores(tree: ast.AST, name: str) -> bool:
    return any(isinstance(part, ast.Name) and part.id == name and _is_stored(part) for part in ast.walk(tree))


class _Replaced(ast.NodeTransformer):
    """Puts one tree in the place of another."""

    def __init__(self, part: ast.AST, by: ast.expr) -> None:
        self.part, self.by = part, by

    def visit(self, node: ast.AST) -> ast.AST:
        return self.by if node is self.part else self.generic_visit(node)
