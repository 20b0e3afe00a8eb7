"""Formulas of a count of steps as data: how a learning rate moves, for any framework.

A formula is a number, `STEP` (the steps already taken), `BASE` (the rate of the optimizer or of a group), or a tuple of
an operator's name and its formulas: ``("where", ("<", "step", 10), ("/", "step", 10), 1.0)``.
"""

from __future__ import annotations

import ast
import math
import operator
from collections.abc import Callable, Iterator, Mapping
from typing import Any

STEP, BASE = "step", "base"

Formula = Any  # int, float, bool, str or tuple

_INFIX = {
    "+": ast.Add,
    "-": ast.Sub,
    "*": ast.Mult,
    "/": ast.Div,
    "//": ast.FloorDiv,
    "%": ast.Mod,
    "**": ast.Pow,
    "<": ast.Lt,
    "<=": ast.LtE,
    ">": ast.Gt,
    ">=": ast.GtE,
    "==": ast.Eq,
    "!=": ast.NotEq,
}

# What each operator is for Python's own numbers.
PYTHON: dict[str, Callable[..., Any]] = {
    "+": operator.add,
    "-": operator.sub,
    "*": operator.mul,
    "/": operator.truediv,
    "//": operator.floordiv,
    "%": operator.mod,
    "**": operator.pow,
    "neg": operator.neg,
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
    "==": operator.eq,
    "!=": operator.ne,
    "and": lambda a, b: a and b,
    "or": lambda a, b: a or b,
    "not": operator.not_,
    "min": min,
    "max": max,
    "abs": abs,
    "trunc": math.trunc,
    "floor": math.floor,
    "ceil": math.ceil,
    "sin": math.sin,
    "cos": math.cos,
    "tanh": math.tanh,
    "exp": math.exp,
    "log": math.log,
    "sqrt": math.sqrt,
}


def value(formula: Formula, step: Any, base: Any, operators: Mapping[str, Callable[..., Any]]) -> Any:
    """The value of a formula.

    Args:
        formula: what is computed.
        step: the steps already taken.
        base: the rate of the optimizer or of the group.
        operators: by name, as `PYTHON` has them; without ``where`` only the way that is taken is computed.
    """
    if not isinstance(formula, tuple):
        return {STEP: step, BASE: base}[formula] if isinstance(formula, str) else formula
    name, *arguments = formula
    if name == "where" and name not in operators:
        chosen = arguments[1] if value(arguments[0], step, base, operators) else arguments[2]
        return value(chosen, step, base, operators)
    return operators[name](*(value(one, step, base, operators) for one in arguments))


def parts(formula: Formula) -> Iterator[Formula]:
    """The formula and all within it."""
    yield formula
    if isinstance(formula, tuple):
        for one in formula[1:]:
            yield from parts(one)


def reads_base(formula: Formula) -> bool:
    """Whether a formula is a rate, and not a factor of one."""
    return any(isinstance(one, str) and one == BASE for one in parts(formula))


def text(formula: Formula, number: Callable[[float], str], functions: Mapping[str, str]) -> str:
    """The formula as an expression of Python.

    Args:
        formula: what is written; its free names are ``step`` and ``base``.
        number: writes a number.
        functions: what operators without a sign of their own are called, by their names: ``{"cos": "jnp.cos"}``.
    """
    return ast.unparse(ast.parse(_nested(formula, number, functions)))


def _nested(formula: Formula, number: Callable[[float], str], functions: Mapping[str, str]) -> str:
    if not isinstance(formula, tuple):
        return formula if isinstance(formula, str) else f"({formula if isinstance(formula, bool) else number(formula)})"
    name, *arguments = formula
    inner = [_nested(one, number, functions) for one in arguments]
    if name in _INFIX:
        return f"({inner[0]} {name} {inner[1]})"
    if name == "neg":
        return f"(-{inner[0]})"
    return f"{functions[name]}({', '.join(inner)})"


def from_json(data: Any) -> Formula:
    """The formula whose tuples are lists in `data`."""
    return tuple(from_json(item) for item in data) if isinstance(data, list | tuple) else data
