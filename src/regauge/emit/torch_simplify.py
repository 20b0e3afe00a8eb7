"""Small rewrites of torch expressions to what a person would write: same value, fewer characters."""

from __future__ import annotations

import ast

from regauge.emit.simplify import infer_one_size, unpacked

_TUPLES = {"reshape", "permute", "expand", "view"}  # methods that take a tuple or its items


def simplify(expression: ast.expr) -> ast.expr:
    """The expression with all rewrites applied, innermost first."""
    return ast.fix_missing_locations(_Simplifier().visit(expression))


class _Simplifier(ast.NodeTransformer):
    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        node.args = [part for argument in node.args for part in unpacked(argument)]
        func = node.func
        if isinstance(func, ast.Attribute) and "_pool" in func.attr and _is_module(func.value):
            node.args = _without_defaults(node.args)
        if not isinstance(func, ast.Attribute) or _is_module(func.value):
            return node
        if func.attr in _TUPLES and len(node.args) == 1 and isinstance(node.args[0], ast.Tuple) and node.args[0].elts:
            node.args = list(node.args[0].elts)
        if func.attr == "reshape":
            node.args = infer_one_size(node.args)
        return _joined(node, func)


def _without_defaults(items: list[ast.expr]) -> list[ast.expr]:
    """Arguments of a pooling (x, size, stride, padding, dilation) without those at the end that say nothing new."""
    kept = list(items)
    defaults = {2: ast.dump(items[1]) if len(items) > 1 else "", 3: ast.dump(ast.Constant(0)), 4: ast.dump(ast.Constant(1))}
    while len(kept) > 2 and ast.dump(kept[-1]) == defaults[len(kept) - 1]:
        kept.pop()
    return kept


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


def _numbers(items: list[ast.expr]) -> list[int] | None:
    found = [item.value for item in items if isinstance(item, ast.Constant) and isinstance(item.value, int)]
    return found if len(found) == len(items) else None
