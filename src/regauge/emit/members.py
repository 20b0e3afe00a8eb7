"""What each emitted class holds: sub-modules, weights, dropouts, with the attribute that each gets.

A module of the original is one of four things here: a recognised layer, a `Sequential` of such, a class of its own,
or *spliced*: its operators are written into its parent (activations, containers, pooling).
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Literal

from regauge.emit.dropouts import dropout_rate
from regauge.emit.layers import Context, Layer, Layout, recognise
from regauge.emit.names import identifier, unique
from regauge.emit.scopes import Scope, connect, owns, splice
from regauge.emit.sequential import is_chain
from regauge.ir.graph import Graph, Node, WeightSpec, node_inputs
from regauge.lower.plan import value_specs

Kind = Literal["layer", "class", "sequential"]
_SMALL = 3  # operators of a module without weights that are written into its parent


@dataclass(eq=False)
class Member:
    """A sub-module of an emitted class, or an element of a list of them."""

    attribute: str
    index: int | None
    kind: Kind
    scope: Scope
    layer: Layer | None = None

    @property
    def target(self) -> str:
        return self.attribute if self.index is None else f"{self.attribute}.{self.index}"


@dataclass(eq=False)
class Holder:
    """The contents of one module instance.

    Attributes:
        members: sub-modules by their path in the original.
        weights: weights held directly, by name in the original -> attribute.
        dropouts: attribute by the index of the operator (in the call's items) that drops, with its rate.
        rng: attribute of the random stream that other random operators draw from, or an empty string.
    """

    scope: Scope
    members: dict[str, Member] = field(default_factory=dict)
    weights: dict[str, str] = field(default_factory=dict)
    dropouts: dict[int, tuple[str, float]] = field(default_factory=dict)
    rng: str = ""

    def taken(self) -> set[str]:
        """All attributes of the module."""
        names = {member.attribute for member in self.members.values()} | set(self.weights.values())
        return names | {attribute for attribute, _ in self.dropouts.values()}


def joined(training: Holder, evaluation: Holder) -> Holder:
    """The contents of a module that both modes need."""
    members = {**evaluation.members, **training.members}
    order = [*training.members, *(path for path in evaluation.members if path not in training.members)]
    return Holder(
        training.scope,
        {path: members[path] for path in order},
        {**evaluation.weights, **training.weights},
        training.dropouts,
        training.rng or evaluation.rng,
    )


class Structure:
    """Decides for every module call what it becomes, and where each weight lives."""

    def __init__(self, graph: Graph, root: Scope, reserved: Iterable[str] = ()) -> None:
        self.graph = graph
        self.root = root
        self.context = Context(
            {w.value: w for w in graph.weights if w.value},
            value_specs(graph),
            frozen=any(finding.code == "C121" for finding in graph.findings),
        )
        self.reserved = set(reserved)
        self.kinds: dict[Scope, Kind] = {}
        self.layers: dict[Scope, Layer] = {}
        self.holders: dict[Scope, Holder] = {}
        self._classify(root)
        connect(root, graph)
        self._drop_unequal_calls()
        self._hold(root)

    # classification ------------------------------------------------------------------------------------------

    def _classify(self, scope: Scope) -> None:
        for child in [item for item in scope.items if isinstance(item, Scope)]:
            layer = recognise(child, self.context)
            if layer is not None:
                self.kinds[child], self.layers[child] = "layer", layer
                continue
            self._classify(child)
            if is_chain(child, self.kinds, self.context):
                self.kinds[child] = "sequential"
            elif self._is_spliced(child):
                splice(scope, child)
            else:
                self.kinds[child] = "class"

    def _is_spliced(self, scope: Scope) -> bool:
        if not scope.items:
            return True
        calls = any(isinstance(item, Scope) for item in scope.items)
        owned = any(
            owns(scope.path, self.context.weights[name].name)
            for node in scope.nodes()
            for name in node_inputs(node)
            if name in self.context.weights and self.context.weights[name].tied_to is None
        )
        is_torch = scope.step.type.startswith("torch.nn.")
        if is_torch and scope.step.type.endswith((".Sequential", ".ModuleList")):
            return True
        if owned or calls:
            return False
        return is_torch or len(scope.items) <= _SMALL

    def _drop_unequal_calls(self) -> None:
        """A module that is called more than once must be one thing: calls that differ are spliced."""
        by_path: dict[str, list[Scope]] = {}
        for scope in self.root.scopes():
            by_path.setdefault(scope.path, []).append(scope)
        for calls in by_path.values():
            if len({(self.kinds[s], len(s.items), len(s.inputs), len(s.outputs)) for s in calls}) > 1:
                for parent in [self.root, *self.root.scopes()]:
                    for call in calls:
                        if call in parent.items:
                            splice(parent, call)
        connect(self.root, self.graph)

    # contents ------------------------------------------------------------------------------------------------

    def _hold(self, scope: Scope) -> Holder:
        if scope in self.holders:
            return self.holders[scope]
        holder = Holder(scope)
        self.holders[scope] = holder
        calls = [item for item in scope.items if isinstance(item, Scope)]
        paths = list(dict.fromkeys(call.path for call in calls))
        names = self._attributes(scope.path, paths)
        for call in calls:
            if call.path not in holder.members:
                attribute, index = names[call.path]
                kind = self.kinds[call]
                holder.members[call.path] = Member(attribute, index, kind, call, self.layers.get(call))
            if self.kinds[call] == "class":
                self._hold(call)
            elif self.kinds[call] == "sequential":
                self._hold_chain(call)
        taken = {member.attribute for member in holder.members.values()} | self.reserved
        for spec in self._direct_weights(scope, holder):
            relative = spec.name.removeprefix(scope.path + ".") if scope.path else spec.name
            attribute = unique(identifier(relative.replace(".", "_")), taken)
            taken.add(attribute)
            holder.weights[spec.name] = attribute
        self._hold_dropouts(holder, taken)
        return holder

    def _hold_chain(self, scope: Scope) -> None:
        """nnx.Sequential keeps its parts, functions too, in the list `layers`."""
        holder = self.holders.setdefault(scope, Holder(scope))
        for position, item in enumerate(scope.items):
            if isinstance(item, Scope) and item.path not in holder.members:
                kind = self.kinds[item]
                holder.members[item.path] = Member("layers", position, kind, item, self.layers.get(item))
                if kind == "class":
                    self._hold(item)
                elif kind == "sequential":
                    self._hold_chain(item)

    def _attributes(self, path: str, children: list[str]) -> dict[str, tuple[str, int | None]]:
        """Attribute (and position in a list) of every child, from its path relative to the module."""
        relative = {c: c.removeprefix(path + ".") if path else c for c in children}
        lists: dict[str, list[int]] = {}
        for name in relative.values():
            head, _, tail = name.rpartition(".")
            if head and tail.isdigit() and "." not in head:
                lists.setdefault(head, []).append(int(tail))
        result: dict[str, tuple[str, int | None]] = {}
        taken = set(self.reserved)
        for child, name in relative.items():
            head, _, tail = name.rpartition(".")
            if head in lists and tail.isdigit() and sorted(lists[head]) == list(range(len(lists[head]))):
                result[child] = (identifier(head), int(tail))
            else:
                attribute = name.replace(".", "_")
                attribute = unique(identifier(f"layer{attribute}" if attribute[0].isdigit() else attribute), taken)
                result[child] = (attribute, None)
            taken.add(result[child][0])
        return result

    def _direct_weights(self, scope: Scope, holder: Holder) -> list[WeightSpec]:
        read = [name for item in scope.items for name in _item_reads(item)]
        found: dict[str, WeightSpec] = {}
        for name in read:
            spec = self.context.weights.get(name)
            if spec is None or spec.value in scope.inputs or not owns(scope.path, spec.name):
                continue
            if not any(owns(path, spec.name) for path in holder.members):
                found[spec.name] = spec
        return list(found.values())

    def _hold_dropouts(self, holder: Holder, taken: set[str]) -> None:
        for position, item in enumerate(holder.scope.items):
            if not isinstance(item, Node):
                continue
            rate = dropout_rate(item)
            if rate is None:
                continue
            base = "dropout" if item.op == "aten.dropout.default" else "attention_dropout"
            attribute = unique(base, taken)
            taken.add(attribute)
            holder.dropouts[position] = (attribute, rate)

    # where weights live --------------------------------------------------------------------------------------

    def locate(self, scope: Scope, weight: str) -> tuple[list[str], Layout]:
        """Attribute path of a weight inside a module, and the layout in which it is stored there."""
        holder = self.holders[scope]
        if weight in holder.weights:
            return [holder.weights[weight]], ()
        for path, member in holder.members.items():
            if not owns(path, weight):
                continue
            if member.layer is not None:
                leaf = weight.removeprefix(path + ".")
                attribute, layout = member.layer.weights[leaf]
                return [member.target, attribute], layout
            inner, layout = self.locate(member.scope, weight)
            return [member.target, *inner], layout
        raise KeyError(weight)


def _item_reads(item: Node | Scope) -> list[str]:
    if isinstance(item, Node):
        return node_inputs(item)
    return [*item.inputs, *(name for node in item.nodes() for name in node_inputs(node))]
