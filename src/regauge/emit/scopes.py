"""From a flat graph to the tree of module calls that the person wrote.

A `Scope` is one call of one module: the operators that ran in it and the calls that it made, in order, with the
values that enter and leave. Everything that emission prints follows this tree.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field
from typing import Union

from regauge.emit.carried_sizes import carry_sizes
from regauge.ir.graph import Graph, ModuleStep, Node, WeightSpec, node_inputs, references

Item = Union[Node, "Scope"]


@dataclass(eq=False)
class Scope:
    """One call of a module.

    Attributes:
        step: the module and the call; the root has path "".
        items: operators and calls, in order.
        inputs: values made outside that are read inside (also weights that the module does not own).
        outputs: values made inside that are read outside, in order of their making.
    """

    step: ModuleStep
    items: list[Item] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    outputs: list[str] = field(default_factory=list)

    @property
    def path(self) -> str:
        return self.step.path

    def nodes(self) -> Iterator[Node]:
        """All operators in this call and in the calls that it makes."""
        for item in self.items:
            if isinstance(item, Node):
                yield item
            else:
                yield from item.nodes()

    def scopes(self) -> Iterator[Scope]:
        """All calls inside this one, outermost first, without itself."""
        for item in self.items:
            if isinstance(item, Scope):
                yield item
                yield from item.scopes()


def item_inputs(item: Item) -> list[str]:
    """Values that an item reads."""
    return item.inputs if isinstance(item, Scope) else node_inputs(item)


def item_outputs(item: Item) -> list[str]:
    """Values that an item makes and others may read."""
    return item.outputs if isinstance(item, Scope) else [value.name for value in item.outputs]


def owns(path: str, weight: str) -> bool:
    """Whether the module at `path` holds the weight, itself or in a child."""
    return path == "" or weight.startswith(path + ".")


def modules_of(name: str) -> list[str]:
    """The modules that a module or weight is in, from the outermost, without the root and itself."""
    parts = name.split(".")
    return [".".join(parts[:depth]) for depth in range(1, len(parts))]


def weights_below(graph: Graph) -> dict[str, list[WeightSpec]]:
    """The weights that each module has, itself or in a child, by its path; the root, which has all, is left out."""
    found: dict[str, list[WeightSpec]] = {}
    for weight in graph.weights:
        for path in modules_of(weight.name):
            found.setdefault(path, []).append(weight)
    return found


def build_scopes(graph: Graph) -> Scope:
    """The tree of module calls of a graph; `connect` has been applied to it."""
    root_steps = [n.origin.modules[0] for n in graph.nodes if n.origin.modules]
    root = Scope(root_steps[0] if root_steps else ModuleStep("", "Model", ""))
    stack: list[Scope] = [root]
    for node in graph.nodes:
        steps = [step for step in node.origin.modules if step.path]
        depth = 0
        while depth < len(steps) and depth + 1 < len(stack) and stack[depth + 1].step.call == steps[depth].call:
            depth += 1
        del stack[depth + 1 :]
        for step in steps[depth:]:
            scope = Scope(step)
            stack[-1].items.append(scope)
            stack.append(scope)
        stack[-1].items.append(node)
    _join_torn_calls(root)
    connect(root, graph)
    return root


def splice(parent: Scope, child: Scope) -> None:
    """Put the items of a call in its place: the call disappears, its operators stay."""
    at = parent.items.index(child)
    parent.items[at : at + 1] = child.items


def _join_torn_calls(scope: Scope) -> None:
    """One call whose operators are not consecutive would be printed twice: its parts go into the parent instead."""
    seen: dict[str, list[Scope]] = {}
    for item in scope.items:
        if isinstance(item, Scope):
            seen.setdefault(item.step.call, []).append(item)
    for parts in seen.values():
        if len(parts) > 1:
            for part in parts:
                splice(scope, part)
            _join_torn_calls(scope)
            return
    for item in scope.items:
        if isinstance(item, Scope):
            _join_torn_calls(item)


def connect(root: Scope, graph: Graph, literals: Collection[str] = ()) -> None:
    """Fill inputs and outputs of every scope, from the inside out; `literals` are written wherever they are read."""
    foreign = {spec.value: spec.name for spec in graph.weights if spec.value}
    wanted = {name for operand in graph.outputs for name in references(operand)}
    mutated = {value: weight for weight, value in graph.mutations}
    root.inputs = [value.name for value in graph.inputs]
    root.outputs = []
    _connect(root, foreign, wanted, mutated, literals)
    carry_sizes(root, graph, foreign)
    root.outputs = list(dict.fromkeys(name for operand in graph.outputs for name in references(operand)))


def _connect(
    scope: Scope, weights: dict[str, str], used_outside: set[str], mutated: dict[str, str], literals: Collection[str]
) -> None:
    readers: dict[str, int] = {}
    for item in scope.items:
        names = {n for node in (item.nodes() if isinstance(item, Scope) else [item]) for n in node_inputs(node)}
        for name in names:
            readers[name] = readers.get(name, 0) + 1
    for item in scope.items:
        if not isinstance(item, Scope):
            continue
        made = {value.name for node in item.nodes() for value in node.outputs}
        read_inside = {n for node in item.nodes() for n in node_inputs(node)}
        read_by_others = {n for n in made if readers.get(n, 0) > (1 if n in read_inside else 0)}
        # the new value of a buffer stays inside the module that owns the buffer
        stored_outside = {n for n in made if n in mutated and not owns(item.path, mutated[n])}
        inner_used = used_outside | read_by_others | stored_outside
        _connect(item, weights, inner_used, mutated, literals)
        order = [value.name for node in item.nodes() for value in node.outputs]
        item.outputs = [n for n in order if n in inner_used]
        reads = [n for node in item.nodes() for n in node_inputs(node)]
        item.inputs = [
            n
            for n in dict.fromkeys(reads)
            if n not in made and n not in literals and not (n in weights and owns(item.path, weights[n]))
        ]
