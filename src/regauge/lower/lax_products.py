"""A product of JAX and the permutation of its axes that follows are one `einsum`."""

from __future__ import annotations

from dataclasses import replace

from regauge.ir.graph import Graph, Node, Ref, node_inputs, references


def joined_products(graph: Graph) -> Graph:
    """Products whose result is only read by a transpose become one with it: `permutation` says in what order.

    JAX has the axes of a product in a fixed order, so `jnp.einsum` permutes them afterwards.
    """
    made = {value.name: position for position, node in enumerate(graph.nodes) for value in node.outputs}
    readers: dict[str, int] = {}
    for node in graph.nodes:
        for name in (*node_inputs(node), *(name for body in node.bodies for name in _read(body))):
            readers[name] = readers.get(name, 0) + 1
    for name in (*(n for operand in graph.outputs for n in references(operand)), *(v for _, v in graph.mutations)):
        readers[name] = readers.get(name, 0) + 1
    joined: dict[int, Node] = {}
    gone: set[int] = set()
    for position, node in enumerate(graph.nodes):
        source = node.argument("x") if node.op == "lax.transpose" else None
        if not isinstance(source, Ref) or readers[source.name] != 1 or source.name not in made:
            continue
        product = graph.nodes[made[source.name]]
        if product.op == "lax.dot_general" and product.origin.modules == node.origin.modules:
            arguments = (*product.arguments, ("permutation", node.argument("permutation")))
            joined[position] = replace(product, arguments=arguments, outputs=node.outputs)
            gone.add(made[source.name])
    nodes = (joined.get(p, node) for p, node in enumerate(graph.nodes) if p not in gone)
    return replace(graph, nodes=tuple(nodes))


def _read(body: Graph) -> list[str]:
    """Every name that a function inside mentions, its own too."""
    found = [name for node in body.nodes for name in node_inputs(node)]
    found += [name for operand in body.outputs for name in references(operand)]
    return found + [name for node in body.nodes for inner in node.bodies for name in _read(inner)]
