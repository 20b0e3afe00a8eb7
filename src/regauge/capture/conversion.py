"""From an exported program to a graph: inputs, weights, the walk over its nodes, outputs and trees."""

from __future__ import annotations

import inspect
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import fx, nn
from torch.export import ExportedProgram
from torch.export.graph_signature import InputKind
from torch.utils import _pytree as pytree

from regauge.capture import dynamic as sizes_of_inputs
from regauge.capture import failures, weights
from regauge.capture.call_arguments import calls
from regauge.capture.functionalise import Functionaliser
from regauge.capture.memory import View
from regauge.capture.reshaped_masks import by_all_axes
from regauge.capture.selected_places import as_masks
from regauge.capture.selections import made_whole
from regauge.capture.sizes import Sizes
from regauge.ir.graph import Graph, Node, Operand, Origin, Ref, Sym, Value, node_inputs, references, without_dead
from regauge.run.protocol import flatten_tree


class Conversion:
    """One exported program on its way to a graph."""

    def __init__(self, model: nn.Module, program: ExportedProgram, name: str, asked: Collection[str] = ()) -> None:
        """
        Args:
            model: the original.
            program: what torch.export made of it.
            name: what errors call it.
            asked: inputs whose values Python asked for.
        """
        self.program = program
        self.name = name
        self.asked = asked
        self.placeholders = {node.name: node for node in program.graph.find_nodes(op="placeholder")}
        self.owned = weights.collect(model, program.graph_signature, program.constants)
        self.user = [s.arg.name for s in program.graph_signature.input_specs if s.kind is InputKind.USER_INPUT]
        self.arrays = [(n, v) for n in self.user if isinstance(v := self._value(n), torch.Tensor)]
        self.names = sizes_of_inputs.symbol_names(self.arrays, {*self.placeholders, *_parameters(model)})
        self.sizes = Sizes(self.names)
        self.written: dict[str, Origin] = {}  # inputs that are written to, and where first

    def _value(self, name: str) -> Any:
        return self.placeholders[name].meta.get("val") if name in self.placeholders else None

    def graph(self) -> tuple[Graph, dict[str, torch.Tensor]]:
        specs = {spec.name: spec for spec in self.owned.specs}
        floats = {name for name, value in self.arrays if value.is_floating_point() or value.is_complex()}
        trained = {p for p, weight in self.owned.readers.items() if specs[weight].trainable}
        walk = Functionaliser(self.sizes, floats | trained)
        held = self._take(walk, {name: spec.role for name, spec in specs.items()})
        raw = walk.walk(self.program.graph)
        self.written = walk.written
        outputs, out_tree = self._outputs(walk, raw)
        mutations = self._mutations(held)
        needed = {name for operand in outputs for name in references(operand)} | {value for _, value in mutations}
        nodes = self._nodes(walk, needed)
        read = {name for node in nodes for name in node_inputs(node)} | needed
        values = {weight: view.memory_value for weight, view in held.items() if view.memory_value in read}
        tensors = [value for _, value in self.arrays]
        return Graph(
            dialect="aten",
            inputs=tuple(Value(name, self.sizes.spec(value)) for name, value in self.arrays),
            weights=weights.with_values(self.owned.specs, values),
            nodes=nodes,
            outputs=outputs,
            mutations=mutations,
            symbols=sizes_of_inputs.symbols(tensors, self.names, self.program.range_constraints),
            in_tree=self._in_tree(),
            out_tree=out_tree,
            calls=calls(_unchanged(walk), nodes),
        ), self.owned.tensors

    def _nodes(self, walk: Functionaliser, needed: set[str]) -> tuple[Node, ...]:
        """The nodes that are needed, of which no size depends on values.

        Raises:
            CaptureError: one does.
        """
        nodes = without_dead(walk.nodes, needed)
        if not walk.data_dependent:
            return nodes
        masked = as_masks(nodes, walk.taken.values(), walk.unique)
        by_mask = without_dead(by_all_axes(masked, walk.taken.values(), walk.unique), needed)
        whole, left = made_whole(by_mask, walk.taken.values(), needed, walk.unique)
        if found := [item for item in walk.data_dependent if not item.sizes or item.sizes & left]:
            raise failures.depends_on_values(found, self.name, self.asked)
        return without_dead(whole, needed)

    def _take(self, walk: Functionaliser, roles: dict[str, str]) -> dict[str, _Held]:
        """Declare all placeholders; gives the view of each weight that has one."""
        held: dict[str, _Held] = {}
        for name, node in self.placeholders.items():
            weight = self.owned.readers.get(name)
            if weight is not None:
                if weight in held:
                    walk.hold(node, held[weight].view)
                else:
                    held[weight] = _Held(name, walk.take(node, name, f"{roles[weight]} {weight}"))
            elif isinstance(node.meta.get("val"), torch.Tensor):
                walk.take(node, name, f"input {name}")
            else:
                walk.hold(node, None)
        return held

    def _mutations(self, held: dict[str, _Held]) -> tuple[tuple[str, str], ...]:
        """Buffers that were written to, with the values that they hold after the call."""
        return tuple((w, item.view.memory.value) for w, item in held.items() if item.view.memory.version)

    # trees -----------------------------------------------------------------------------------------------------

    def _outputs(self, walk: Functionaliser, raw: tuple[Any, ...]) -> tuple[tuple[Operand, ...], Any]:
        operands = [walk.result(item) for item in raw]
        tree = pytree.tree_unflatten(list(map(_leaf, operands)), self.program.call_spec.out_spec)
        return tuple(op for op in operands if isinstance(op, Ref)), _skeleton(tree)

    def _in_tree(self) -> Any:
        arrays = {name for name, _ in self.arrays}
        signature = self.program.graph_signature.input_specs
        constants = {s.arg.name: getattr(s.arg, "value", None) for s in signature if s.kind is InputKind.USER_INPUT}
        leaves = [_Leaf(name) if name in arrays else constants[name] for name in self.user]
        args, kwargs = pytree.tree_unflatten(leaves, self.program.call_spec.in_spec)
        return _skeleton(dict(kwargs) if kwargs else tuple(args))


def _parameters(model: nn.Module) -> list[str]:
    """What forward calls its arguments, which may be containers of arrays."""
    try:
        return list(inspect.signature(model.forward).parameters)
    except (TypeError, ValueError):  # it has no signature
        return []


def _unchanged(walk: Functionaliser) -> dict[fx.Node, str]:
    """The value of each node whose memory nothing wrote to: it has been the same all the time."""
    views = {node: held for node, held in walk.env.items() if isinstance(held, View)}
    return {node: view.value for node, view in views.items() if view.value and not view.memory.version}


@dataclass(frozen=True)
class _Held:
    """A weight that the graph reads: the name of its value before the call, and its view."""

    memory_value: str
    view: Any


@dataclass(frozen=True)
class _Leaf:
    """Stands for an array in a pytree."""

    name: str


@dataclass(frozen=True)
class _Size:
    """A symbolic size in a pytree."""

    text: str


def _leaf(operand: Operand) -> Any:
    """What stands for an operand in a pytree."""
    if isinstance(operand, Ref):
        return _Leaf(operand.name)
    return _Size(operand.text) if isinstance(operand, Sym) else operand


def _skeleton(tree: Any) -> Any:
    """A skeleton whose leaves are the names that the `_Leaf` objects carry, and sizes what they are computed by."""
    skeleton, leaves = flatten_tree(tree, lambda item: isinstance(item, _Leaf | _Size))

    def named(part: Any) -> Any:
        if "leaf" in part:
            leaf = leaves[part["leaf"]]
            return {"size": leaf.text} if isinstance(leaf, _Size) else {"leaf": leaf.name}
        if "dict" in part:
            return {**part, "dict": {key: named(item) for key, item in part["dict"].items()}}
        for container in ("tuple", "list"):
            if container in part:
                return {container: [named(item) for item in part[container]]}
        return part

    return named(skeleton)
