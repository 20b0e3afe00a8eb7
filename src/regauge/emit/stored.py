"""Buffers whose old value is read after the call has changed them: it is kept under a name from the start.

A graph has no order in which state changes; emitted code stores new values at the end of a call. What the call returns,
or stores elsewhere, is read after that. In torch, storing is in place besides: views of the buffer change with it, and
what a gradient needs of it must not change at all.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from regauge.emit.lines import Line
from regauge.emit.names import identifier
from regauge.emit.scopes import Scope, owns
from regauge.emit.syntax import member_expression, shape_comment
from regauge.emit.target import target
from regauge.emit.weight_places import locate
from regauge.errors import EmitError
from regauge.ir.graph import Graph, Node, Ref, node_inputs, references

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter

# Results of these share the memory of their operand in torch, or may do so.
_VIEWS = frozenset({
    "lax.reshape", "lax.broadcast_in_dim", "lax.transpose", "lax.squeeze", "lax.expand_dims", "lax.slice", "lax.split",
    "lax.dynamic_slice", "lax.gather", "lax.copy", "lax.copy_p", "lax.stop_gradient", "lax.convert_element_type",
    "lax.optimization_barrier", "lax.real", "lax.imag", "layer.unsqueeze", "layer.squeeze", "layer.flatten",
    "layer.unflatten",
})  # fmt: skip
# Their gradients need no operand.
_SUMS = frozenset({"lax.add", "lax.sub", "lax.neg", "lax.concatenate", "lax.reduce_sum"})


# the graph -------------------------------------------------------------------------------------------------------


def made_by_none(graph: Graph) -> frozenset[str]:
    """Values that become state as they are, made by no operator: inputs, other weights, constants."""
    made = {value.name for node in graph.nodes for value in node.outputs}
    return frozenset(value for _, value in graph.mutations if value not in made)


def kept_from_start(graph: Graph, in_place: bool) -> frozenset[str]:
    """The values of the buffers whose old value must have a name.

    Args:
        graph: of the model.
        in_place: whether storing changes the memory that readers of the old value may hold.
    """
    stored = {weight for weight, _ in graph.mutations}
    buffers = {weight.value for weight in graph.weights if weight.value and weight.name in stored}
    late = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    if not in_place:
        return frozenset((buffers & late) | _read_elsewhere(graph))
    differentiable = _differentiable(graph)
    return frozenset(b for b in buffers if _is_read_late(b, graph, late, differentiable))


def _read_elsewhere(graph: Graph) -> set[str]:
    """Buffers that code reads which is not of the module that changes them: its call may come before they are read."""
    makers = {value.name: node.origin.path for node in graph.nodes for value in node.outputs}
    stored = {weight: makers[value] for weight, value in graph.mutations if value in makers}
    changed = {weight.value: stored[weight.name] for weight in graph.weights if weight.name in stored}
    return {
        name
        for node in graph.nodes
        for name in node_inputs(node)
        if name in changed and not owns(changed[name], f"{node.origin.path}.")
    }


def _is_read_late(buffer: str, graph: Graph, late: Collection[str], differentiable: Collection[str]) -> bool:
    aliases, places = {buffer}, set()
    for node, read in _readers(graph, aliases):
        places.add(node.origin.path)
        if node.op in _SUMS:
            continue
        if any(name in differentiable for name in node_inputs(node) if name not in read):
            return True
        if node.op in _VIEWS:
            aliases.update(value.name for value in node.outputs)
    return len(places) > 1 or any(alias in late for alias in aliases)


def _readers(graph: Graph, aliases: set[str]) -> Iterator[tuple[Node, set[str]]]:
    """The nodes that read one of the values, which may become more on the way, and which of them each reads."""
    for node in graph.nodes:
        read = aliases.intersection(node_inputs(node))
        if read:
            yield node, read


def _differentiable(graph: Graph) -> set[str]:
    """The values that a gradient may go through: what depends on parameters or inputs."""
    found = {value.name for value in graph.inputs}
    found |= {weight.value for weight in graph.weights if weight.value and weight.role == "parameter"}
    for node in graph.nodes:
        if node.op != "lax.stop_gradient" and found.intersection(node_inputs(node)):
            found.update(value.name for value in node.outputs)
    return found


# the text ---------------------------------------------------------------------------------------------------------


def keep_old_values(writer: BodyWriter) -> None:
    """Name the old values of buffers that are read when the new ones are there."""
    read = {*writer.readers, *writer.scope.results(), *(value for _, value in writer.stored)}
    for value in sorted(writer.structure.kept & read) if writer.scope.body is None else ():
        weight = writer.weights[value].name
        name = writer.free_name(identifier(weight.split(".")[-1]), {})
        text = ast.unparse(target().old_value(writer.weight(weight)))
        writer.lines.append(Line(f"{name} = {text}", shape_comment(writer.specs[value])))
        writer.names[name], writer.expressions[value] = value, ast.Name(name, ast.Load())


def is_changed(writer: BodyWriter, expression: ast.expr) -> bool:
    """Whether an expression reads a buffer that this call changes; written after that, it would be another."""
    text = ast.unparse(expression) if writer.stored else ""
    for weight, _ in writer.stored:
        try:
            path, _ = locate(writer.structure, writer.scope, weight)
        except KeyError:  # the layer updates it itself, or nothing reads it
            continue
        holder = member_expression(path[:1])  # a call of the module that holds it reads it
        if re.search(rf"{re.escape(holder)}(?!\w)", text):
            return True
    return False


def storing_lines(writer: BodyWriter) -> list[Line]:
    """The statements that store the new values of buffers."""
    lines = []
    for weight, value in writer.stored:
        try:
            path, layout = locate(writer.structure, writer.scope, weight)
        except KeyError:  # the layer updates it itself, or nothing reads it
            continue
        if layout:
            raise EmitError(f"buffer {weight} is written in a layout of its own", where=writer.scope.path)
        expression = writer.use(Ref(value))
        lines.append(Line(target().store(member_expression(path), ast.unparse(expression))))
    return lines


def changes_state(child: Scope, graph: Graph) -> bool:
    """Whether a call changes state of a module."""
    stored = {value for _, value in graph.mutations}
    return any(value.name in stored for node in child.nodes() for value in node.outputs)
