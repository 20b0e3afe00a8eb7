"""Whether two calls of modules are the same code: their operators, with values and weights named by their order."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from typing import Any

from regauge.emit.layers import Layer
from regauge.emit.scopes import Scope
from regauge.ir.graph import Graph, Node, Ref, TensorSpec, WeightSpec


def code_key(
    scope: Scope,
    weights: Mapping[str, WeightSpec],
    layers: Mapping[Scope, Layer],
    constants: Mapping[str, ast.expr],
    sizes: bool = True,
) -> Any:
    """What two calls have in common exactly if they can be one class.

    Args:
        scope: the call.
        weights: of the graph, by value.
        layers: the recognised layers, whose inside does not matter.
        constants: small tensors that are written as expressions.
        sizes: whether shapes of results count: calls of one module may have inputs of several sizes, as long as what
            is done to them is the same.
    """
    numbers: dict[str, str] = {}

    def local(name: str) -> str:
        spec = weights.get(name)
        if spec is not None and name not in scope.inputs:
            if name in constants:
                return ast.unparse(constants[name])
            return "w:" + spec.name.removeprefix(scope.path + ".") + str(spec.spec) + spec.role + str(spec.trainable)
        return numbers.setdefault(name, f"v{len(numbers)}")

    def operand(item: Any) -> Any:
        if isinstance(item, Ref):
            return local(item.name)
        if isinstance(item, tuple):
            return tuple(operand(part) for part in item)
        return (type(item).__name__, str(item))

    def form(spec: TensorSpec) -> str:
        return str(spec) if sizes else f"{spec.dtype}[{len(spec.shape)}]"

    parts: list[Any] = [scope.step.type, tuple(local(n) for n in (*scope.inputs, *scope.parameters))]
    parts.append(tuple(scope.keywords.get(name) for name in scope.inputs))
    for item in scope.items:
        if isinstance(item, Node):
            arguments = tuple((k, operand(v)) for k, v in item.arguments)
            outputs = tuple((local(v.name), form(v.spec)) for v in item.outputs)
            apart = item.bodies if item.op == "regauge.own_gradient" else ()  # the others are scopes
            own = tuple(_function(body, local, operand, form) for body in apart)
            parts.append((item.op, item.always, arguments, outputs, own))
        else:
            layer = layers.get(item)
            inner = (
                (layer.constructor, repr(layer.arguments), repr(layer.keywords))
                if layer is not None
                else code_key(item, weights, layers, constants, sizes)
            )
            relative = item.path.removeprefix(scope.path + ".")
            parts.append(
                (relative, item.step.recomputed, inner, tuple(map(local, item.inputs)), tuple(map(local, item.outputs)))
            )
    parts.append((tuple(local(n) for n in scope.outputs), tuple(operand(item) for item in scope.returned)))
    return tuple(parts)


def _function(
    body: Graph, local: Callable[[str], str], operand: Callable[[Any], Any], form: Callable[[TensorSpec], str]
) -> Any:
    """A function that stands elsewhere, for which there is no scope."""
    inputs = tuple(local(value.name) for value in body.inputs)
    nodes = tuple(
        (
            node.op,
            tuple((name, operand(item)) for name, item in node.arguments),
            tuple(_function(inner, local, operand, form) for inner in node.bodies),
            tuple((local(value.name), form(value.spec)) for value in node.outputs),
        )
        for node in body.nodes
    )
    return inputs, nodes, tuple(operand(item) for item in body.outputs)
