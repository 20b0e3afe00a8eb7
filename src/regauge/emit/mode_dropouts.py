"""Dropouts of JAX that follow the mode, in the graph of evaluation too, so that both modes are the same text.

A trace in evaluation holds no dropout. Where evaluation has a graph of its own, because some module does something
else there, every other module would be written twice but for its dropouts, which torch's modules switch off themselves.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

from regauge.emit.names import unique
from regauge.emit.scopes import Item, Scope, build_scopes
from regauge.ir.dropouts import DROPPING_ATTENTION
from regauge.ir.graph import Graph, Node, Ref, Value, free_values, node_inputs, references

Pairs = Callable[[Scope, Scope], Iterator[tuple[Scope, Scope]]]
_DROPOUT = "layer.dropout"
_DROPS = ("rate", "shared", "attribute", "follows")


def with_dropouts_of(training: Graph, evaluation: Graph, pairs: Pairs) -> Graph:
    """The graph of evaluation with the dropouts of training, in calls that are the same but for them.

    Args:
        training: the graph in training.
        evaluation: that in evaluation; its values have other names.
        pairs: of the calls that both make.
    """
    found = _Same(training, evaluation)
    for ours, theirs in pairs(build_scopes(training), build_scopes(evaluation)):
        found.compare(ours, theirs)
    return found.evaluation()


class _Same:
    """What is the same in two graphs, found call by call."""

    def __init__(self, training: Graph, evaluation: Graph) -> None:
        self._training, self._evaluation = training, evaluation
        self._made = {value.name: n for n, node in enumerate(evaluation.nodes) for value in node.outputs}
        self._names: dict[str, str] = {}  # values in evaluation by what they are called in training
        self._dropping: dict[int, Node] = {}  # attention in evaluation, as it is in training
        self._places: list[tuple[int, Node]] = []  # dropouts, and where they stand in evaluation

    def compare(self, ours: Scope, theirs: Scope) -> None:
        """Note what two calls share, unless one does what the other does not."""
        kept = [item for item in ours.items if _dropout(item) is None]
        if _operators(kept) != _operators(theirs.items):
            return
        for item, other in zip(kept, theirs.items, strict=True):
            if isinstance(item, Node) and isinstance(other, Node):
                self._names |= {a.name: b.name for a, b in zip(item.outputs, other.outputs, strict=False)}
                given = dict(item.arguments)
                if item.op == DROPPING_ATTENTION and given.get("follows"):
                    self._dropping[id(other)] = other.with_arguments(**{n: given[n] for n in _DROPS if n in given})
        position = 0
        for item in ours.items:
            node = _dropout(item)
            if node is None:
                position += 1
            elif (at := self._place(theirs.items, position)) is not None:
                self._places.append((at, node))

    def _place(self, items: Sequence[Item], position: int) -> int | None:
        """The place in evaluation before an item of a call, or behind the last; None inside of bodies."""
        behind = position == len(items)
        made = _results(items[position - behind]) if items else []
        found = [self._made[name] for name in made if name in self._made]
        return None if not found else max(found) + 1 if behind else min(found)

    def evaluation(self) -> Graph:
        """The graph of evaluation with all that was found; a dropout takes the name of the value that it drops."""
        graph = self._evaluation
        chosen = self._chosen()
        taken = {*self._made, *(v.name for v in graph.inputs), *(weight.value for weight in graph.weights)}
        whole = {source: unique(f"{source}_whole", taken) for _, source, _ in chosen}
        nodes: list[Node] = []
        for position, node in enumerate((*graph.nodes, None)):
            for n, (at, source, dropout) in enumerate(chosen):
                if at == position:
                    again = source in {later for _, later, _ in chosen[n + 1 :]}
                    result = unique(f"{source}_dropped", taken) if again else source
                    value = Value(result, dropout.outputs[0].spec)
                    nodes.append(replace(dropout.with_arguments(x=Ref(whole[source])), outputs=(value,)))
                    whole[source] = result
                    taken.add(result)
            if node is not None:
                made = tuple(replace(value, name=whole.get(value.name, value.name)) for value in node.outputs)
                nodes.append(replace(self._dropping.get(id(node), node), outputs=made))
        return replace(graph, nodes=tuple(nodes))

    def _chosen(self) -> list[tuple[int, str, Node]]:
        """Places in evaluation, the values that are dropped there, and the dropouts, in order."""
        first: dict[str, int] = {}
        for position, node in enumerate(self._evaluation.nodes):
            for name in _read(node):
                first.setdefault(name, position)
        alone, chosen = self._read_by_dropout_alone(), []
        for at, node in sorted(self._places, key=lambda place: place[0]):
            read = node_inputs(node)[0]
            source = self._names.get(read, "")
            if read in alone and self._made.get(source, at) < at <= first.get(source, at):
                chosen.append((at, source, node))
                self._names[node.outputs[0].name] = source
        return chosen

    def _read_by_dropout_alone(self) -> set[str]:
        """The values in training that nothing reads but one dropout; in evaluation all read its result."""
        readers: dict[str, list[str]] = {}
        for node in self._training.nodes:
            for name in _read(node):
                readers.setdefault(name, []).append(node.op)
        leaving = {name for operand in self._training.outputs for name in references(operand)}
        leaving |= {value for _, value in self._training.mutations}
        return {name for name, ops in readers.items() if ops == [_DROPOUT] and name not in leaving}


def _dropout(item: Item) -> Node | None:
    """The dropout that follows the mode, where a call is one."""
    if not isinstance(item, Scope) or len(item.items) != 1:
        return None
    (node,) = item.items
    found = isinstance(node, Node) and node.op == _DROPOUT and dict(node.arguments).get("follows")
    return node if found and isinstance(node, Node) else None


def _operators(items: Sequence[Item]) -> list[str]:
    return [item.op if isinstance(item, Node) else item.step.call for item in items]


def _results(item: Item) -> list[str]:
    """The values that an operator makes, or a call and those inside it, in their order."""
    nodes = [item] if isinstance(item, Node) else list(item.nodes())
    return [value.name for node in nodes for value in node.outputs]


def _read(node: Node) -> list[str]:
    """The values that an operator reads, in its bodies too."""
    return [*node_inputs(node), *(name for body in node.bodies for name in free_values(body))]
