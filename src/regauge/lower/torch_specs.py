"""Shape and dtype of every node under its rule for torch must be those of the original, before any number is seen."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from typing import Any

import torch
from torch._subclasses.fake_tensor import (
    DataDependentOutputException,
    FakeTensorMode,
    UnsupportedOperatorException,
)

from regauge.dtypes import kind
from regauge.errors import SpecMismatch
from regauge.ir.graph import DType, Graph, Node, Ref, Sym, TensorSpec, Value, every_node
from regauge.lower.plan import FLOW, Plan, node_arguments, value_specs
from regauge.lower.sizes import evaluate_size
from regauge.rules.table import Rule

# Operators without a form for shapes alone, and iterations until values converge.
_NEEDS_VALUES = (UnsupportedOperatorException, NotImplementedError, DataDependentOutputException)


def torch_dtype(name: str) -> torch.dtype:
    """The dtype of torch for a framework-neutral name; a key of a random stream is one int64."""
    if name.startswith("key<"):
        return torch.int64
    return getattr(torch, name)  # type: ignore[no-any-return]


def check_specs(graph: Graph, plan: Plan) -> dict[str, str]:
    """Evaluate every node on tensors without values.

    Returns:
        For values whose dtype under the rule is another one, the dtype to cast the result to, by value name.

    Raises:
        SpecMismatch: a rule gives another shape, another number of results, or another kind of dtype.
    """
    specs = value_specs(graph)
    hints = {symbol.name: symbol.hint for symbol in graph.symbols}
    seen: dict[Any, list[str | None]] = {}
    casts: dict[str, str] = {}
    for node in every_node(graph):
        if node.op in FLOW:
            continue
        arguments = node_arguments(node, specs)
        key = (node.op, repr(arguments), tuple(value.spec for value in node.outputs))
        if key not in seen:
            seen[key] = _check(node, plan.rules[node.op], arguments, hints)
        casts |= {v.name: cast for v, cast in zip(node.outputs, seen[key], strict=True) if cast is not None}
    return casts


def _check(node: Node, rule: Rule, arguments: Mapping[str, Any], hints: Mapping[str, int]) -> list[str | None]:
    try:
        try:
            with FakeTensorMode():
                found = rule.fn(**_filled(rule, arguments, hints))
        except _NEEDS_VALUES:
            found = rule.fn(**_filled(rule, arguments, hints))
    except Exception as error:
        raise _mismatch(node, f"the rule raised {type(error).__name__}: {error}", rule) from error
    results = list(found) if isinstance(found, tuple | list) else [found]
    if len(results) != len(node.outputs):
        raise _mismatch(node, f"{len(results)} results instead of {len(node.outputs)}", rule)
    return [_compare(node, v, r, hints, rule) for v, r in zip(node.outputs, results, strict=True)]


def _filled(rule: Rule, arguments: Mapping[str, Any], hints: Mapping[str, int]) -> dict[str, Any]:
    known = inspect.signature(rule.fn).parameters
    return {name: _placeholder(operand, hints) for name, operand in arguments.items() if name in known}


def _placeholder(operand: Any, hints: Mapping[str, int]) -> Any:
    if isinstance(operand, TensorSpec):
        return torch.zeros(sizes(operand, hints), dtype=torch_dtype(operand.dtype))
    if isinstance(operand, tuple):
        return tuple(_placeholder(item, hints) for item in operand)
    if isinstance(operand, Sym):
        return evaluate_size(operand, hints)
    if isinstance(operand, DType):
        return torch_dtype(operand.name)
    return operand


def sizes(spec: TensorSpec, hints: Mapping[str, int]) -> tuple[int, ...]:
    """The shape of a tensor at the example's values of the symbols."""
    return tuple(evaluate_size(d, hints) for d in spec.shape)


def _compare(node: Node, value: Value, result: Any, hints: Mapping[str, int], rule: Rule) -> str | None:
    expected = sizes(value.spec, hints)
    if not isinstance(result, torch.Tensor):
        raise _mismatch(node, f"{type(result).__name__} instead of a tensor", rule)
    if tuple(result.shape) != expected:
        raise _mismatch(node, f"shape {tuple(result.shape)} instead of {expected}", rule)
    dtype = torch_dtype(value.spec.dtype)
    if result.dtype == dtype:
        return None
    name = str(result.dtype).removeprefix("torch.")
    if kind(name) != kind(value.spec.dtype):
        raise _mismatch(node, f"dtype {name} instead of {value.spec.dtype}", rule)
    return value.spec.dtype


def _mismatch(node: Node, what: str, rule: Rule) -> SpecMismatch:
    arguments = ", ".join(f"{k}={v.name if isinstance(v, Ref) else v!r}" for k, v in node.arguments)
    return SpecMismatch(
        f"the rule for {node.op} does not give what the original gave: {what}",
        where=node.origin.line or node.origin.path,
        received=arguments[:300],
        why=f"the rule ({rule.place}) is wrong for these arguments",
        next="please report it with this message",
    )
