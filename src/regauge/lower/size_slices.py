"""Slices that begin or end at a symbolic size: `x[n:]`, `x[:n]`, `x[-n:]`.

JAX gathers one window that begins at a size and whose width is a size. It has bounded both by the axis,
``min(a, n)`` and ``max(0, a - n)``, which a slice of Python does by itself.
"""

from __future__ import annotations

import ast
from collections import Counter

from regauge.ir.graph import Dim, Node, Operand, Sym
from regauge.lower.lax_brackets import axes_of
from regauge.lower.lax_graphs import Makers

_Terms = Counter[str]  # of a sum: how often each term occurs, "" for 1


def window(node: Node, makers: Makers) -> Node | None:
    """``x[start:stop]`` of a gather of one window whose place depends on sizes alone; None for anything else."""
    arguments = dict(node.arguments)
    sizes, removed = arguments.get("slice_sizes"), axes_of(arguments.get("collapsed_slice_dims"))
    shape = makers.shape(arguments["operand"])
    starts = _starts(arguments["indices"], makers) if node.op == "lax.gather" else None
    if starts is None or arguments["mode"] != "PROMISE_IN_BOUNDS" or not isinstance(sizes, tuple):
        return None
    if arguments["operand_batching_dims"] or axes_of(arguments["offset_dims"]) != tuple(
        range(len(shape) - len(removed))
    ):
        return None
    begins = dict(zip(axes_of(arguments["start_index_map"]), starts, strict=True))
    if not any(isinstance(size, Sym) for size in (*begins.values(), *(sizes[axis] for axis in begins))):
        return None
    parts: list[Operand] = []
    for axis, (size, width) in enumerate(zip(shape, sizes, strict=True)):
        begin = begins.get(axis, 0)
        if axis in removed:
            parts.append(begin)
        elif not isinstance(width, int | Sym):
            return None
        else:
            parts.append(None if (begin, width) == (0, size) else bounds(begin, width, size))
    index = (("operand", arguments["operand"]), ("index", tuple(parts)))
    return Node("lax.getitem", index, node.outputs, origin=node.origin)


def _starts(indices: Operand, makers: Makers) -> list[Dim] | None:
    """The numbers that a vector of indices holds; None where they are no sizes."""
    joined = makers.node(indices, "lax.concatenate")
    operands = joined.argument("operands") if joined is not None else (indices,)
    if len(makers.shape(indices)) != 1 or not isinstance(operands, tuple):
        return None
    found: list[Dim] = []
    for operand in operands:
        spread = makers.node(operand, "lax.broadcast_in_dim")
        if spread is None or spread.outputs[0].spec.shape != (1,):
            return None
        size = makers.node(spread.argument("operand"), "lax.dim_as_value")
        start = spread.argument("operand") if size is None else size.argument("x")
        if not isinstance(start, Sym) and type(start) is not int:
            return None
        found.append(start)
    return found


def bounds(begin: Dim, width: Dim, size: Dim) -> Operand:
    """The slice of an axis as (start, stop, step), as a person writes it; None for a stop at the axis's end.

    Args:
        begin: of the window, which lies within the axis.
        width: of the window.
        size: of the axis.
    """
    start, end = _terms(begin), _sum(_terms(width), _terms(begin))
    if end == _terms(size):
        return _plain(start, size), None, 1
    (only, count), *others = _terms(width).items() or [("", 0)]
    inner = _arguments(only, "max")
    if count == 1 and not others and inner is not None and inner[0] == "0" and len(inner) == 2:
        other = _sum(_terms(Sym(inner[1])), start)  # where a window ends that may be empty, which a slice may be too
        end = other if (least := _least(other)) is not None and least >= 0 else end
    return _plain(start, size), _plain(end, size), 1


def _least(terms: _Terms) -> int | None:
    """A number that a sum is never below, since sizes are at least 1; None where none is known."""
    total = 0
    for term, count in terms.items():
        bound = 1 if not term or term.isidentifier() else None
        for function, choose in (("min", min), ("max", max)):
            found = [_least(_terms(Sym(part))) for part in _arguments(term, function) or ()]
            known = [number for number in found if number is not None]
            if known and (len(known) == len(found) or function == "max"):
                bound = choose(known)
        if bound is None or (count < 0 and term):
            return None
        total += count * bound
    return total


def _plain(place: _Terms, size: Dim) -> Dim:
    """A place on an axis without the bounds that a slice has anyway."""
    (only, count), *others = place.items() or [("", 0)]
    if others or count != 1 or not only:
        return _written(place)
    least, most = _arguments(only, "min"), _arguments(only, "max")
    if least is not None and _text(size) in least:
        rest = [part for part in least if part != _text(size)]
        return _dim(rest[0]) if len(rest) == 1 else _written(place)
    if most is not None and "0" in most:
        rest = [part for part in most if part != "0"]
        before = _sum(_terms(Sym(rest[0])), Counter({k: -n for k, n in _terms(size).items()})) if len(rest) == 1 else {}
        if len(before) == 1 and set(before.values()) == {-1} and next(iter(before)).isidentifier():
            return Sym(f"-{next(iter(before))}")  # sizes are at least 1
    return _written(place)


def _terms(size: Dim) -> _Terms:
    """The terms of a sum."""
    return _added(ast.parse(_text(size), mode="eval").body)


def _added(tree: ast.expr, sign: int = 1) -> _Terms:
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Add | ast.Sub):
        return _sum(_added(tree.left, sign), _added(tree.right, -sign if isinstance(tree.op, ast.Sub) else sign))
    if isinstance(tree, ast.UnaryOp) and isinstance(tree.op, ast.USub):
        return _added(tree.operand, -sign)
    if isinstance(tree, ast.Constant) and type(tree.value) is int:
        return Counter({"": sign * tree.value} if tree.value else {})
    if isinstance(tree, ast.BinOp) and isinstance(tree.op, ast.Mult) and isinstance(tree.left, ast.Constant):
        factor = tree.left.value
        if type(factor) is int:
            return Counter({term: factor * count for term, count in _added(tree.right, sign).items()})
    return Counter({ast.unparse(tree): sign})


def _sum(first: _Terms, second: _Terms) -> _Terms:
    total = Counter(first)
    total.update(second)
    return Counter({term: count for term, count in total.items() if count})


def _written(terms: _Terms) -> Dim:
    """A sum of terms, those that are added first."""
    number = terms.get("", 0)
    text = ""
    for term, count in sorted(((t, n) for t, n in terms.items() if t), key=lambda pair: pair[1] < 0):
        sign = (" - " if text else "-") if count < 0 else (" + " if text else "")
        text += f"{sign}{'' if abs(count) == 1 else f'{abs(count)} * '}{term}"
    if not text:
        return number
    return Sym(text if not number else f"{text} {'-' if number < 0 else '+'} {abs(number)}")


def _arguments(term: str, function: str) -> list[str] | None:
    """The arguments of a call of `min` or `max`; None for any other term."""
    tree = ast.parse(term or "0", mode="eval").body
    if not isinstance(tree, ast.Call) or not isinstance(tree.func, ast.Name) or tree.func.id != function:
        return None
    return [ast.unparse(argument) for argument in tree.args]


def _dim(text: str) -> Dim:
    return int(text) if text.isdecimal() else Sym(text)


def _text(size: Dim) -> str:
    return str(size) if isinstance(size, int) else size.text
