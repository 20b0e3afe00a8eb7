"""Writes to a part of a part of an array, `out[:, -2:, :2] = v`, as one write to the array.

Capture undoes one view after the other: the inner write gives a new slice, and the outer one puts that into the array.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

from regauge.ir.graph import Graph, Node, Operand, Ref, TensorSpec, node_inputs, references, without_dead
from regauge.lower.plan import value_specs

_READS = {"aten.slice_scatter.default": "aten.slice.Tensor", "aten.select_scatter.default": "aten.select.int"}
_TO_END = 2**63 - 1

# What is meant of each axis: all of it (None), one place, or (start, end, step) with None for the defaults.
Parts = tuple[Operand, ...]


def with_joined_writes(graph: Graph) -> Graph:
    """The graph in which a write to a part of what an outer write puts back says where in the array that is.

    What is spread out only to be written is written as it is, since it broadcasts; and a write that the next one
    covers, with nothing that reads it in between, is left out. The same function, with the same derivative.
    """
    return _joined_all(graph, value_specs(graph))


def _joined_all(graph: Graph, specs: dict[str, TensorSpec]) -> Graph:
    """The same for a graph or a function in it, which reads values from outside; `specs` are those of all."""
    joined = _joined_once(graph, specs)
    while joined != graph:  # what is left out read others
        graph, joined = joined, _joined_once(joined, specs)
    return joined


def _joined_once(graph: Graph, specs: dict[str, TensorSpec]) -> Graph:
    outside = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    reads = Counter(name for node in graph.nodes for name in node_inputs(node))
    makers: dict[str, Node] = {}
    nodes: list[Node] = []

    def read_once(operand: Operand, reader: Node) -> Node | None:
        """What makes a value, if that is in the same call of a module and nothing else reads it."""
        maker = makers.get(operand.name) if isinstance(operand, Ref) else None
        if maker is None or maker.origin.modules != reader.origin.modules:
            return None
        name = maker.outputs[0].name
        return maker if reads[name] == 1 and name not in outside else None

    for node in graph.nodes:
        if node.bodies:
            node = replace(node, bodies=tuple(_joined_all(body, specs) for body in node.bodies))
        if node.op in _READS:
            inner = read_once(node.argument("src"), node)
            if inner is not None and inner.op in _READS:
                node = _joined(node, inner, makers, specs) or node
            elif inner is not None and inner.op == "aten.expand.default":
                node = _of_few(node, inner, specs)
            before = read_once(node.argument("self"), node)
            if before is not None and before.op in _READS and _parts(before) == _parts(node):
                node = node.with_arguments(self=before.argument("self"))
        makers |= {value.name: node for value in node.outputs}
        nodes.append(node)
    return graph if nodes == list(graph.nodes) else replace(graph, nodes=without_dead(nodes, outside))


def _of_few(node: Node, spread: Node, specs: dict[str, TensorSpec]) -> Node:
    """The write of what `spread` spreads out."""
    value = spread.argument("self")
    same = isinstance(value, Ref) and specs[value.name].dtype == node.outputs[0].spec.dtype
    return node.with_arguments(src=value) if same else node


def _joined(outer: Node, inner: Node, makers: dict[str, Node], specs: dict[str, TensorSpec]) -> Node | None:
    """One write for two, if the inner one is to that part of the array that the outer one puts back; or None."""
    array, part = outer.argument("self"), inner.argument("self")
    read = makers.get(part.name) if isinstance(part, Ref) else None
    if read is None or not isinstance(array, Ref) or read.op != _READS[outer.op] or "parts" in dict(outer.arguments):
        return None
    axis, cut = _cut(outer, specs[array.name])
    if read.argument("self") != array or _cut(read, specs[array.name]) != (axis, cut):
        return None
    parts = list(_parts(inner))
    if isinstance(cut, tuple):
        size = read.outputs[0].spec.shape[axis]
        within = cut if parts[axis] is None else _within(cut, parts[axis], fixed=isinstance(size, int))
        if within is None:
            return None
        parts[axis] = within
    else:
        parts.insert(axis, cut)
    while parts and parts[-1] is None:
        parts.pop()
    return outer.with_arguments(src=inner.argument("src"), parts=tuple(parts))


def _within(cut: Parts, part: Operand, fixed: bool) -> Operand:
    """A place or slice of a slice in the array itself: `x[1:][:2]` is `x[1:3]`; None where sizes would decide."""
    start, end, step = cut
    first = start or 0
    if not isinstance(first, int) or first < 0 or step is not None or not fixed:
        return None
    if isinstance(part, int):
        return first + part if part >= 0 else None
    if not isinstance(part, tuple) or any(not isinstance(v, int | None) or (v or 0) < 0 for v in part[:2]):
        return None
    low, high, step = part
    return (first + int(str(low or 0)), end if high is None else first + int(str(high)), step)


def _parts(node: Node) -> Parts:
    """What a write writes to, one entry for each axis."""
    spec = node.outputs[0].spec
    arguments = dict(node.arguments)
    given = arguments.get("parts")
    if isinstance(given, tuple):
        return (*given, *(None for _ in range(spec.ndim - len(given))))
    axis, cut = _cut(node, spec)
    return tuple(cut if i == axis else None for i in range(spec.ndim))


def _cut(node: Node, array: TensorSpec) -> tuple[int, Operand]:
    """The axis that an operator cuts, and what it takes of it."""
    arguments = dict(node.arguments)
    axis = int(str(arguments["dim"])) % array.ndim
    if "index" in arguments:
        return axis, arguments["index"]
    start, end, step = arguments["start"], arguments["end"], arguments["step"]
    size = array.shape[axis]
    to_end = isinstance(end, int) and end >= (size if isinstance(size, int) else _TO_END)
    return axis, (None if start == 0 else start, None if to_end or end == size else end, None if step == 1 else step)
