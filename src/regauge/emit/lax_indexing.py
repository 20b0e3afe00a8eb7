"""Operators of lax that Python writes as `x[...]`: slices with fixed bounds."""

from __future__ import annotations

import ast

from regauge.emit.literals import literal
from regauge.emit.target import Use
from regauge.ir.graph import Node, Operand, Ref, TensorSpec


def indexing(node: Node, spec: TensorSpec | None, use: Use) -> ast.expr | None:
    """The expression of an indexing operator, or None for any other operator.

    Args:
        node: the operator.
        spec: shape and dtype of its first argument.
        use: gives the expression of a value.
    """
    array = node.arguments[0][1] if node.arguments else None
    if node.op == "lax.getitem":
        return _item(node, use)
    if node.op != "lax.slice" or spec is None or not isinstance(array, Ref):
        return None
    starts, limits, strides = (node.argument(n) for n in ("start_indices", "limit_indices", "strides"))
    if not isinstance(starts, tuple) or not isinstance(limits, tuple):
        return None
    steps = strides if isinstance(strides, tuple) else (1,) * len(starts)
    parts: list[ast.expr] = []
    for size, start, limit, step in zip(spec.shape, starts, limits, steps, strict=True):
        parts.append(_part((start, None if limit == size else limit, step), use))
    while parts and _is_full(parts[-1]):
        parts.pop()
    if not parts:
        return use(array)
    leading = 0
    while leading < len(parts) and _is_full(parts[leading]):
        leading += 1
    if leading > 2 and len(parts) == len(spec.shape):
        parts = [ast.Constant(...), *parts[leading:]]
    index = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
    return ast.Subscript(use(array), index, ast.Load())


def _is_full(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) and part.lower is None and part.upper is None and part.step is None


def _item(node: Node, use: Use) -> ast.expr | None:
    """`x[i, :, 0]`: arrays, numbers, slices (three numbers) and None for whole axes."""
    array, index = node.argument("operand"), node.argument("index")
    if not isinstance(array, Ref) or not isinstance(index, tuple):
        return None
    source = use(array)
    parts = [_part(item, use) for item in index]
    while parts and _is_full(parts[-1]):
        parts.pop()
    if not parts:
        return source
    written = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
    item = ast.Subscript(source, written, ast.Load())
    squeezed = dict(node.arguments).get("squeezed")
    if not isinstance(squeezed, int):
        return item
    return ast.Call(ast.Attribute(item, "squeeze", ast.Load()), [ast.Constant(squeezed)], [])


def _part(item: Operand, use: Use) -> ast.expr:
    if isinstance(item, Ref):
        return use(item)
    if not isinstance(item, tuple):
        return ast.Slice(None, None, None) if item is None else literal(item)
    if len(item) == 1 and isinstance(item[0], Ref):
        return ast.Subscript(use(item[0]), ast.Constant(None), ast.Load())
    start, stop, step = item
    return ast.Slice(
        None if start in (0, None) else literal(start),
        None if stop is None else literal(stop),
        None if step in (1, None) else literal(step),
    )
