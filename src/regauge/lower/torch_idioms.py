"""What JAX spells out and torch leaves unsaid: arrays brought to one shape before they meet, and reshapes by name.

The primitives of lax do not broadcast, so a bias is reshaped and every number is an array. torch broadcasts on its own:
operands lose what broadcasting gives back. A reshape that joins axes, splits one or adds one gets its name.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from regauge.dtypes import is_float
from regauge.ir.graph import Dim, DType, Graph, Node, Operand, Ref, Sym, TensorSpec, Value, renamed
from regauge.lower.channels_last import without_dead_nodes
from regauge.lower.lax_graphs import Makers
from regauge.lower.plan import value_specs

_ARITHMETIC = frozenset({f"lax.{n}" for n in ("add", "sub", "mul", "div", "max", "min", "pow", "add_any")})
_COMPARISONS = frozenset({f"lax.{n}" for n in ("eq", "ne", "lt", "le", "gt", "ge")})
_SELECT = "lax.select_n"

Shape = tuple[Dim, ...]


def torch_idioms(graph: Graph) -> Graph:
    """The graph as torch says it; the same function."""
    return _named_reshapes(without_dead_nodes(_Broadcasts(graph).run()))


class _Broadcasts:
    """Operands of elementwise operators without what broadcasting gives back."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.specs = value_specs(graph)
        self.makers = {value.name: node for node in graph.nodes for value in node.outputs}
        self.sizes = Makers(graph)
        self.nodes: list[Node] = []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            floats = node.op in _ARITHMETIC and is_float(node.outputs[0].spec.dtype)
            if floats or node.op in _COMPARISONS:
                node = self._binary(node)
            elif node.op == _SELECT:
                node = self._selected(node)
            self.nodes.append(node)
        return replace(self.graph, nodes=tuple(self.nodes))

    def _binary(self, node: Node) -> Node:
        for name, other in (("x", "y"), ("y", "x")):
            operand, partner = node.argument(name), node.argument(other)
            if not isinstance(operand, Ref) or not isinstance(partner, Ref):
                continue
            size = self._size(operand)
            number = self._number(operand) if size is None else size
            if number is not None and self.specs[partner.name].shape == node.outputs[0].spec.shape:
                return node.with_arguments(**{name: number})
            narrow = self._narrow(operand, self.specs[partner.name].shape, node)
            if narrow is not None:
                node = node.with_arguments(**{name: narrow})
        return node

    def _selected(self, node: Node) -> Node:
        """Numbers among the cases; all of them need a dtype, and a condition with the shape of the result."""
        cases = node.argument("cases")
        if not isinstance(cases, tuple) or not isinstance(node.argument("which"), Ref):
            return node
        numbers = [self._number(case) if isinstance(case, Ref) else None for case in cases]
        arrays = [case for case, number in zip(cases, numbers, strict=True) if number is None]
        if not all(isinstance(case, Ref) for case in arrays):
            return node
        kept: Operand = tuple(case if n is None else n for case, n in zip(cases, numbers, strict=True))
        if arrays:
            return node.with_arguments(cases=kept)
        out, which = node.outputs[0].spec, node.argument("which")
        whole = isinstance(which, Ref) and self.specs[which.name].shape == out.shape
        return node.with_arguments(cases=kept, dtype=DType(out.dtype)) if whole else node

    def _size(self, operand: Ref) -> Sym | None:
        """The symbolic size that fills an array of floats."""
        spread = self.makers.get(operand.name)
        if spread is not None and spread.op == "lax.broadcast_in_dim":
            return self.sizes.size(spread.argument("operand"))
        return self.sizes.size(operand)

    def _number(self, operand: Ref) -> bool | int | float | None:
        """The number that fills an array, in a dtype in which Python's number is the same."""
        maker = self.makers.get(operand.name)
        if maker is None or maker.op != "lax.broadcast_in_dim":
            return None
        number, dtype = maker.argument("operand"), self.specs[operand.name].dtype
        plain = is_float(dtype) or dtype in ("bool", "int32", "int64")
        return number if plain and isinstance(number, bool | int | float) else None

    def _narrow(self, operand: Ref, partner: Shape, node: Node) -> Ref | None:
        """The operand with fewer elements or axes, where broadcasting makes the same of it."""
        maker, wanted = self.makers.get(operand.name), node.outputs[0].spec.shape
        if maker is None or maker.op not in ("lax.broadcast_in_dim", "lax.reshape"):
            return None
        source = maker.arguments[0][1]
        if not isinstance(source, Ref):
            return None
        given, shape = self.specs[source.name].shape, self.specs[operand.name].shape
        axes = self._axes(maker, given, shape)
        if axes is None:
            return None
        if axes == tuple(range(len(shape) - len(given), len(shape))) and _broadcast(given, partner) == wanted:
            return source
        thin: Shape = tuple(given[axes.index(axis)] if axis in axes else 1 for axis in range(len(shape)))
        if thin == shape or _broadcast(thin, partner) != wanted:
            return None
        value = Value(f"{operand.name}_thin_{node.outputs[0].name}", TensorSpec(thin, self.specs[operand.name].dtype))
        self.nodes.append(Node("lax.reshape", _reshape(source, thin), (value,), origin=maker.origin))
        self.specs[value.name] = value.spec
        return Ref(value.name)

    @staticmethod
    def _axes(maker: Node, given: Shape, shape: Shape) -> tuple[int, ...] | None:
        """Where the axes of the source are in the result; None if a reshape does more than adding axes of one."""
        if maker.op == "lax.broadcast_in_dim":
            found = maker.argument("broadcast_dimensions")
            return tuple(axis for axis in found if isinstance(axis, int)) if isinstance(found, tuple) else None
        axes, position = [], 0
        for size in given:
            while position < len(shape) and shape[position] != size:
                if shape[position] != 1:
                    return None
                position += 1
            axes.append(position)
            position += 1
        rest = shape[position:]
        return tuple(axes) if position <= len(shape) and all(size == 1 for size in rest) else None


def _broadcast(a: Shape, b: Shape) -> Shape | None:
    """The shape of two arrays together, as torch has it."""
    rank = max(len(a), len(b))
    first: Shape = (1,) * (rank - len(a)) + a
    second: Shape = (1,) * (rank - len(b)) + b
    if any(x != y and 1 not in (x, y) for x, y in zip(first, second, strict=True)):
        return None
    return tuple(y if x == 1 else x for x, y in zip(first, second, strict=True))


def _named_reshapes(graph: Graph) -> Graph:
    specs = value_specs(graph)
    nodes: list[Node] = []
    same: dict[str, str] = {}
    for node in graph.nodes:
        node = replace(node, arguments=tuple((key, renamed(operand, same)) for key, operand in node.arguments))
        source = node.arguments[0][1] if node.arguments else None
        plain = node.op == "lax.reshape" and node.argument("dimensions") is None
        grows = node.op == "lax.broadcast_in_dim" and _adds_ones(node, specs)
        if isinstance(source, Ref) and (plain or grows):
            sizes = node.outputs[0].spec.shape
            named = _named(node, source, specs[source.name].shape, sizes)
            unnamed = grows and named is node
            node = replace(node, op="lax.reshape", arguments=_reshape(source, sizes)) if unnamed else named
        nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _adds_ones(node: Node, specs: dict[str, TensorSpec]) -> bool:
    """Whether a broadcast does no more than adding axes of one."""
    source, axes = node.arguments[0][1], node.argument("broadcast_dimensions")
    if not isinstance(source, Ref) or not isinstance(axes, tuple):
        return False
    shape = node.outputs[0].spec.shape
    kept = all(shape[a] == size for a, size in zip(axes, specs[source.name].shape, strict=True) if isinstance(a, int))
    return kept and all(shape[axis] == 1 for axis in range(len(shape)) if axis not in axes)


def _named(node: Node, source: Ref, given: Shape, wanted: Shape) -> Node:
    """A reshape as `flatten`, `unflatten`, `unsqueeze` or `squeeze`, where it is one of these."""
    if len(wanted) == len(given) + 1:
        axis = _first_difference(given, wanted)
        if wanted[axis] == 1 and given[axis:] == wanted[axis + 1 :]:
            return _as("layer.unsqueeze", node, source, axis=-1 if axis == len(given) else axis)
    if len(wanted) == len(given) - 1:
        axis = _first_difference(wanted, given)
        if given[axis] == 1 and wanted[axis:] == given[axis + 1 :]:
            return _as("layer.squeeze", node, source, axis=-1 if axis == len(wanted) else axis)
    if len(wanted) < len(given):
        found = _joined(given, wanted)
        if found is not None:
            start, end = found
            return _as("layer.flatten", node, source, start=start, end=-1 if end == len(given) - 1 else end)
    if len(wanted) > len(given):
        found = _joined(wanted, given)
        if found is not None:
            axis, end = found
            sizes: Operand = wanted[axis : end + 1]
            return _as("layer.unflatten", node, source, axis=-1 if axis == len(given) - 1 else axis, sizes=sizes)
    return node


def _reshape(source: Ref, sizes: Shape) -> tuple[tuple[str, Operand], ...]:
    return ("operand", source), ("new_sizes", sizes), ("dimensions", None)


def _as(op: str, node: Node, source: Ref, **arguments: Operand) -> Node:
    return replace(node, op=op, arguments=(("x", source), *arguments.items()))


def _first_difference(short: Sequence[Dim], long: Sequence[Dim]) -> int:
    return next((axis for axis, size in enumerate(short) if size != long[axis]), len(short))


def _joined(many: Shape, few: Shape) -> tuple[int, int] | None:
    """The axes (first, last) of `many` that are one axis of `few`, all others being the same; sizes fixed."""
    count = len(many) - len(few)
    for axis in range(len(few)):
        part = many[axis : axis + count + 1]
        if many[:axis] != few[:axis] or many[axis + count + 1 :] != few[axis + 1 :]:
            continue
        if any(isinstance(size, Sym) for size in part) or 1 in part:
            continue
        if math.prod(size for size in part if isinstance(size, int)) == few[axis]:
            return axis, axis + count
    return None
