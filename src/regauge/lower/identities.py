"""Operators that change nothing: `x * 1.0`, `n + 0`, padding by nothing, axes in order. They are looked through."""

from __future__ import annotations

import math
from dataclasses import replace

from regauge.dtypes import is_float, kind
from regauge.ir.graph import Graph, Node, Operand, Ref, TensorSpec, with_names
from regauge.lower.plan import value_specs

_ADDS = frozenset({"aten.add.Tensor", "aten.add.Scalar", "aten.sub.Tensor", "aten.sub.Scalar"})
_SCALES = frozenset({"aten.mul.Tensor", "aten.mul.Scalar", "aten.div.Tensor", "aten.div.Scalar"})
_LAX_ADDS = {"lax.add": True, "lax.sub": False}  # whether the operands may change places
_LAX_SCALES = {"lax.mul": True, "lax.div": False}
_RESHAPES = frozenset({"aten.reshape.default", "aten.view.default"})
_PADS = frozenset({"aten.pad.default", "aten.constant_pad_nd.default"})


def _flat(pad: Operand) -> tuple[Operand, ...]:
    return pad if isinstance(pad, tuple) else (pad,)


def without_identities(graph: Graph) -> Graph:
    """The graph without operators whose result is one of their arguments, bit for bit.

    A float plus 0.0 is kept: it turns -0.0 into 0.0; minus 0.0 it is what it was. Results that leave the graph or
    become state are kept too, so that nothing outside changes its name.
    """
    return _cleared(graph, value_specs(graph))


def _cleared(graph: Graph, specs: dict[str, TensorSpec]) -> Graph:
    kept_names = {operand.name for operand in graph.outputs if isinstance(operand, Ref)}
    kept_names |= {value for _, value in graph.mutations}
    same: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = with_names(node, same)
        if node.bodies:
            node = replace(node, bodies=tuple(_cleared(body, specs) for body in node.bodies))
        if (
            node.op in _RESHAPES
        ):  # the size that was left open is known, and then it need not be the batch that is named
            node = node.with_arguments(**{node.arguments[1][0]: tuple(node.outputs[0].spec.shape)})
        source = _unchanged(node, specs)
        if source is not None and node.outputs[0].name not in kept_names:
            same[node.outputs[0].name] = source
        else:
            nodes.append(node)
    return replace(graph, nodes=tuple(nodes))


def _unchanged(node: Node, specs: dict[str, TensorSpec]) -> str | None:
    """The value that a node's result is, or None."""
    if node.op in _LAX_ADDS or node.op in _LAX_SCALES:
        return _unchanged_by_lax(node, specs)
    source = node.arguments[0][1] if node.arguments else None
    if not isinstance(source, Ref) or len(node.outputs) != 1 or specs[source.name] != node.outputs[0].spec:
        return None
    arguments = dict(node.arguments)
    if node.op in _PADS and set(_flat(arguments["pad"])) <= {0}:
        return source.name
    if node.op == "aten.permute.default" and arguments["dims"] == tuple(range(node.outputs[0].spec.ndim)):
        return source.name
    other = arguments.get("other")
    if isinstance(other, bool) or not isinstance(other, int | float):
        return None
    dtype = specs[source.name].dtype
    if node.op in _ADDS and other == 0 and kind(dtype) == "integer":
        return source.name
    if node.op in _SCALES and other == 1 and (is_float(dtype) or (kind(dtype) == "integer" and ".mul." in node.op)):
        return source.name
    return None


def _unchanged_by_lax(node: Node, specs: dict[str, TensorSpec]) -> str | None:
    """The same for arithmetic of JAX, whose operands have one dtype."""
    (_, x), (_, y) = node.arguments[:2]
    adds = node.op in _LAX_ADDS
    pairs = [(x, y), (y, x)] if (_LAX_ADDS | _LAX_SCALES)[node.op] else [(x, y)]
    for source, number in pairs:
        if not isinstance(source, Ref) or isinstance(number, bool) or not isinstance(number, int | float):
            continue
        spec = specs[source.name]
        exact = kind(spec.dtype) == "integer" or not adds or (node.op == "lax.sub" and math.copysign(1.0, number) > 0)
        if exact and number == (0 if adds else 1) and spec == node.outputs[0].spec:
            return source.name
    return None
