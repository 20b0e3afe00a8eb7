"""Classes of a person's own that compute a layer of the library and something more: subclasses of that layer.

    class BatchNormAct2d(BatchNorm):
        def __call__(self, x):
            return jax.nn.relu(super().__call__(x))

The operator that the layer computes, with the weights of the class, becomes one that stands for `super().__call__`.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from dataclasses import dataclass

from regauge.emit.layers import Context, Layer, Recogniser, counts_batches, is_of_torch, recognise
from regauge.emit.scopes import Item, Scope
from regauge.emit.sequential import is_random
from regauge.ir.graph import Node, Ref, node_inputs

BASE = "regauge.base"


@dataclass(frozen=True)
class Extension:
    """What a call of such a class is: the layer, the items of the call with it, and as they were without it."""

    layer: Layer
    items: list[Item]
    before: list[Item]


def extension(scope: Scope, context: Context, recognisers: Mapping[str, Recogniser]) -> Extension | None:
    """The layer that a call of a person's own class extends; None where it reads weights in any other way too."""
    nodes = [item for item in scope.items if isinstance(item, Node)]
    if is_of_torch(scope) or len(nodes) != len(scope.items):
        return None
    counters = [node for node in nodes if counts_batches(node, context)]
    reading = [n for n in nodes if n not in counters and any(name in context.weights for name in node_inputs(n))]
    others = [node for node in nodes if node not in counters and node not in reading]
    if len(reading) != 1 or not others or any(map(is_random, others)):
        return None
    (main,) = reading
    result, *statistics = [value.name for value in main.outputs]
    counts = [value.name for node in counters for value in node.outputs]
    if {*scope.outputs, *(name for node in others for name in node_inputs(node))} & {*statistics, *counts}:
        return None
    inner = Scope(scope.step, [*counters, main], outputs=[result])
    layer = recognise(inner, context, recognisers)
    if layer is None or len(layer.inputs) != 1:
        return None
    call = Node(BASE, (("input", Ref(layer.inputs[0])),), main.outputs[:1], origin=main.origin)
    return Extension(layer, [call if node is main else node for node in nodes if node not in counters], scope.items)


def base_call(argument: ast.expr) -> ast.expr:
    """What the layer gives for an argument."""
    return ast.Call(ast.parse("super().__call__", mode="eval").body, [argument], [])
