"""Small rewrites of torch expressions to what a person would write: same value, fewer characters."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping

from regauge.emit.simplify import infer_one_size, unpacked

# Keywords of functions of windows that are not written when they say what torch assumes.
_DEFAULTS = {"stride": None, "padding": 0, "dilation": 1, "keepdim": False}
_WINDOWS = re.compile(r"(max|avg)_pool[123]d")
_CONVOLUTION_DEFAULTS = {"stride": 1, "padding": 0, "output_padding": 0, "dilation": 1, "groups": 1}
_CONVOLUTIONS = re.compile(r"conv(_transpose)?[123]d")

# Methods over axes; None, all axes, is what they assume.
_REDUCTIONS = {"sum", "mean", "prod", "amax", "amin", "any", "all", "argmax", "argmin"}
_TUPLES = {"reshape", "permute", "expand", "view"}  # methods that take a tuple or its items


def simplify(expression: ast.expr) -> ast.expr:
    """The expression with all rewrites applied, innermost first."""
    return ast.fix_missing_locations(_Simplifier().visit(expression))


class _Simplifier(ast.NodeTransformer):
    def visit_Attribute(self, node: ast.Attribute) -> ast.expr:
        self.generic_visit(node)
        inner = node.value
        twice = node.attr in ("T", "mT") and isinstance(inner, ast.Attribute) and inner.attr in ("T", "mT")
        return inner.value if twice and isinstance(inner, ast.Attribute) else node

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [part for argument in node.args for part in unpacked(argument)]
        func = node.func
        if isinstance(func, ast.Attribute) and _is_module(func.value) and _WINDOWS.fullmatch(func.attr):
            node.keywords = [keyword for keyword in node.keywords if not _is_default(keyword, _DEFAULTS)]
        if isinstance(func, ast.Attribute) and _is_module(func.value):
            node.keywords = [keyword for keyword in node.keywords if not _is_default(keyword, {"device": None})]
        if isinstance(func, ast.Attribute) and _is_module(func.value) and _CONVOLUTIONS.fullmatch(func.attr):
            node.keywords = [keyword for keyword in node.keywords if not _is_default(keyword, _CONVOLUTION_DEFAULTS)]
        if not isinstance(func, ast.Attribute) or _is_module(func.value):
            return node
        if func.attr in _REDUCTIONS:
            node.args = [a for a in node.args if not (isinstance(a, ast.Constant) and a.value is None)]
            node.keywords = [k for k in node.keywords if not _is_default(k, {"keepdim": False})]
        if func.attr in _TUPLES and len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) and node.args[0].elts:
            node.args = list(node.args[0].elts)
        if func.attr == "reshape":
            node.args = infer_one_size(node.args)
        return _turned(_joined(node, func))


def _is_default(keyword: ast.keyword, defaults: Mapping[str, object]) -> bool:
    value = keyword.value
    if keyword.arg is None or keyword.arg not in defaults or not isinstance(value, ast.Constant):
        return False
    return type(value.value) is type(defaults[keyword.arg]) and value.value == defaults[keyword.arg]


def _is_module(node: ast.AST) -> bool:
    return isinstance(node, ast.Name) and node.id in ("torch", "F", "nn", "math", "ops")


def _joined(node: ast.Call, func: ast.Attribute) -> ast.expr:
    """Two reshapes as the second, two permutations as one or none."""
    inner = func.value
    if not isinstance(inner, ast.Call) or not isinstance(inner.func, ast.Attribute) or inner.func.attr != func.attr:
        return node
    if func.attr == "reshape":
        node.func = ast.Attribute(inner.func.value, "reshape", ast.Load())
        return node
    axes, first = _numbers(node.args), _numbers(inner.args)
    if func.attr != "permute" or axes is None or first is None or len(axes) != len(first):
        return node
    joined = [first[axis] for axis in axes]
    if joined == sorted(joined):
        return inner.func.value
    items: list[ast.expr] = [ast.Constant(axis) for axis in joined]
    return ast.Call(ast.Attribute(inner.func.value, "permute", ast.Load()), items, [])


def _turned(node: ast.expr) -> ast.expr:
    """A permutation that exchanges the last two axes as `.T` or `.mT`."""
    if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute) or node.func.attr != "permute":
        return node
    axes = _numbers(node.args)
    if axes is None or len(axes) < 2 or axes != [*range(len(axes) - 2), len(axes) - 1, len(axes) - 2]:
        return node
    return ast.Attribute(node.func.value, "T" if len(axes) == 2 else "mT", ast.Load())


def _numbers(items: list[ast.expr]) -> list[int] | None:
    found = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, int)]
    return found if len(found) == len(items) else None
