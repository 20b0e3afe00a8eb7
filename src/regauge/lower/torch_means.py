"""A sum over axes that is divided by their size is a mean."""

from __future__ import annotations

import math
from dataclasses import replace

from regauge.dtypes import is_float
from regauge.ir.graph import Graph, Node, Operand
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
    total, count = makers.node(node.argument("x"), *_SUMS), node.argument("y")
    if total is None or makers.uses[total.outputs[0].name] != 1 or not isinstance(count, int | float):
        return None
    operand = total.argument("x")
    axes, shape = _axes(total.argument(_SUMS[total.op])), makers.shape(operand)
    sizes = [shape[axis] for axis in axes]
    fixed = [size for size in sizes if isinstance(size, int)]
    if not axes or len(fixed) != len(sizes) or math.prod(fixed) != count:
        return None
    arguments: tuple[tuple[str, Operand], ...] = (("x", operand), ("axis", _counted(axes, len(shape))))
    if total.op == "jnp.sum":
        arguments = (*arguments, ("keepdims", True))
    return replace(node, op="jnp.mean", arguments=arguments)


def _axes(operand: Operand) -> tuple[int, ...]:
    items = operand if isinstance(operand, tuple) else (operand,)
    return tuple(item for item in items if isinstance(item, int))


def _counted(axes: tuple[int, ...], rank: int) -> Operand:
    """Axes as a person counts them: one as a number, the last one as -1."""
    if len(axes) > 1:
        return axes
    return -1 if axes[0] in (-1, rank - 1) else axes[0]
