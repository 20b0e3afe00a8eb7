"""Python values as the literals that a person would write."""

from __future__ import annotations

import ast
import copy
import math
from typing import Any

from regauge.emit.arguments import ArrayArgument, DTypeArgument, ModuleArgument, SymbolicInt
from regauge.emit.target import target
from regauge.ir.graph import Sym


def literal(value: Any) -> ast.expr:
    """The expression that writes a value; TypeError when it has none."""
    if isinstance(value, ArrayArgument | ModuleArgument):
        return copy.deepcopy(value.expression)
    if isinstance(value, DTypeArgument):
        return ast.parse(value.text, mode="eval").body
    if isinstance(value, Sym | SymbolicInt):
        return ast.parse(value.text, mode="eval").body
    if isinstance(value, bool | str | None | type(...)):
        return ast.Constant(value)
    if isinstance(value, int):
        return ast.Constant(int(value)) if value >= 0 else ast.UnaryOp(ast.USub(), ast.Constant(-int(value)))
    if isinstance(value, float):
        return _float(float(value))
    if isinstance(value, complex):
        return ast.parse(repr(value), mode="eval").body
    if isinstance(value, tuple):
        return ast.Tuple([literal(item) for item in value], ast.Load())
    if isinstance(value, list):
        return ast.List([literal(item) for item in value], ast.Load())
    if isinstance(value, slice):
        parts = [literal(v) for v in (value.start, value.stop, value.step)]
        return ast.Call(ast.Name("slice", ast.Load()), parts, [])
    return _dtype_literal(value)


def _dtype_literal(value: Any) -> ast.expr:
    """The expression of a dtype. A float dtype of torch has none: it stays the dtype of the array that gave it."""
    if str(value).startswith(("torch.int", "torch.uint", "torch.bool")):
        return dtype_expression(str(value).removeprefix("torch."))
    if value is int or value is float or value is bool:
        return ast.Name(value.__name__, ast.Load())
    name = getattr(value, "__name__", None) or getattr(value, "name", None)
    if not isinstance(name, str) or not hasattr(value, "dtype" if isinstance(value, type) else "itemsize"):
        raise TypeError(f"no literal for {type(value).__name__}")
    return dtype_expression(name.rstrip("_"))


def dtype_expression(name: str) -> ast.expr:
    """How emitted code writes a dtype."""
    return target().dtype_expression(name)


# numbers that a person writes by their names
_NAMED = {math.pi: "math.pi", 2 * math.pi: "2 * math.pi", math.pi / 2: "math.pi / 2", math.sqrt(2): "math.sqrt(2)"}


def _float(value: float) -> ast.expr:
    if math.isnan(value):
        return target().special_float("nan")
    if math.isinf(value):
        return target().special_float("inf" if value > 0 else "-inf")
    if value < 0:
        return ast.UnaryOp(ast.USub(), _float(-value))
    return ast.parse(_NAMED[value], mode="eval").body if value in _NAMED else ast.Constant(value)
