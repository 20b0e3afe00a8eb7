"""Nodes of a graph as keys that are equal where two captures of one function are the same code."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import count
from typing import Any

from regauge.ir.graph import Graph, Node, Operand, Ref, Value


def node_keys(graph: Graph, nodes: Sequence[Node], names: Mapping[str, str] | None = None) -> list[Any]:
    """The nodes with values named by the order of their making, and how many leaves the outputs have.

    Args:
        graph: which names the weights.
        nodes: of it, perhaps changed.
        names: what to call inputs whose names are not the same in two captures.
    """
    numbers: dict[str, str] = {weight.value: weight.name for weight in graph.weights if weight.value}
    numbers |= names or {}

    def key(operand: Operand) -> Any:
        if isinstance(operand, Ref):
            return "value", numbers.get(operand.name, operand.name)
        if isinstance(operand, tuple):
            return tuple(key(item) for item in operand)
        return type(operand).__name__, str(operand)

    made = count()

    def number(value: Value) -> str:
        numbers[value.name] = f"%{next(made)}"
        return numbers[value.name]

    def node_key(node: Node) -> Any:
        bodies = tuple(
            (
                tuple(number(value) for value in body.inputs),
                tuple(node_key(inner) for inner in body.nodes),
                tuple(key(operand) for operand in body.outputs),
            )
            for body in node.bodies
        )
        arguments = tuple((name, key(operand)) for name, operand in node.arguments if name != "closure")
        return node.op, arguments, bodies, tuple((number(value), str(value.spec)) for value in node.outputs)

    found = [node_key(node) for node in nodes]
    return [*found, str(graph.out_tree).count("leaf")]
