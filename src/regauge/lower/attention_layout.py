"""Queries, keys and values cut from one projection, in the order that JAX's attention takes.

torch wants [batch, head, time, width], so a person writes `qkv.reshape(b, t, 3, h, d).permute(2, 0, 3, 1, 4)` and
unpacks the first axis. JAX wants [batch, time, head, width]: unpacking the third axis gives just that, and the swap
of heads and time that is added here for torch's attention is undone where attention is written.
"""

from __future__ import annotations

from dataclasses import replace

from regauge.ir.graph import Graph, Node, Ref, TensorSpec, Value, node_inputs

_ATTENTION = "aten.scaled_dot_product_attention.default"


def heads_after_time(graph: Graph) -> Graph:
    """The graph with `unbind(permute(x))` before attention as `transpose(unbind(x))`; the same function."""
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node_inputs(node):
            readers.setdefault(name, []).append(node)
    made = {value.name: node for node in graph.nodes for value in node.outputs}
    nodes: list[Node] = []
    for node in graph.nodes:
        nodes += _unpacked(node, made, readers) or [node]
    return replace(graph, nodes=_used(graph, nodes))


def _unpacked(node: Node, made: dict[str, Node], readers: dict[str, list[Node]]) -> list[Node] | None:
    """The nodes that replace an `unbind` whose results only attention reads."""
    source = node.argument("self") if node.op == "aten.unbind.int" else None
    permute = made.get(source.name) if isinstance(source, Ref) else None
    if permute is None or permute.op != "aten.permute.default" or len(readers[permute.outputs[0].name]) != 1:
        return None
    if any(reader.op != _ATTENTION for value in node.outputs for reader in readers.get(value.name, ())):
        return None
    dims, dim = permute.argument("dims"), node.argument("dim")
    if not isinstance(dims, tuple) or not isinstance(dim, int) or any(value.spec.ndim != 4 for value in node.outputs):
        return None
    axes = [int(axis) % len(dims) for axis in dims if isinstance(axis, int)]
    axis = axes.pop(dim % len(dims))
    axes[1], axes[2] = axes[2], axes[1]
    if axes != sorted(axes):
        return None
    swapped = tuple(Value(f"{value.name}_time_first", _swapped(value.spec)) for value in node.outputs)
    unbind = replace(node.with_arguments(self=permute.argument("self"), dim=axis), outputs=swapped)
    return [
        unbind,
        *(
            Node(
                "aten.transpose.int",
                (("self", Ref(before.name)), ("dim0", 1), ("dim1", 2)),
                (value,),
                origin=node.origin,
            )
            for before, value in zip(swapped, node.outputs, strict=True)
        ),
    ]


def _swapped(spec: TensorSpec) -> TensorSpec:
    a, b, c, d = spec.shape
    return TensorSpec((a, c, b, d), spec.dtype)


def _used(graph: Graph, nodes: list[Node]) -> tuple[Node, ...]:
    """Without the permutes that nothing reads any more."""
    read = {name for node in nodes for name in node_inputs(node)}
    read |= {operand.name for operand in graph.outputs if isinstance(operand, Ref)}
    read |= {value for _, value in graph.mutations}
    before = {name for node in graph.nodes for name in node_inputs(node)}
    return tuple(
        node
        for node in nodes
        if any(value.name in read or value.name not in before for value in node.outputs)
        or node.op != "aten.permute.default"
    )
