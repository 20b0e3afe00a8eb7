"""Arrays that are spread out only to be combined with one of that shape, which broadcasting does by itself."""

from __future__ import annotations

from dataclasses import replace

from regauge.ir.graph import Graph, Node, Ref, TensorSpec, references, renamed
from regauge.lower.plan import value_specs

_EXPANDS = frozenset({"aten.expand.default", "aten.expand_as.default"})
_BROADCAST = frozenset(f"aten.{name}.Tensor" for name in ("add", "sub", "mul", "div"))


def without_expands(graph: Graph) -> Graph:
    """The graph in which `x * gate.expand_as(x)` is `x * gate`; the same function, with the same derivative."""
    specs = value_specs(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for operand in [operand for _, operand in node.arguments]:
            for name in references(operand):
                readers.setdefault(name, []).append(node)
    outside = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    same: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        source = node.arguments[0][1] if node.arguments else None
        if node.op in _EXPANDS and isinstance(source, Ref):
            value = node.outputs[0].name
            found = readers.get(value, [])
            sizes = specs[source.name].ndim  # of none, the dtype counts for less
            if sizes and found and value not in outside and all(_broadcasts(reader, value, specs) for reader in found):
                same[value] = same.get(source.name, source.name)
                continue
        nodes.append(replace(node, arguments=tuple((name, renamed(o, same)) for name, o in node.arguments)))
    return replace(graph, nodes=tuple(nodes)) if same else graph


def _broadcasts(node: Node, value: str, specs: dict[str, TensorSpec]) -> bool:
    """Whether an operator's result has the shape of its other operand, whatever `value` is spread out to."""
    if node.op not in _BROADCAST or node.bodies:
        return False
    others = [operand.name for _, operand in node.arguments if isinstance(operand, Ref) and operand.name != value]
    return len(others) == 1 and specs[others[0]].shape == node.outputs[0].spec.shape == specs[value].shape
