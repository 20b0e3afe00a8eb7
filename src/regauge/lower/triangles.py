"""Comparisons of rows with columns are triangles and identities: `jnp.tril`, `jnp.triu`, `jnp.tri`, `jnp.eye`."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from regauge.ir.graph import Dim, DType, Graph, Node, Operand, Ref
from regauge.lower.channels_last import without_dead_nodes
from regauge.lower.lax_graphs import Makers

# dtypes that torch has these functions for
DTYPES = frozenset({
    "bool", "int8", "int16", "int32", "int64", "uint8", "float16", "bfloat16", "float32", "float64", "complex64",
    "complex128",
})  # fmt: skip


@dataclass
class _Triangles:
    """What the walk has found.

    Attributes:
        makers: of the nodes of the graph.
        lower: masks that are true on and below a diagonal, by value: which diagonal.
        identities: masks that are true on the main diagonal.
    """

    makers: Makers
    lower: dict[str, int] = field(default_factory=dict)
    identities: set[str] = field(default_factory=set)


def with_triangles(graph: Graph) -> Graph:
    """The graph with these functions where it compares counts along two axes, and selects by that."""
    found = _Triangles(Makers(graph))
    nodes = tuple(_mask(node, found) or _selected(node, found) or _cast(node, found) or node for node in graph.nodes)
    return without_dead_nodes(replace(graph, nodes=nodes))


def _mask(node: Node, found: _Triangles) -> Node | None:
    """``rows + k >= columns``, or ``rows == columns``, as one node."""
    if node.op not in ("lax.ge", "lax.eq"):
        return None
    shape, offset = node.outputs[0].spec.shape, 0
    rows, columns = node.argument("x"), node.argument("y")
    shifted = found.makers.node(rows, "lax.add")
    if shifted is not None and isinstance(shifted.argument("y"), int):
        rows, offset = shifted.argument("x"), int(shifted.argument("y"))  # type: ignore[arg-type]
    if len(shape) != 2 or not (_counts(rows, 0, found.makers) and _counts(columns, 1, found.makers)):
        return None
    if node.op == "lax.ge":
        found.lower[node.outputs[0].name] = offset
        return replace(node, op="jnp.tri", arguments=(*_sizes(shape), ("k", offset), ("dtype", _dtype(node))))
    if offset:
        return None
    found.identities.add(node.outputs[0].name)
    return replace(node, op="jnp.eye", arguments=(*_sizes(shape), ("dtype", _dtype(node))))


def _counts(operand: Operand, axis: int, makers: Makers) -> bool:
    node = makers.node(operand, "lax.iota")
    return node is not None and node.argument("dimension") == axis


def _sizes(shape: tuple[Dim, ...]) -> tuple[tuple[str, Operand], ...]:
    return ("N", shape[0]), ("M", shape[1])


def _dtype(node: Node) -> DType:
    return DType(node.outputs[0].spec.dtype)


def _selected(node: Node, found: _Triangles) -> Node | None:
    """``where(triangle, x, 0)`` and ``where(triangle, 0, x)`` as one node."""
    cases = node.argument("cases") if node.op == "lax.select_n" else None
    if not isinstance(cases, tuple) or len(cases) != 2:
        return None
    diagonal = found.lower.get(mask_below_batch(node.argument("which"), found.makers))
    if diagonal is None or node.outputs[0].spec.ndim < 2 or node.outputs[0].spec.dtype not in DTYPES:
        return None
    if is_number(cases[0], 0, found.makers):
        op, x, k = "jnp.tril", cases[1], diagonal
    elif is_number(cases[1], 0, found.makers):
        op, x, k = "jnp.triu", cases[0], diagonal + 1
    else:
        return None
    if op == "jnp.tril" and node.outputs[0].spec.ndim == 2 and is_number(x, 1, found.makers):
        found.lower[node.outputs[0].name] = k
        sizes = _sizes(node.outputs[0].spec.shape)
        return replace(node, op="jnp.tri", arguments=(*sizes, ("k", k), ("dtype", _dtype(node))))
    if isinstance(x, Ref) and found.makers.spec(x) == node.outputs[0].spec:
        return replace(node, op=op, arguments=(("m", x), ("k", k)))
    return None


def mask_below_batch(operand: Operand, makers: Makers) -> str:
    """The value that is repeated along axes before its own; the value itself where none is."""
    wide = makers.node(operand, "lax.broadcast_in_dim")
    if wide is not None:
        rank = wide.outputs[0].spec.ndim
        operand = wide.arguments[0][1] if wide.argument("broadcast_dimensions") == (rank - 2, rank - 1) else None
    return operand.name if isinstance(operand, Ref) else ""


def is_number(operand: Operand, number: int, makers: Makers) -> bool:
    """Whether all elements are a number; -0.0 is not 0."""
    while (wide := makers.node(operand, "lax.broadcast_in_dim")) is not None:
        operand = wide.arguments[0][1]
    return isinstance(operand, int | float) and operand == number and math.copysign(1.0, operand) > 0


def _cast(node: Node, found: _Triangles) -> Node | None:
    """An identity, or a triangle of ones, in the dtype that it is cast to."""
    if node.op != "lax.convert_element_type" or node.outputs[0].spec.dtype not in DTYPES:
        return None
    operand = node.arguments[0][1]
    name = operand.name if isinstance(operand, Ref) else ""
    if name in found.identities:
        return replace(node, op="jnp.eye", arguments=(*_sizes(node.outputs[0].spec.shape), ("dtype", _dtype(node))))
    if name in found.lower:
        sizes = _sizes(node.outputs[0].spec.shape)
        return replace(node, op="jnp.tri", arguments=(*sizes, ("k", found.lower[name]), ("dtype", _dtype(node))))
    return None
