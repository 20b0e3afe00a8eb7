"""Windows over the last axes of channels-first images as the pooling that they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from regauge.ir.graph import Graph, Node, Operand, Ref, TensorSpec, Value, node_inputs, references
from regauge.lower.plan import value_specs


def pools(graph: Graph) -> Graph:
    """The graph with maxima over windows as `layer.max_pool`, and sums that are divided by their size as averages."""
    if not any(node.op.startswith("lax.reduce_window") for node in graph.nodes):
        return graph
    specs = value_specs(graph)
    readers: dict[str, list[Node]] = {}
    for node in graph.nodes:
        for name in node_inputs(node):
            readers.setdefault(name, []).append(node)
    leaving = {n for o in graph.outputs for n in references(o)} | {v for _, v in graph.mutations}
    nodes: list[Node] = []
    averages: dict[str, Node] = {}
    for node in graph.nodes:
        window = _window(node, specs)
        if window is not None and node.op == "lax.reduce_window_max":
            nodes += _maxima(node, window, specs)
        elif window is not None and _average(node, window, readers, leaving) is not None:
            averages[node.outputs[0].name] = node
        elif node.op == "lax.div" and (source := _first(node)) in averages:
            found = _window(averages[source], specs) or {}
            nodes.append(_pool("layer.avg_pool", averages[source].argument("x"), found, node))
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _first(node: Node) -> str:
    operand = node.arguments[0][1]
    return operand.name if isinstance(operand, Ref) else ""


def _window(node: Node, specs: dict[str, TensorSpec]) -> dict[str, Any] | None:
    """Sizes, strides, padding and dilation over the image axes; None if the node is no pooling."""
    if node.op not in ("lax.reduce_window_max", "lax.reduce_window_sum"):
        return None
    arguments: dict[str, Any] = dict(node.arguments)
    spec = specs.get(_first(node))
    sizes, strides, padding = (arguments[n] for n in ("window_dimensions", "window_strides", "padding"))
    if spec is None or spec.ndim not in (3, 4, 5) or not spec.dtype.startswith(("float", "bfloat")):
        return None
    plain = sizes[:2] == (1, 1) and strides[:2] == (1, 1) and set(padding[:2]) == {(0, 0)}
    if not plain or set(arguments["base_dilation"]) != {1} or min(min(pair) for pair in padding) < 0:
        return None
    return {
        "sizes": sizes[2:], "strides": strides[2:], "padding": padding[2:], "dilation": arguments["window_dilation"][2:]
    }  # fmt: skip


def _symmetric(window: dict[str, Any]) -> bool:
    return all(low == high and 2 * low <= k for (low, high), k in zip(window["padding"], window["sizes"], strict=True))


def _maxima(node: Node, window: dict[str, Any], specs: dict[str, TensorSpec]) -> list[Node]:
    if _symmetric(window):
        return [_pool("layer.max_pool", node.argument("x"), window, node)]
    source = _first(node)
    spec = specs[source]
    pairs: Sequence[tuple[int, int]] = window["padding"]
    if any(not isinstance(size, int) for size in spec.shape[2:]):
        return [node]
    sizes = tuple(s + low + high for s, (low, high) in zip(spec.shape[2:], pairs, strict=True))  # type: ignore[operator]
    padded = Value(f"{source}_padded_{node.outputs[0].name}", TensorSpec((*spec.shape[:2], *sizes), spec.dtype))
    flat: Operand = tuple(size for pair in reversed(pairs) for size in pair)
    arguments = (("x", Ref(source)), ("padding", flat), ("value", -math.inf))
    pad = Node("layer.pad", arguments, (padded,), origin=node.origin)
    unpadded = window | {"padding": tuple((0, 0) for _ in pairs)}
    return [pad, _pool("layer.max_pool", Ref(padded.name), unpadded, node)]


def _pool(op: str, source: Operand, window: dict[str, Any], node: Node) -> Node:
    padding = tuple(low for low, _ in window["padding"])
    arguments: dict[str, Operand] = {
        "x": source, "sizes": window["sizes"], "strides": window["strides"], "padding": padding
    }  # fmt: skip
    if op == "layer.max_pool":
        arguments["dilation"] = window["dilation"]
    return Node(op, tuple(arguments.items()), node.outputs, origin=node.origin)


def _average(node: Node, window: dict[str, Any], readers: dict[str, list[Node]], leaving: set[str]) -> Node | None:
    """The division by the size of the window, if that is all that a sum is for."""
    name = node.outputs[0].name
    if node.op != "lax.reduce_window_sum" or name in leaving or len(readers.get(name, [])) != 1:
        return None
    reader = readers[name][0]
    if reader.op != "lax.div" or _first(reader) != name or set(window["dilation"]) != {1} or not _symmetric(window):
        return None
    by = reader.argument("y")
    return reader if isinstance(by, int | float) and by == math.prod(window["sizes"]) else None
