"""What calls of modules take and give after a pass has replaced values by others that hold the same numbers.

A tensor in another order of axes, and the source of an operator that is left out, stand in for the value that the
person's code passed or returned. Names and order of arguments and results (`Graph.calls`) go over to them.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace

from regauge.ir.graph import Call, Graph, ModuleStep, Node, node_inputs, references


def followed_calls(
    calls: Iterable[Call], nodes: Iterable[Node], stand_ins: Mapping[str, list[str]]
) -> tuple[Call, ...]:
    """The calls with the values that stand in for those that they were passed and gave.

    Args:
        calls: as the capture noted them.
        nodes: the operators after the pass.
        stand_ins: values, with others that hold the same numbers; these may have stand-ins too.

    Returns:
        The same calls. A parameter has the value itself while the call reads it, else the first stand-in that the call
        reads. Stand-ins of a result come right behind it.
    """
    read: dict[str, set[str]] = {}
    for node in nodes:
        for step in node.origin.modules:
            read.setdefault(step.call, set()).update(node_inputs(node))

    def passed(call: Call, value: str | None) -> str | None:
        found = _reached(value, stand_ins) if value is not None else []
        return next((name for name in found if name in read.get(call.key, ())), value)

    return tuple(
        replace(
            call,
            arguments=tuple((name, passed(call, value)) for name, value in call.arguments),
            results=tuple(dict.fromkeys(name for value in call.results for name in _reached(value, stand_ins))),
        )
        for call in calls
    )


def _reached(value: str, stand_ins: Mapping[str, list[str]]) -> list[str]:
    """A value and its stand-ins, the nearest first."""
    found = [value]
    for name in found:  # which grows meanwhile
        found += [other for other in stand_ins.get(name, ()) if other not in found]
    return found


def within_calls(graph: Graph, changes: Collection[str], is_layer: Callable[[ModuleStep], bool]) -> Graph:
    """The graph with changes of layout inside the call that alone reads their result, if it reads their source too.

    The call would take one tensor twice otherwise, in two orders of axes.

    Args:
        graph: the graph.
        changes: the results of the permutes that may move.
        is_layer: whether a module has no code that could hold the permute.
    """
    kept = {name for operand in graph.outputs for name in references(operand)}
    kept |= {value for _, value in graph.mutations}
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in set(node_inputs(node)):
            readers.setdefault(name, []).append(node)
    nodes = list(graph.nodes)
    for node in graph.nodes:
        value = node.outputs[0].name
        if value not in changes or value in kept:
            continue
        way = _shared_way([*readers.get(value, ())], node)
        depth = len(node.origin.modules)
        others = [reader for reader in readers[node_inputs(node)[0]] if reader is not node]
        while (
            depth < len(way) and not is_layer(way[depth]) and any(_begins(other, way[: depth + 1]) for other in others)
        ):
            depth += 1
        if depth == len(node.origin.modules):
            continue
        nodes.remove(node)
        at = next(place for place, other in enumerate(nodes) if value in node_inputs(other))
        reader = nodes[at]
        while at and len(reader.origin.modules) > depth and _begins(nodes[at - 1], reader.origin.modules[: depth + 1]):
            at -= 1  # a call in the call stays in one piece
        frames = reader.origin.frames if len(reader.origin.modules) == depth else ()
        nodes.insert(at, replace(node, origin=replace(node.origin, modules=way[:depth], frames=frames)))
    return replace(graph, nodes=tuple(nodes))


def _shared_way(readers: list[Node], node: Node) -> tuple[ModuleStep, ...]:
    """The calls that all readers stand in, from the outermost; those around the node must be the first of them."""
    if not readers or not all(_begins(reader, node.origin.modules) for reader in readers):
        return node.origin.modules
    way = readers[0].origin.modules
    for reader in readers[1:]:
        same = [a for a, b in zip(way, reader.origin.modules, strict=False) if a.call == b.call]
        way = way[: len(same)]
    return way


def _begins(node: Node, way: tuple[ModuleStep, ...]) -> bool:
    """Whether a node stands in these calls."""
    return [step.call for step in node.origin.modules[: len(way)]] == [step.call for step in way]
