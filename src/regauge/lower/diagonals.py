"""Elements on a diagonal: `jnp.diagonal`, `jnp.diag` and `jnp.trace` as torch's functions.

JAX takes a diagonal by counting along two axes, makes a diagonal matrix by comparing such counts, and adds up a matrix
that is zero beside the diagonal.
"""

from __future__ import annotations

from dataclasses import replace

from regauge.dtypes import is_float
from regauge.ir.graph import Dim, Graph, Node, Operand, Ref, Sym
from regauge.lower.channels_last import without_dead_nodes
from regauge.lower.lax_graphs import Makers
from regauge.lower.triangles import DTYPES, is_number, mask_below_batch


def with_diagonals(graph: Graph) -> Graph:
    """The graph with `jnp.diagonal`, `jnp.diag` and `jnp.trace`, which index forms have been found in already."""
    makers = Makers(graph)
    nodes = tuple(_taken(node, makers) or _made(node, makers) or _sum(node, makers) or node for node in graph.nodes)
    return without_dead_nodes(replace(graph, nodes=nodes))


def _taken(node: Node, makers: Makers) -> Node | None:
    """``m[..., i, i + k]`` for all places that a matrix has on that diagonal."""
    index, operand = (node.argument("index"), node.argument("operand")) if node.op == "lax.getitem" else (None, None)
    shape = makers.shape(operand)
    if not isinstance(index, tuple) or len(index) != len(shape) or len(shape) < 2 or set(index[:-2]) - {None}:
        return None
    row, column = _first(index[-2], makers), _first(index[-1], makers)
    if row is None or column is None or 0 not in (row, column) or "squeezed" in dict(node.arguments):
        return None
    if node.outputs[0].spec.shape[-1] != _length(shape[-2:], column - row):
        return None
    return replace(node, op="jnp.diagonal", arguments=(("a", operand), ("offset", column - row)))


def _first(operand: Operand, makers: Makers) -> int | None:
    """Where a vector of numbers begins that counts one by one."""
    shifted = makers.node(operand, "lax.add")
    first: Operand = 0
    if shifted is not None:
        first, operand = shifted.argument("x"), shifted.argument("y")
        if isinstance(first, Ref):
            first, operand = operand, first
    count = makers.node(operand, "lax.iota")
    return first if count is not None and len(makers.shape(operand)) == 1 and type(first) is int else None


def _length(sizes: tuple[Dim, ...], offset: int) -> Dim | None:
    """How many elements a diagonal has; None where a symbolic size decides."""
    rows, columns = sizes
    if isinstance(rows, int) and isinstance(columns, int):
        return max(min(rows, columns - offset) if offset >= 0 else min(rows + offset, columns), 0)
    return rows if rows == columns and offset == 0 else None


def _beside(node: Node, makers: Makers) -> tuple[int, Operand] | None:
    """Of a choice that is 0 but on one diagonal of the last two axes: which, and what stands on it."""
    cases = node.argument("cases") if node.op == "lax.select_n" else None
    if not isinstance(cases, tuple) or len(cases) != 2 or node.outputs[0].spec.dtype not in DTYPES:
        return None
    equal = makers.node(Ref(mask_below_batch(node.argument("which"), makers)), "lax.eq")
    if equal is None or equal.outputs[0].spec.ndim != 2 or not is_number(cases[0], 0, makers):
        return None
    rows, offset = equal.argument("x"), 0
    shifted = makers.node(rows, "lax.add")
    if shifted is not None and type(shifted.argument("y")) is int:
        rows, offset = shifted.argument("x"), int(shifted.argument("y"))  # type: ignore[arg-type]
    counts = [makers.node(operand, "lax.iota") for operand in (rows, equal.argument("y"))]
    if [None if count is None else count.argument("dimension") for count in counts] != [0, 1]:
        return None
    return offset, cases[1]


def _made(node: Node, makers: Makers) -> Node | None:
    """A vector on the diagonal of a matrix that it fills."""
    found = _beside(node, makers)
    if found is None or node.outputs[0].spec.ndim != 2:
        return None
    offset, values = found
    along_columns = False  # jnp.diag before jax 0.10.2
    while (wide := makers.node(values, "lax.broadcast_in_dim")) is not None:
        axes, rank = wide.argument("broadcast_dimensions"), len(makers.shape(wide.argument("operand")))
        if axes == (1,) and rank == 1:
            along_columns = True
        elif axes != tuple(range(rank)):
            return None
        values = wide.argument("operand")
    padding = makers.node(values, "lax.pad")
    if offset:  # the vector begins at the first row or column that the diagonal meets
        first = offset if along_columns else -offset
        before, behind = max(first, 0), max(-first, 0)
        if padding is None or padding.argument("padding_config") != ((before, behind, 0),):
            return None
        values = padding.argument("operand")
    shape = makers.shape(values)
    size = _longer(shape[0], abs(offset)) if len(shape) == 1 else None
    if node.outputs[0].spec.shape != (size, size):
        return None
    return replace(node, op="jnp.diag", arguments=(("v", values), ("k", offset)))


def _longer(size: Dim, more: int) -> Dim:
    if isinstance(size, int):
        return size + more
    return Sym(f"{size.text} + {more}") if more else size


def _sum(node: Node, makers: Makers) -> Node | None:
    """The sum over the last two axes of what is zero beside a diagonal."""
    chosen = makers.node(node.argument("x"), "lax.select_n") if node.op == "lax.reduce_sum" else None
    found = None if chosen is None else _beside(chosen, makers)
    if chosen is None or found is None or makers.uses[chosen.outputs[0].name] > 1:
        return None
    offset, matrix = found
    rank, dtype = chosen.outputs[0].spec.ndim, node.outputs[0].spec.dtype
    if node.argument("axes") != (rank - 2, rank - 1) or not (is_float(dtype) or dtype.startswith("complex")):
        return None
    if not isinstance(matrix, Ref) or makers.spec(matrix) != chosen.outputs[0].spec:
        return None
    return replace(node, op="jnp.trace", arguments=(("a", matrix), ("offset", offset)))
