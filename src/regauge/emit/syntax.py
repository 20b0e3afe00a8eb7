"""Small pieces of syntax that bodies are made of."""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from regauge.emit.layers import Layout
from regauge.emit.lines import Line
from regauge.emit.literals import literal
from regauge.emit.target import target
from regauge.errors import EmitError
from regauge.ir.graph import Operand, Ref, Sym, TensorSpec

_LONGEST_INLINE = 88  # characters


def member_expression(path: list[str]) -> str:
    """`self.blocks[0].attn` from attribute parts in which list positions are written `blocks.0`."""
    text = "self"
    for part in ".".join(path).split("."):
        text += f"[{part}]" if part.isdigit() else f".{part}"
    return text


def undo_layout(expression: ast.expr, layout: Layout) -> ast.expr:
    for kind, axes in reversed(layout):
        if kind != "permute":
            raise EmitError(f"layout {kind} cannot be undone in an expression")
        expression = target().permuted(expression, tuple(axes.index(i) for i in range(len(axes))))
    return expression


def call(function: str, arguments: list[ast.expr], keywords: Mapping[str, ast.expr] = MappingProxyType({})) -> ast.expr:
    given = [ast.keyword(name, value) for name, value in keywords.items()]
    return ast.Call(ast.parse(function, mode="eval").body, arguments, given)


def first_of(expression: ast.expr) -> ast.expr:
    """The one element of a list: of `[x]` it is `x`."""
    if isinstance(expression, ast.List) and len(expression.elts) == 1:
        return expression.elts[0]
    return ast.Subscript(expression, ast.Constant(0), ast.Load())


def module_called(expression: ast.expr) -> str:
    """`query` for ``self.query(x).unflatten(-1, (4, 8))``: the module whose result an expression rearranges."""
    while isinstance(expression, ast.Call) and isinstance(expression.func, ast.Attribute):
        inner = expression.func.value
        if isinstance(inner, ast.Name) and inner.id == "self":
            return expression.func.attr
        expression = inner
    return ""


def is_short(expression: ast.expr, listed: Sequence[str] = ()) -> bool:
    """Whether an expression may still be written inside another one; `listed` are names that are one list together."""
    text = ast.unparse(expression)
    return len(text.replace(", ".join(listed), "", 1)) <= _LONGEST_INLINE


def is_atomic(expression: ast.expr) -> bool:
    if isinstance(expression, ast.Name | ast.Constant):
        return True
    return isinstance(expression, ast.Attribute) and is_atomic(expression.value)


def refs(operand: Operand) -> list[Ref]:
    if isinstance(operand, Ref):
        return [operand]
    return [r for item in operand for r in refs(item)] if isinstance(operand, tuple) else []


def shape_comment(spec: TensorSpec) -> str:
    return "[" + ", ".join(d.text if isinstance(d, Sym) else str(d) for d in spec.shape) + "]"


_SIZE = re.compile(r"(?P<array>.+)\.shape\[(?P<axis>\d+)\]")


def size_text(symbol: str, arrays: Iterable[tuple[ast.expr, TensorSpec]]) -> str | None:
    """The expression that gives a symbolic size: `x.shape[0]`, or `x.shape[0] // 4` where an axis is 4 * batch.

    It is read from data rather than from a mask, and rather where only symbolic sizes stand before it: `x.shape[1]` of
    [batch, time, 32], not `bias.shape[3]` of [1, 8, time, time].
    """
    partial, found = None, []
    for expression, spec in arrays:
        for axis, size in enumerate(spec.shape):
            if not isinstance(size, Sym):
                continue
            read = f"{ast.unparse(expression)}.shape[{axis}]"
            if size.text == symbol:
                leads = all(isinstance(before, Sym) for before in spec.shape[:axis])
                found.append((spec.dtype == "bool", not leads, read))
            partial = partial or _solved(symbol, size.text, read)
    return min(found, key=lambda place: place[:2])[2] if found else partial


def _solved(symbol: str, size: str, read: str) -> str | None:
    """`(x.shape[0] + 1) // 2` for the symbol of a size `2 * symbol - 1`; None where it has another form."""
    found = re.fullmatch(rf"(?:(\d+) \* )?{re.escape(symbol)}(?: ([+-]) (\d+))?", size)
    if found is None:
        return None
    factor, sign, rest = found.groups()
    if rest is not None:
        read = f"{read} {'-' if sign == '+' else '+'} {rest}"
    if factor is None:
        return read
    return f"({read}) // {factor}" if rest is not None else f"{read} // {factor}"


def tree_expression(tree: Any, use: Callable[[Ref], ast.expr]) -> ast.expr:
    """The expression that builds a pytree from its skeleton (`regauge.run.protocol`)."""
    if "leaf" in tree:
        return use(Ref(tree["leaf"]))
    if "none" in tree:
        return ast.Constant(None)
    if "value" in tree:
        return literal(tree["value"])
    if "size" in tree:
        return ast.parse(tree["size"], mode="eval").body
    if "record" in tree:
        fields = {key: tree_expression(tree["dict"][key], use) for key in given_fields(tree)}
        return ast.Call(ast.Name(tree["type"], ast.Load()), [], [ast.keyword(k, v) for k, v in fields.items()])
    if "dict" in tree:
        keys: list[ast.expr | None] = [ast.Constant(k) for k in tree["dict"]]
        return ast.Dict(keys, [tree_expression(v, use) for v in tree["dict"].values()])
    items = [tree_expression(v, use) for v in tree.get("tuple", tree.get("list"))]
    return ast.Tuple(items, ast.Load()) if "tuple" in tree else ast.List(items, ast.Load())


def given_fields(record: Any) -> list[str]:
    """The fields of a record that its constructor gets: all but the last ones that are None."""
    fields = list(record["dict"])
    while fields and "none" in record["dict"][fields[-1]]:
        fields.pop()
    return fields


def with_sizes(
    symbols: Iterable[str], lines: Sequence[Line], arrays: Sequence[tuple[ast.expr, TensorSpec]], where: str
) -> list[Line]:
    """The lines of a body behind `batch = x.shape[0]` for the symbolic sizes that it names.

    Raises:
        EmitError: a size is in none of the arrays.
    """
    read: list[tuple[str, str]] = []
    for symbol in symbols:
        if not _names(symbol, lines):
            continue
        found = size_text(symbol, arrays)
        if found is None:
            lines, products = _with_products(symbol, lines, arrays)
            read += [product for product in products if product not in read]
            if _names(symbol, lines):
                raise EmitError(f"the size {symbol} is in none of the inputs of {where or 'the model'}")
        else:
            read.append((symbol, found))
    return [*(Line(text) for text in _together(read)), *lines]


def _names(size: str, lines: Iterable[Line]) -> bool:
    return any(re.search(rf"\b{re.escape(size)}\b", line.text) for line in lines)


def _with_products(
    symbol: str, lines: Sequence[Line], arrays: Iterable[tuple[ast.expr, TensorSpec]]
) -> tuple[list[Line], list[tuple[str, str]]]:
    """The lines with a name for each product of sizes that an array has, while none has the factor `symbol` alone.

    Returns:
        The lines, and (name, how it is read) of each: `batch_sequence` for `batch * sequence`.
    """
    read, changed = [], list(lines)
    for expression, spec in arrays:
        for axis, size in enumerate(spec.shape):
            factors = size.text.split(" * ") if isinstance(size, Sym) else []
            if symbol not in factors or not all(factor.isidentifier() for factor in factors):
                continue
            product, name = " * ".join(factors), "_".join(factors)
            while _names(name, changed):
                name += "_size"
            if _names(product, changed):
                pattern = rf"\b{re.escape(product)}\b"
                changed = [replace(line, text=re.sub(pattern, name, line.text)) for line in changed]
                read.append((name, f"{ast.unparse(expression)}.shape[{axis}]"))
    return changed, read


def _together(sizes: Sequence[tuple[str, str]]) -> list[str]:
    """`batch, time = x.shape[:2]` for the first sizes of one array, in order; a line of its own for every other."""
    arrays: dict[str, dict[int, str]] = {}
    for name, text in sizes:
        if (read := _SIZE.fullmatch(text)) is not None:
            arrays.setdefault(read["array"], {})[int(read["axis"])] = name
    lines: list[str] = []
    for name, text in sizes:
        read = _SIZE.fullmatch(text)
        axes = arrays[read["array"]] if read is not None else {}
        if read is not None and len(axes) > 1 and sorted(axes) == list(range(len(axes))):
            text = f"{', '.join(axes[axis] for axis in sorted(axes))} = {read['array']}.shape[:{len(axes)}]"
        else:
            text = f"{name} = {text}"
        if text not in lines:
            lines.append(text)
    return lines


def bare_text(expression: ast.expr) -> str:
    """The text of an expression on the right of `=` or `return`, where a tuple needs no parentheses."""
    parts = expression.elts if isinstance(expression, ast.Tuple) and len(expression.elts) > 1 else [expression]
    return ", ".join(map(ast.unparse, parts))


def text_of(statement: ast.stmt) -> str:
    """The text of a statement, in which a tuple behind `=` or `return` has no parentheses."""
    text = ast.unparse(ast.fix_missing_locations(statement))
    for node in ast.walk(statement):
        value = node.value if isinstance(node, ast.Assign | ast.Return) else None
        if isinstance(value, ast.Tuple):
            for before in ("return ", " = "):
                text = text.replace(before + ast.unparse(value), before + bare_text(value))
    return text
