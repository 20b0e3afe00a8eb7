"""What stands in the source of a rule: names, and calls that compute with arrays."""

from __future__ import annotations

import ast
import inspect
import textwrap
from collections.abc import Callable
from functools import cache
from typing import Any

from regauge.emit.target import target

BUILTINS = {
    "abs", "all", "any", "bool", "complex", "dict", "divmod", "enumerate", "float", "int", "isinstance", "len",
    "list", "max", "min", "range", "reversed", "round", "set", "slice", "sorted", "str", "sum", "tuple", "type",
    "zip", "True", "False", "None",
}  # fmt: skip


def names_in(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}


def bound_names(node: ast.AST) -> set[str]:
    return {n.id for n in ast.walk(node) if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def makes_arrays(node: ast.AST) -> bool:
    """Whether an expression calls into an array library for more than a question about dtypes."""
    for call in ast.walk(node):
        if not isinstance(call, ast.Call) or not isinstance(call.func, ast.Attribute):
            continue
        root: ast.AST = call.func
        while isinstance(root, ast.Attribute):
            root = root.value
        known = target()
        if isinstance(root, ast.Name) and root.id in known.libraries and call.func.attr not in known.static_calls:
            return True
    return False


@cache
def computes(fn: Callable[..., Any]) -> bool:
    """Whether a function gives a tensor, or it, or one that it calls, calls into an array library."""
    if "Tensor" in str(fn.__annotations__.get("return", "")):
        return True
    try:
        tree = ast.parse(textwrap.dedent(inspect.getsource(fn)))
    except (OSError, SyntaxError):
        return True
    if makes_arrays(tree):
        return True
    called = {call.func.id for call in ast.walk(tree) if isinstance(call, ast.Call) and isinstance(call.func, ast.Name)}
    others = [inspect.unwrap(fn).__globals__.get(name) for name in called if name != fn.__name__]
    return any(inspect.isfunction(other) and computes(other) for other in others)
