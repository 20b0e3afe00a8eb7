"""Conditions that become statements keep the constants of all classes."""

from __future__ import annotations

import ast

from regauge.emit.hoisting import hoisted
from regauge.emit.templates import ANY, Statement, column, column_values


def chosen(without: ast.expr, with_it: ast.expr) -> Statement:
    """`y = with_it if self.shift else without`."""
    test = ast.parse("self.shift", mode="eval").body
    choice = ast.IfExp(test, with_it, without)
    choice.optional = True  # type: ignore[attr-defined]
    return Statement(ast.Assign([ast.Name("y", ast.Store())], choice, lineno=0), [("", "file.py:1")])


def reshaped(size: ast.expr) -> ast.expr:
    call = ast.parse("x.reshape(-1, 7)", mode="eval").body
    assert isinstance(call, ast.Call)
    call.args[1] = size
    return call


def test_what_both_compute_has_the_constants_of_both() -> None:
    rolled = ast.Call(ast.parse("jnp.roll", mode="eval").body, [reshaped(column((ANY, "96")))], [])
    found = hoisted([chosen(reshaped(column(("48", ANY))), rolled)], 60)
    assert found is not None
    first, second = found
    assert [values.texts for values in column_values(first.tree)] == [("48", "96")]
    assert ast.unparse(second.tree) == "if self.shift:\n    y = jnp.roll(y)"
