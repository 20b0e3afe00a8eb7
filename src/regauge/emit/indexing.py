"""Operators that Python writes as `x[...]`: select, slice, unsqueeze and index, printed as indexing."""

from __future__ import annotations

import ast
from collections.abc import Callable

from regauge.emit.literals import literal
from regauge.ir.graph import Node, Operand, Ref, Sym, TensorSpec

_MAX = 2**63 - 1

Use = Callable[[Ref], ast.expr]


def indexing(node: Node, spec: TensorSpec | None, use: Use) -> ast.expr | None:
    """The expression of an indexing operator, or None for any other operator.

    Args:
        node: the operator.
        spec: shape and dtype of its first argument.
        use: gives the expression of a value.
    """
    writer = _WRITERS.get(node.op)
    if writer is None or spec is None:
        return None
    array = node.arguments[0][1]
    if not isinstance(array, Ref):
        return None
    parts = writer(node, spec, use)
    if parts is None:
        return None
    while parts and _is_full(parts[-1]):
        parts.pop()
    if not parts:
        return use(array)
    value = use(array)
    if isinstance(value, ast.Subscript) and (joined := _joined(value.slice, parts, spec.ndim)) is not None:
        value, parts = value.value, joined
    index = parts[0] if len(parts) == 1 else ast.Tuple(parts, ast.Load())
    return ast.Subscript(value, index, ast.Load())


def _joined(inner: ast.expr, outer: list[ast.expr], rank: int) -> list[ast.expr] | None:
    """One index for two that cut or add axes: `x[:, :n][..., None]` is `x[:, :n, None]`; None for others.

    Args:
        inner: index of the array itself.
        outer: index of what that gives, which has `rank` axes.
    """
    parts = inner.elts if isinstance(inner, ast.Tuple) else [inner]
    first = _per_axis(parts, rank - sum(map(_is_new, parts)))
    second = _per_axis(outer, rank)
    if first is None or second is None:
        return None
    left, found = list(first), list[ast.expr]()
    for part in second:
        if _is_new(part):
            found.append(part)
            continue
        before = left.pop(0)
        if not _is_full(part) and not _is_full(before):
            return None
        found.append(before if _is_full(part) else part)
    while found and _is_full(found[-1]):
        found.pop()
    whole = next((i for i, part in enumerate(found) if not _is_full(part)), 0)
    if whole >= 2 and all(_is_new(part) for part in found[whole:]) and whole == rank - sum(map(_is_new, first)):
        return [ast.Constant(...), *found[whole:]]
    return found or None


def _per_axis(parts: list[ast.expr], rank: int) -> list[ast.expr] | None:
    """One slice for each axis and None for each new one; None if there is anything else but an ellipsis."""
    dots = [i for i, part in enumerate(parts) if isinstance(part, ast.Constant) and part.value is Ellipsis]
    at = dots[0] if dots else len(parts)
    before, after = parts[:at], parts[at + 1 :]
    if len(dots) > 1 or not all(isinstance(part, ast.Slice) or _is_new(part) for part in (*before, *after)):
        return None
    named = sum(isinstance(part, ast.Slice) for part in (*before, *after))
    return [*before, *(ast.Slice() for _ in range(rank - named)), *after]


def _is_new(part: ast.expr) -> bool:
    return isinstance(part, ast.Constant) and part.value is None


def _is_full(part: ast.expr) -> bool:
    return isinstance(part, ast.Slice) and part.lower is None and part.upper is None and part.step is None


def _axis(operand: Operand, rank: int) -> int | None:
    return operand % rank if isinstance(operand, int) and rank else None


def _leading(axis: int, rank: int, last: ast.expr) -> list[ast.expr]:
    """`[:, :, last]`, or `[..., last]` for the last of four axes or more."""
    if axis == rank - 1 and axis >= 3:
        return [ast.Constant(...), last]
    return [*(ast.Slice() for _ in range(axis)), last]


def _select(node: Node, spec: TensorSpec, use: Use) -> list[ast.expr] | None:
    axis, index = _axis(node.argument("dim"), spec.ndim), node.argument("index")
    if axis is None or not isinstance(index, int | Sym):
        return None
    return _leading(axis, spec.ndim, literal(index))


def _slice(node: Node, spec: TensorSpec, use: Use) -> list[ast.expr] | None:
    axis = _axis(node.argument("dim"), spec.ndim)
    if axis is None:
        return None
    start, end, step = (node.argument(name) for name in ("start", "end", "step"))
    size = spec.shape[axis]
    if any(not isinstance(v, int | Sym | None) for v in (start, end, step)):
        return None
    to_end = end is None or end == size or (isinstance(end, int) and end >= _MAX)
    if isinstance(size, int) and isinstance(end, int) and end >= size:
        to_end = True
    part = ast.Slice(
        None if start in (None, 0) else literal(start),
        None if to_end else literal(end),
        None if step in (None, 1) else literal(step),
    )
    return _leading(axis, spec.ndim, part) if not _is_full(part) else []


def _unsqueeze(node: Node, spec: TensorSpec, use: Use) -> list[ast.expr] | None:
    axis = _axis(node.argument("dim"), spec.ndim + 1)
    if axis is None:
        return None
    if axis == spec.ndim and axis >= 2:
        return [ast.Constant(...), ast.Constant(None)]
    return [*(ast.Slice() for _ in range(axis)), ast.Constant(None)]


def _index(node: Node, spec: TensorSpec, use: Use) -> list[ast.expr] | None:
    indices = node.argument("indices")
    if not isinstance(indices, tuple):
        return None
    parts: list[ast.expr] = []
    for item in indices:
        if item is None:
            parts.append(ast.Slice())
        elif isinstance(item, Ref):
            parts.append(use(item))
        else:
            return None
    return parts


_WRITERS: dict[str, Callable[[Node, TensorSpec, Use], list[ast.expr] | None]] = {
    "aten.select.int": _select,
    "aten.slice.Tensor": _slice,
    "aten.unsqueeze.default": _unsqueeze,
    "aten.index.Tensor": _index,
}
