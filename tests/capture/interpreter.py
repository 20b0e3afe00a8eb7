"""Runs a graph with torch's own operators: what a graph says can so be compared with what the model does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from regauge.ir.graph import DType, Graph, Node, Operand, Ref, Sym, references
from regauge.run.protocol import unflatten_tree


class Result:
    """Outputs in the model's tree, and the new values of buffers by name."""

    def __init__(self, outputs: Any, state: dict[str, torch.Tensor]) -> None:
        self.outputs = outputs
        self.state = state


def interpret(graph: Graph, weights: Mapping[str, torch.Tensor], inputs: Mapping[str, torch.Tensor]) -> Result:
    """Evaluate all nodes in order.

    Args:
        graph: of dialect aten.
        weights: by weight name.
        inputs: by name of the graph's input values; sizes of symbolic axes may differ from those at capture.
    """
    values: dict[str, torch.Tensor] = {w.value: weights[w.name] for w in graph.weights if w.value}
    symbols: dict[str, int] = {}
    for value in graph.inputs:
        values[value.name] = inputs[value.name]
        for size, actual in zip(value.spec.shape, inputs[value.name].shape, strict=True):
            if isinstance(size, Sym) and size.text.isidentifier():
                assert symbols.setdefault(size.text, actual) == actual
            elif isinstance(size, int):
                assert size == actual
    for node in graph.nodes:
        results = _call(node, values, symbols)
        for output, result in zip(node.outputs, results, strict=True):
            expected = tuple(_size(d, symbols) for d in output.spec.shape)
            assert tuple(result.shape) == expected, f"{node.op}: {tuple(result.shape)} instead of {expected}"
            assert str(result.dtype) == f"torch.{output.spec.dtype}", f"{node.op}: {result.dtype}"
            values[output.name] = result
    leaves = {name: values[name] for operand in graph.outputs for name in references(operand)}
    return Result(unflatten_tree(graph.out_tree, leaves), {weight: values[v] for weight, v in graph.mutations})


def _size(size: Any, symbols: Mapping[str, int]) -> Any:
    return (
        eval(size.text, {"max": max, "min": min, "abs": abs, "float": float}, dict(symbols))
        if isinstance(size, Sym)
        else size
    )


def _call(node: Node, values: Mapping[str, torch.Tensor], symbols: Mapping[str, int]) -> list[torch.Tensor]:
    def resolve(operand: Operand) -> Any:
        if isinstance(operand, Ref):
            return values[operand.name]
        if isinstance(operand, Sym):
            return _size(operand, symbols)
        if isinstance(operand, DType):
            return getattr(torch, operand.name)
        if isinstance(operand, tuple):
            return [resolve(item) for item in operand]
        return operand

    family, packet, overload = node.op.split(".")
    op = getattr(getattr(getattr(torch.ops, family), packet), overload)
    arguments = {name: resolve(operand) for name, operand in node.arguments}
    schema = op._schema.arguments
    assert [name.rstrip("_") for name in arguments] == [argument.name for argument in schema], node.op
    if node.op == "aten.batch_norm.default" and len(node.outputs) == 3:
        return _batch_norm(arguments)
    if node.op == "aten.as_strided.default":  # of values in their order
        arguments["self"] = arguments["self"].contiguous()
    given = dict(zip((a.name for a in schema), arguments.values(), strict=True))
    for name in ("layout", "memory_format"):
        if isinstance(given.get(name), str):
            given[name] = getattr(torch, given[name])
    positional = [given[a.name] for a in schema if not a.kwarg_only]
    keywords = {a.name: given[a.name] for a in schema if a.kwarg_only}
    if node.op == "aten.view.default":  # of values, not of memory
        op = torch.ops.aten.reshape.default
    result = op(*positional, **keywords)
    return list(result) if isinstance(result, tuple | list) else [result]


def _batch_norm(arguments: dict[str, Any]) -> list[torch.Tensor]:
    mean, var = arguments["running_mean"].clone(), arguments["running_var"].clone()
    result = torch.batch_norm(*{**arguments, "running_mean": mean, "running_var": var}.values())
    return [result, mean, var]
