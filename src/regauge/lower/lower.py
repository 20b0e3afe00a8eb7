"""Shape and dtype of every node under its rule must be those of the original, before any number is looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp

from regauge.dtypes import kind
from regauge.errors import SpecMismatch
from regauge.ir.graph import DType, Graph, Node, Ref, Sym, Symbol, TensorSpec, every_node, node_inputs, references
from regauge.lower.plan import FLOW, Gap, Plan, add_gap, node_arguments, unsupported, value_specs
from regauge.lower.promotion import casts
from regauge.lower.sizes import evaluate_number, evaluate_size
from regauge.lower.widths import WIDE_NUMBER, fills_wide
from regauge.rules.table import Rule
from regauge.run.protocol import leaf_names


def jax_dtype(name: str) -> Any:
    """The dtype that JAX gives arrays of this name under its present 64-bit setting."""
    return jax.dtypes.canonicalize_dtype(jnp.dtype(name))


def dtype_argument(name: str) -> Any:
    """What a rule receives for a dtype attribute: `int` for int64, so that JAX's setting decides the width."""
    return int if name == "int64" else jnp.dtype(name).type


def check_specs(graph: Graph, plan: Plan) -> dict[str, str]:
    """Evaluate every node abstractly.

    Returns:
        For values whose dtype under the rule is not torch's, the dtype to cast the result to, by value name.

    Raises:
        SpecMismatch: a rule gives another shape, another number of results, or another kind of dtype.
        UnsupportedOps: numbers that the integers of JAX do not hold under its present 64-bit setting.
    """
    specs = value_specs(graph)
    hints = {symbol.name: symbol.hint for symbol in graph.symbols}
    seen: dict[Any, list[str | None]] = {}
    result_casts: dict[str, str] = {}
    gaps: dict[tuple[str, str], Gap] = {}
    nodes = list(every_node(graph))
    read = _read(graph, nodes)
    for node in nodes:
        if node.op in FLOW:
            continue
        arguments = node_arguments(node, specs)
        # results that nothing reads are left alone: what torch.export says of them is not always what torch gives
        expected = tuple(value.spec if value.name in read else None for value in node.outputs)
        key = (node.op, tuple(arguments.items()), expected)
        if key not in seen:
            try:
                seen[key] = _check(node, plan.rules[node.op], arguments, expected, hints)
            except OverflowError:
                add_gap(gaps, node, WIDE_NUMBER)
                continue
        for value, cast in zip(node.outputs, seen[key], strict=True):
            if cast is not None:
                result_casts[value.name] = cast
    if gaps:
        raise unsupported(list(gaps.values()), len(nodes))
    return result_casts


def _read(graph: Graph, nodes: Sequence[Node]) -> set[str]:
    """Values that some node, function or output of the graph reads."""
    read = {*leaf_names(graph.out_tree), *(value for _, value in graph.mutations)}
    for node in nodes:
        read.update(node_inputs(node))
        read.update(name for body in node.bodies for operand in body.outputs for name in references(operand))
    return read


def _check(
    node: Node,
    rule: Rule,
    arguments: Mapping[str, Any],
    expected: Sequence[TensorSpec | None],
    hints: Mapping[str, int],
) -> list[str | None]:
    if fills_wide(node) and not jax.config.read("jax_enable_x64"):
        raise OverflowError(node.op)
    needed = casts(rule, arguments)
    arrays: list[jax.ShapeDtypeStruct] = []
    call: dict[str, Any] = {}
    for name, operand in arguments.items():
        call[name] = _placeholder(operand, needed.get(name), hints, arrays)

    def run(*values: jax.Array) -> Any:
        given = {name: _fill(item, values) for name, item in call.items()}
        return rule.fn(**{**_extras(rule), **given})

    try:
        found = jax.eval_shape(run, *arrays)
    except OverflowError:  # an integer of Python that the dtype cannot hold
        raise
    except Exception as error:
        raise _mismatch(node, f"the rule raised {type(error).__name__}: {error}", rule) from error
    results = list(found) if isinstance(found, tuple | list) else [found]
    if len(results) != len(node.outputs):
        raise _mismatch(node, f"{len(results)} results instead of {len(node.outputs)}", rule)
    return [
        None if spec is None else _compare(node, spec, result, hints, rule)
        for spec, result in zip(expected, results, strict=True)
    ]


class _Slot(int):
    """The position of an array among the abstract inputs."""


def _placeholder(operand: Any, cast: str | None, hints: Mapping[str, int], arrays: list[Any]) -> Any:
    if isinstance(operand, TensorSpec):
        arrays.append(jax.ShapeDtypeStruct(_sizes(operand, hints), jax_dtype(cast or operand.dtype)))
        return _Slot(len(arrays) - 1)
    if isinstance(operand, tuple):
        return tuple(_placeholder(item, cast, hints, arrays) for item in operand)
    if isinstance(operand, Sym):
        return evaluate_number(operand, hints)
    if isinstance(operand, DType):
        return dtype_argument(operand.name)
    return operand


def _fill(item: Any, values: tuple[Any, ...]) -> Any:
    if isinstance(item, _Slot):
        return values[item]
    if isinstance(item, tuple):
        return tuple(_fill(part, values) for part in item)
    return item


def _extras(rule: Rule) -> dict[str, Any]:
    names = rule.fn.__code__.co_varnames[: rule.fn.__code__.co_argcount + rule.fn.__code__.co_kwonlyargcount]
    extras: dict[str, Any] = {}
    if "dropout" in names:
        extras["dropout"] = lambda x: x
    if "rng_key" in names:
        extras["rng_key"] = jax.random.key(0)
    return extras


def _sizes(spec: TensorSpec, hints: Mapping[str, int]) -> tuple[int, ...]:
    return tuple(evaluate_size(d, hints) for d in spec.shape)


def _compare(node: Node, spec: TensorSpec, result: Any, hints: Mapping[str, int], rule: Rule) -> str | None:
    if tuple(result.shape) != _sizes(spec, hints):
        raise _mismatch(node, f"shape {tuple(result.shape)} instead of {_sizes(spec, hints)}", rule)
    if result.dtype == jax_dtype(spec.dtype):
        return None
    if kind(str(result.dtype)) != kind(spec.dtype):
        raise _mismatch(node, f"dtype {result.dtype} instead of {spec.dtype}", rule)
    return spec.dtype


def _mismatch(node: Node, what: str, rule: Rule) -> SpecMismatch:
    arguments = ", ".join(f"{k}={v.name if isinstance(v, Ref) else v!r}" for k, v in node.arguments)
    return SpecMismatch(
        f"the rule for {node.op} does not give what the original gave: {what}",
        where=node.origin.line or node.origin.path,
        received=arguments[:300],
        why=f"the rule ({rule.place}) is wrong for these arguments",
        next="please report it with this message",
    )


def symbol_names(symbols: tuple[Symbol, ...]) -> set[str]:
    return {symbol.name for symbol in symbols}
