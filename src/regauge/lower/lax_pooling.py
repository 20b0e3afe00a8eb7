"""Sums over windows that are divided by the size of a window: average pooling."""

from __future__ import annotations

import math
from dataclasses import replace

from regauge.ir.graph import Graph, Node, Ref
from regauge.lower.lax_graphs import Makers


def with_averages(graph: Graph) -> Graph:
    """The graph with such sums and divisions as one node, `lax.window_mean`; its values keep their names."""
    makers = Makers(graph)
    means = {node.outputs[0].name: _mean(node, makers) for node in graph.nodes if node.op == "lax.div"}
    sums = {name for mean in means.values() if mean is not None for name in (mean[1],)}
    nodes: list[Node] = []
    for node in graph.nodes:
        mean = means.get(node.outputs[0].name)
        if mean is not None:
            nodes.append(mean[0])
        elif node.outputs[0].name not in sums:
            nodes.append(replace(node, bodies=tuple(map(with_averages, node.bodies))))
    return replace(graph, nodes=tuple(nodes))


def _mean(node: Node, makers: Makers) -> tuple[Node, str] | None:
    """The mean that a division gives, and the name of the sum that it divides."""
    total, count = node.argument("x"), node.argument("y")
    made = makers.node(total, "lax.reduce_window_sum")
    if made is None or not isinstance(total, Ref) or makers.uses[total.name] != 1 or not isinstance(count, float):
        return None
    sizes = made.argument("window_dimensions")
    if not isinstance(sizes, tuple) or count != math.prod(n for n in sizes if isinstance(n, int)):
        return None
    return replace(made, op="lax.window_mean", outputs=node.outputs, origin=node.origin), total.name
