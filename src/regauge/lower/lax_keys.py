"""Keys of `jax.random.split` that are taken apart in one statement: ``one, other = ops.split(key, (2,)).unbind(0)``."""

from __future__ import annotations

from dataclasses import replace

from regauge.ir.graph import Graph, Node, Ref, Value, node_inputs, references

_MOST = 8  # beyond, an array of keys reads better


def with_keys(graph: Graph) -> Graph:
    """The graph with one node for the single keys that are read of a split; their values keep their names."""
    nodes = tuple(replace(node, bodies=tuple(map(with_keys, node.bodies))) for node in graph.nodes)
    graph = replace(graph, nodes=nodes)
    for node in nodes:
        if node.op == "lax.random_split":
            graph = _taken_apart(graph, node)
    return graph


def _taken_apart(graph: Graph, split: Node) -> Graph:
    keys = split.outputs[0]
    count = keys.spec.shape[0] if len(keys.spec.shape) == 1 else 0
    places: dict[int, Node] = {}
    for reader in graph.nodes:
        if keys.name in node_inputs(reader):
            place = _place(reader, keys.name)
            if place is None or place in places:
                return graph
            places[place] = reader
    kept = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    if not places or keys.name in kept or not isinstance(count, int) or count > _MOST:
        return graph
    spec = replace(keys.spec, shape=())
    outputs = [places[n].outputs[0] if n in places else Value(f"{keys.name}_{n}", spec) for n in range(count)]
    apart = Node("lax.unstack", (("x", Ref(keys.name)), ("axis", 0)), tuple(outputs), origin=split.origin)
    readers = list(places.values())
    left = [node for node in graph.nodes if not any(node is reader for reader in readers)]
    at = next(n for n, node in enumerate(left) if node is split) + 1
    return replace(graph, nodes=(*left[:at], apart, *left[at:]))


def _place(reader: Node, keys: str) -> int | None:
    """The place that a node reads of an array of keys; None if it is anything else."""
    if reader.op != "lax.getitem" or reader.argument("operand") != Ref(keys):
        return None
    index = reader.argument("index")
    if not isinstance(index, tuple) or len(index) != 1 or "squeezed" in dict(reader.arguments):
        return None
    place = index[0]
    return place if type(place) is int and place >= 0 else None
