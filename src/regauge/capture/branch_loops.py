"""Loops that a condition on values leaves: ``break`` and ``continue`` as ways of the condition.

``if x.max() > 3: break`` makes the rest of the step the other way, and what comes after it a matter of a flag:

    done = False
    for layer in self.layers:
        if not done:
            x = layer(x)
            done = x.max() > 3
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence

from regauge.capture.branch_syntax import placed


def leaves(body: Sequence[ast.stmt]) -> list[ast.If]:
    """The conditions of a step with a way that ends in `continue` or `break`."""
    found = [statement for statement in body if isinstance(statement, ast.If)]
    return [one for one in found if any(_ends(way) for way in (one.body, one.orelse))]


def _ends(way: Sequence[ast.stmt]) -> bool:
    return bool(way) and isinstance(way[-1], ast.Break | ast.Continue)


def leaving(body: Sequence[ast.stmt], flag: str, truth: Callable[[ast.expr], ast.expr]) -> list[ast.stmt]:
    """A step in which a way that ends in `continue` or `break` leaves what follows to the other way.

    Args:
        body: of the loop.
        flag: the name that `break` sets to True.
        truth: makes True or False of a condition, or an array of them.
    """
    for place, statement in enumerate(body):
        if not isinstance(statement, ast.If) or not leaves([statement]):
            continue
        ways = (statement.body, statement.orelse)
        rest = leaving(body[place + 1 :], flag, truth)
        if not rest and not statement.orelse and len(statement.body) == 1 and breaks([statement]):
            made = ast.Assign([ast.Name(flag, ast.Store())], truth(statement.test))
            return [*body[:place], *placed([made], statement)]
        first, second = (_without_leaving(way, rest, flag) for way in ways)
        changed = ast.If(statement.test, first or [ast.copy_location(ast.Pass(), statement)], second)
        return [*body[:place], ast.copy_location(changed, statement)]
    return list(body)


def _without_leaving(way: Sequence[ast.stmt], rest: Sequence[ast.stmt], flag: str) -> list[ast.stmt]:
    last = way[-1] if way else None
    if isinstance(last, ast.Continue):
        return list(way[:-1])
    if isinstance(last, ast.Break):
        return [*way[:-1], set_flag(flag, True, last)]
    return [*way, *rest]


def set_flag(flag: str, value: bool, where: ast.stmt) -> ast.stmt:
    """``flag = value`` at the place of a statement."""
    made = ast.Assign([ast.Name(flag, ast.Store())], ast.Constant(value))
    for node in ast.walk(made):
        if "lineno" in node._attributes:
            ast.copy_location(node, where)
    return made


def breaks(step: Sequence[ast.stmt]) -> bool:
    """Whether one of the conditions of a step ends in `break`."""
    return any(_ends(way) and isinstance(way[-1], ast.Break) for one in leaves(step) for way in (one.body, one.orelse))


def unless(flag: str, where: ast.expr) -> ast.expr:
    """``not flag`` at the place of a condition."""
    read = ast.copy_location(ast.Name(flag, ast.Load()), where)
    return ast.copy_location(ast.UnaryOp(ast.copy_location(ast.Not(), where), read), where)
