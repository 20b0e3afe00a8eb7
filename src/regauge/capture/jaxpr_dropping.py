"""Attention whose weights are dropped, as one node: `flax.dot_product_attention` with a rate.

A call of the library leaves the same nodes with and without dropout, but for the dropout itself. So attention is looked
for without it, and takes as arguments what stood between its weights and the product with the values. Training and
evaluation are then one call, as they are in torch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from regauge.ir.dropouts import DROPPING_ATTENTION
from regauge.ir.graph import Node, Operand, node_inputs, with_names

_DROPOUT = "layer.dropout"
_MOVES = frozenset({"lax.transpose", "lax.reshape", "lax.squeeze", "lax.expand_dims"})

Fold = Callable[[tuple[Node, ...]], tuple[Node, ...]]


def with_dropouts(nodes: tuple[Node, ...], fold: Fold, needed: set[str]) -> tuple[Node, ...]:
    """The nodes with calls of attention folded, whether or not they drop.

    Args:
        nodes: without dead ones.
        fold: makes one node of each call of attention without dropout.
        needed: values that leave the graph.
    """
    readers: dict[str, list[Node]] = {}
    for node in nodes:
        for name in node_inputs(node):
            readers.setdefault(name, []).append(node)
    made = {value.name for node in nodes for value in node.outputs} - needed
    wanted = {node.outputs[0].name: node for node in nodes if _may_belong(node, readers, made)}
    while wanted:
        folded = fold(_without(nodes, wanted))
        inside = {name: call for name, node in wanted.items() if (call := _call(node, folded, readers)) is not None}
        if len(inside) == len(wanted):
            by_result = {call: wanted[name] for name, call in inside.items()}
            return tuple(_dropping(node, by_result) for node in folded)
        wanted = {name: node for name, node in wanted.items() if name in inside}
    return fold(nodes)


def _may_belong(node: Node, readers: Mapping[str, Sequence[Node]], made: set[str]) -> bool:
    """Whether a node is a dropout between two others, the second a product, and an attribute of the module around."""
    if node.op != _DROPOUT or len(node.origin.modules) < 2 or not made.issuperset(node_inputs(node)):
        return False
    name, reading = node.outputs[0].name, readers.get(node.outputs[0].name, ())
    return name in made and [n.op for n in reading] == ["lax.dot_general"] and _attribute(node).isidentifier()


def _attribute(node: Node) -> str:
    """The attribute of a dropout in the module that calls it; with dots where others hold it."""
    outer, own = node.origin.modules[-2:]
    return own.path.removeprefix(f"{outer.path}.") if outer.path else own.path


def _without(nodes: Sequence[Node], dropouts: Mapping[str, Node]) -> tuple[Node, ...]:
    """The nodes without these dropouts, by the names of their results."""
    sources = {name: node_inputs(node)[0] for name, node in dropouts.items()}
    return tuple(with_names(n, sources) for n in nodes if n.op != _DROPOUT or n.outputs[0].name not in dropouts)


def _call(dropout: Node, folded: Sequence[Node], readers: Mapping[str, Sequence[Node]]) -> str | None:
    """The result of the call of attention whose weights are dropped; None if they are no call's."""
    if any(value.name in node_inputs(dropout) for node in folded for value in node.outputs):
        return None  # its weights are made outside of all calls
    results = {node.outputs[0].name for node in folded if node.op == DROPPING_ATTENTION}
    (following,) = readers[dropout.outputs[0].name]
    while following.outputs[0].name not in results:  # what comes after the product only moves what it gives
        after = readers.get(following.outputs[0].name, ())
        if len(after) != 1 or after[0].op not in _MOVES:
            return None
        (following,) = after
    return following.outputs[0].name


def _dropping(node: Node, dropouts: Mapping[str, Node]) -> Node:
    dropout = dropouts.get(node.outputs[0].name) if node.outputs else None
    if dropout is None:
        return node
    given = dict(dropout.arguments)
    added: dict[str, Operand] = {"rate": given["p"], "attribute": _attribute(dropout)}
    if given.get("shared"):
        added["shared"] = True
    return node.with_arguments(**added)
