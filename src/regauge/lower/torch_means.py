"""A sum over axes that is divided by their size is a mean."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from regauge.dtypes import is_float
from regauge.ir.graph import Dim, Graph, Node, Operand, Sym
from regauge.lower.channels_last import without_dead_nodes
from regauge.lower.lax_graphs import Makers

_SUMS = {"lax.reduce_sum": "axes", "jnp.sum": "axis"}  # and what they call the axes


def with_means(graph: Graph) -> Graph:
    """The graph with `jnp.mean` where a sum that nothing else reads is divided by the number of its elements."""
    makers = Makers(graph)
    nodes = tuple(_mean(node, makers) or node for node in graph.nodes)
    return without_dead_nodes(replace(graph, nodes=nodes))


def _mean(node: Node, makers: Makers) -> Node | None:
    if node.op != "lax.div" or not is_float(node.outputs[0].spec.dtype):
        return None
    total, count = makers.node(node.argument("x"), *_SUMS), _count(node.argument("y"), makers)
    if total is None or makers.uses[total.outputs[0].name] != 1 or count is None:
        return None
    operand = total.argument("x")
    axes, shape = _axes(total.argument(_SUMS[total.op])), makers.shape(operand)
    if not axes or _product([shape[axis] for axis in axes]) != count:
        return None
    arguments: tuple[tuple[str, Operand], ...] = (("x", operand), ("axis", _counted(axes, len(shape))))
    if total.op == "jnp.sum":
        arguments = (*arguments, ("keepdims", True))
    return replace(node, op="jnp.mean", arguments=arguments)


def _count(operand: Operand, makers: Makers) -> Sym | int | float | None:
    """What a sum is divided by, if it may be a number of elements."""
    if isinstance(operand, int | float):
        return operand
    spread = makers.node(operand, "lax.broadcast_in_dim")
    return makers.size(operand if spread is None else spread.argument("operand"))


def _product(sizes: Sequence[Dim]) -> Dim | None:
    """The number of elements of these axes; None where several of them are symbolic."""
    symbolic = [size for size in sizes if isinstance(size, Sym)]
    fixed = math.prod(size for size in sizes if isinstance(size, int))
    if not symbolic:
        return fixed
    if len(symbolic) > 1:
        return None
    return symbolic[0] if fixed == 1 else Sym(f"{fixed} * {symbolic[0].text}")


def _axes(operand: Operand) -> tuple[int, ...]:
    items = operand if isinstance(operand, tuple) else (operand,)
    return tuple(item for item in items if isinstance(item, int))


def _counted(axes: tuple[int, ...], rank: int) -> Operand:
    """Axes as a person counts them: one as a number, the last one as -1."""
    if len(axes) > 1:
        return axes
    return -1 if axes[0] in (-1, rank - 1) else axes[0]
