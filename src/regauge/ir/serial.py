"""Graphs as JSON, and back without any loss: the form in which a graph travels between processes."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import asdict
from typing import Any

from regauge.errors import GraphError
from regauge.findings import Finding
from regauge.ir.graph import (
    Call,
    Dim,
    DType,
    Frame,
    Graph,
    ModuleStep,
    Node,
    Operand,
    Origin,
    Ref,
    Slice,
    Sym,
    Symbol,
    TensorSpec,
    Value,
    WeightSpec,
)


def graph_to_json(graph: Graph) -> dict[str, Any]:
    """The graph as plain JSON data.

    Origins repeat a lot, so modules and source lines are stored once, in tables that nodes index.
    """
    modules: dict[ModuleStep, int] = {}
    frames: dict[Frame, int] = {}
    data = _body_to_json(graph, modules, frames)
    data["modules"] = [[step.path, step.type, step.call, *([True] if step.recomputed else [])] for step in modules]
    data["frames"] = [[frame.file, frame.line, frame.function] for frame in frames]
    return data


def graph_from_json(data: Mapping[str, Any]) -> Graph:
    """The graph of `graph_to_json`, equal to the one that was written."""
    modules = [ModuleStep(*step) for step in data["modules"]]
    frames = [Frame(*frame) for frame in data["frames"]]
    return _body_from_json(data, modules, frames)


def _body_to_json(graph: Graph, modules: dict[ModuleStep, int], frames: dict[Frame, int]) -> dict[str, Any]:
    return {
        "dialect": graph.dialect,
        "inputs": [_value_to_json(value) for value in graph.inputs],
        "weights": [_weight_to_json(weight) for weight in graph.weights],
        "nodes": [_node_to_json(node, modules, frames) for node in graph.nodes],
        "outputs": [_operand_to_json(operand) for operand in graph.outputs],
        "mutations": [list(pair) for pair in graph.mutations],
        "symbols": [[s.name, s.hint, s.low, s.high] for s in graph.symbols],
        "in_tree": graph.in_tree,
        "out_tree": graph.out_tree,
        "findings": [finding.to_json() for finding in graph.findings],
        "calls": [
            [call.key, dict(call.arguments), list(call.results), dict(call.settings), dict(call.values)]
            for call in graph.calls
        ],
    }


def _body_from_json(data: Mapping[str, Any], modules: list[ModuleStep], frames: list[Frame]) -> Graph:
    return Graph(
        dialect=data["dialect"],
        inputs=tuple(_value_from_json(item) for item in data["inputs"]),
        weights=tuple(_weight_from_json(item) for item in data["weights"]),
        nodes=tuple(_node_from_json(item, modules, frames) for item in data["nodes"]),
        outputs=tuple(_operand_from_json(item) for item in data["outputs"]),
        mutations=tuple((weight, value) for weight, value in data["mutations"]),
        symbols=tuple(Symbol(*item) for item in data["symbols"]),
        in_tree=data["in_tree"],
        out_tree=data["out_tree"],
        findings=tuple(Finding.from_json(item) for item in data["findings"]),
        calls=tuple(
            Call(key, tuple(passed.items()), tuple(results), tuple(settings.items()), tuple(values.items()))
            for key, passed, results, settings, values in data["calls"]
        ),
    )


# nodes -----------------------------------------------------------------------------------------------------------


def _node_to_json(node: Node, modules: dict[ModuleStep, int], frames: dict[Frame, int]) -> dict[str, Any]:
    data: dict[str, Any] = {
        "op": node.op,
        "arguments": [[name, _operand_to_json(operand)] for name, operand in node.arguments],
        "outputs": [_value_to_json(value) for value in node.outputs],
        "modules": [modules.setdefault(step, len(modules)) for step in node.origin.modules],
        "frames": [frames.setdefault(frame, len(frames)) for frame in node.origin.frames],
    }
    if node.always:
        data["always"] = True
    if node.bodies:
        data["bodies"] = [_body_to_json(body, modules, frames) for body in node.bodies]
    return data


def _node_from_json(data: Mapping[str, Any], modules: list[ModuleStep], frames: list[Frame]) -> Node:
    return Node(
        op=data["op"],
        arguments=tuple((name, _operand_from_json(item)) for name, item in data["arguments"]),
        outputs=tuple(_value_from_json(item) for item in data["outputs"]),
        bodies=tuple(_body_from_json(body, modules, frames) for body in data.get("bodies", ())),
        origin=Origin(tuple(modules[i] for i in data["modules"]), tuple(frames[i] for i in data["frames"])),
        always=data.get("always", False),
    )


# operands --------------------------------------------------------------------------------------------------------


def _operand_to_json(operand: Operand) -> Any:
    if operand is None or isinstance(operand, bool | int | str):
        return operand
    if isinstance(operand, float):
        return operand if math.isfinite(operand) else {"float": repr(operand)}
    if isinstance(operand, complex):
        return {"complex": [_operand_to_json(operand.real), _operand_to_json(operand.imag)]}
    if isinstance(operand, Ref):
        return {"ref": operand.name}
    if isinstance(operand, Sym):
        return {"sym": operand.text}
    if isinstance(operand, DType):
        return {"dtype": operand.name}
    if isinstance(operand, tuple):
        return [_operand_to_json(item) for item in operand]
    raise GraphError("an operand cannot be written as JSON", received=repr(operand))


def _operand_from_json(data: Any) -> Operand:
    if isinstance(data, list):
        return tuple(_operand_from_json(item) for item in data)
    if not isinstance(data, dict):
        return data
    ((kind, value),) = data.items()
    if kind == "complex":
        real, imaginary = (_operand_from_json(part) for part in value)
        return complex(real, imaginary)  # type: ignore[arg-type]
    readers: dict[str, Callable[[Any], Operand]] = {"ref": Ref, "sym": Sym, "dtype": DType, "float": float}
    if kind not in readers:
        raise GraphError("no operand is written so", received=repr(data))
    return readers[kind](value)


# values ----------------------------------------------------------------------------------------------------------


def _spec_to_json(spec: TensorSpec) -> list[Any]:
    return [[dim.text if isinstance(dim, Sym) else dim for dim in spec.shape], spec.dtype]


def _spec_from_json(data: list[Any]) -> TensorSpec:
    shape: tuple[Dim, ...] = tuple(Sym(dim) if isinstance(dim, str) else dim for dim in data[0])
    return TensorSpec(shape, data[1])


def _value_to_json(value: Value) -> list[Any]:
    return [value.name, *_spec_to_json(value.spec)]


def _value_from_json(data: list[Any]) -> Value:
    return Value(data[0], _spec_from_json(data[1:]))


def _weight_to_json(weight: WeightSpec) -> dict[str, Any]:
    return {
        "name": weight.name,
        "value": weight.value,
        "spec": _spec_to_json(weight.spec),
        "role": weight.role,
        "trainable": weight.trainable,
        "persistent": weight.persistent,
        "tied_to": weight.tied_to,
        **({} if weight.slice_of is None else {"slice_of": asdict(weight.slice_of)}),
    }


def _weight_from_json(data: Mapping[str, Any]) -> WeightSpec:
    found = data.get("slice_of")
    part = None if found is None else Slice(found["name"], tuple(found["shape"]), tuple(map(tuple, found["steps"])))
    return WeightSpec(**{**data, "spec": _spec_from_json(data["spec"]), "slice_of": part})
