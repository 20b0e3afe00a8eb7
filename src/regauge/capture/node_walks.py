"""A pass over nodes and those of their bodies that replaces some of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field, replace

from regauge.capture.selected_parts import Arguments
from regauge.ir.graph import Graph, Node, Origin, TensorSpec, Value, with_bodies


@dataclass
class Walk:
    """Makes the nodes of a pass; `take` says what becomes of one.

    Attributes:
        specs: every value by its name; at first the inputs and weights of the graph.
        unique: makes names of new values.
        nodes: that are made.
        made_by: the node of the original that made a value.
    """

    specs: dict[str, Value]
    unique: Callable[[str], str]
    nodes: list[Node] = field(default_factory=list)
    made_by: dict[str, Node] = field(default_factory=dict)

    def take(self, node: Node) -> bool:
        """Note or convert a node; False for one that stays as it is."""
        raise NotImplementedError

    def all(self, nodes: Iterable[Node]) -> None:
        """Convert nodes, and those of their bodies."""
        for node in nodes:
            self.specs.update({value.name: value for value in node.outputs})
            self.made_by.update({value.name: node for value in node.outputs})
            if node.bodies:
                self.nodes.append(with_bodies(node, [self._body(body) for body in node.bodies]))
            elif not self.take(node):
                self.nodes.append(node)

    def made(self, op: str, arguments: Arguments, name: str, spec: TensorSpec, origin: Origin) -> Value:
        """Make a node with one result, whose name begins so."""
        value = Value(self.unique(name), spec)
        self.specs[value.name] = value
        self.nodes.append(Node(op, arguments, (value,), origin=origin))
        return value

    def _body(self, body: Graph) -> Graph:
        around, self.nodes = self.nodes, []
        self.specs.update({value.name: value for value in body.inputs})
        self.all(body.nodes)
        made, self.nodes = self.nodes, around
        return replace(body, nodes=tuple(made))
