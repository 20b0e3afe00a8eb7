"""The syntax tree of a function that a person gave to a scheduler."""

from __future__ import annotations

import ast
import linecache
import types

from regauge.errors import UnsupportedOptimizer


class NotReadable(UnsupportedOptimizer):
    """The function does something else than to compute with the step; its text says what."""


def definition_of(function: types.FunctionType) -> ast.FunctionDef | ast.Lambda:
    """The definition of a function in its file.

    Raises:
        NotReadable: there is none, or it cannot be told which it is.
    """
    code = function.__code__
    try:
        tree = ast.parse("".join(linecache.getlines(code.co_filename)))
    except SyntaxError as error:
        raise NotReadable("its file cannot be read") from error
    kinds = (ast.FunctionDef, ast.Lambda)
    every = [n for n in ast.walk(tree) if isinstance(n, kinds) and _is_at(n, code)]
    if not every:
        raise NotReadable("its text is in no file")
    if len(every) > 1:
        every = [one for one in every if _names_of(one) == code.co_varnames[: code.co_argcount] and _same(one, code)]
    if len(every) != 1:
        raise NotReadable("several functions stand on its line")
    return every[0]


def _is_at(node: ast.FunctionDef | ast.Lambda, code: types.CodeType) -> bool:
    is_lambda = code.co_name == "<lambda>"
    return isinstance(node, ast.Lambda) == is_lambda and node.lineno == code.co_firstlineno


def _names_of(node: ast.FunctionDef | ast.Lambda) -> tuple[str, ...]:
    return tuple(argument.arg for argument in (*node.args.posonlyargs, *node.args.args))


def _same(node: ast.FunctionDef | ast.Lambda, code: types.CodeType) -> bool:
    """Whether a lambda is the one of this code, by where its parts stand."""
    if not isinstance(node, ast.Lambda):
        return True
    columns = {place[2] for place in code.co_positions() if place[0] == node.body.lineno and place[2]}
    return all(node.body.col_offset <= column <= (node.body.end_col_offset or 0) for column in columns)
