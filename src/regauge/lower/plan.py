"""Which rule serves each node, and everything that none serves: all gaps of a model at once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from regauge.dtypes import FLOAT8
from regauge.errors import UnsupportedOps
from regauge.findings import Finding
from regauge.ir.dropouts import dropout_rate
from regauge.ir.graph import Graph, Node, Ref, TensorSpec, every_node, node_inputs
from regauge.rules.table import Limit, Rule, RuleTable

# Operators that run functions: emission writes them, no rule does.
_CONTROL_FLOW = ("cond", "switch", "while_loop", "scan", "map", "associative_scan")
_TRANSFORMATIONS = ("vmap", "grad", "jvp", "vjp", "jacobian", "own_gradient", "checkpoint")
# Where the names of operators come from that regauge's own tables speak of; any other is a library of the person's own.
_VOCABULARIES = ("aten", "regauge", "lax", "jax", "jnp", "layer", "optax", "torch_nn", "transformers")
FLOW = frozenset(f"regauge.{name}" for name in (*_CONTROL_FLOW, *_TRANSFORMATIONS))
RANDOM_INSIDE = Limit(
    "inside a function of control flow",
    lambda _: True,
    "unsupported",
    "every run of the function would need a random key of its own, and NNX draws keys outside of such functions",
)


# Operators that move numbers or cast them, and compute nothing.
_MOVES = frozenset(
    f"lax.{name}"
    for name in ("convert_element_type", "bitcast_convert_type", "reshape", "transpose", "squeeze", "broadcast_in_dim",
                 "slice", "copy", "copy_p", "stop_gradient", "optimization_barrier")
)  # fmt: skip
_NARROW = Limit(
    "float8",
    lambda _: True,
    "unsupported",
    "torch holds float8 and casts it, and computes with none of it: write x.astype(jnp.bfloat16) before the operator",
)


@dataclass(frozen=True)
class Gap:
    """Nodes of one operator that cannot be converted, and why."""

    op: str
    nodes: tuple[Node, ...]
    limit: Limit | None  # None: there is no rule


@dataclass(frozen=True)
class Plan:
    """The rule of each operator of a graph, and what its limits say."""

    rules: dict[str, Rule]
    findings: tuple[Finding, ...]


def node_arguments(node: Node, specs: Mapping[str, TensorSpec]) -> dict[str, Any]:
    """A node's arguments by name, with values as their `TensorSpec`: what limits and promotion look at."""

    def resolve(operand: Any) -> Any:
        if isinstance(operand, Ref):
            return specs[operand.name]
        if isinstance(operand, tuple):
            return tuple(resolve(item) for item in operand)
        return operand

    return {name: resolve(operand) for name, operand in node.arguments}


def value_specs(graph: Graph) -> dict[str, TensorSpec]:
    """The spec of every value of a graph by its name."""
    specs = {value.name: value.spec for value in graph.inputs}
    specs |= {weight.value: weight.spec for weight in graph.weights if weight.value}
    for node in every_node(graph):
        specs |= {value.name: value.spec for value in node.outputs}
        specs |= {value.name: value.spec for body in node.bodies for value in body.inputs}
    return specs


def _functions(graph: Graph) -> Iterator[Graph]:
    """The functions in which nothing random can be: each run would have numbers of its own.

    One that is checkpointed runs once more with the same numbers, and one of a condition at most once.
    """
    passed = ("regauge.checkpoint", "regauge.cond") if graph.dialect == "aten" else ("regauge.checkpoint",)
    for node in graph.nodes:
        for body in node.bodies:
            if node.op in passed:
                yield from _functions(body)
            else:
                yield body


def is_random(node: Node, rule: Rule | None) -> bool:
    """Whether an operator draws random numbers; dropout that is switched off, or whose rate is zero, does not."""
    draws = rule is not None and rule.draws and node.op != "aten.dropout.default"
    return draws or dropout_rate(node) is not None


def plan(graph: Graph, table: RuleTable, owner: str = "the model") -> Plan:
    """Choose rules for all nodes; `owner` is what messages call a graph without modules.

    Raises:
        UnsupportedOps: some operators have no rule, or lie in a limit of theirs; all of them are listed, each with
            the number of uses, the module path and the person's own line.
    """
    specs = value_specs(graph)
    rules: dict[str, Rule] = {}
    gaps: dict[tuple[str, str], Gap] = {}
    findings: list[Finding] = []
    inside = {id(inner) for body in _functions(graph) for inner in every_node(body)}
    nodes = list(every_node(graph))
    for node in nodes:
        if node.op in FLOW:
            continue
        rule = table.get(node.op)
        if rule is None:
            add_gap(gaps, node, None)
            continue
        rules[node.op] = rule
        arguments = node_arguments(node, specs)
        if id(node) in inside and is_random(node, rule):
            add_gap(gaps, node, RANDOM_INSIDE)
        if node.op not in _MOVES and _is_narrow(node, specs):
            add_gap(gaps, node, _NARROW)
        for limit in rule.limits:
            if not limit.applies(arguments):
                continue
            if limit.effect == "unsupported":
                add_gap(gaps, node, limit)
            else:
                where = node.origin.line or node.origin.path
                findings.append(Finding("R110", "warning", where, f"{node.op} is {limit.effect}: {limit.reason}"))
    if gaps:
        raise unsupported(list(gaps.values()), len(nodes), owner)
    return Plan(rules, tuple(dict.fromkeys(findings)))


def _is_narrow(node: Node, specs: Mapping[str, TensorSpec]) -> bool:
    names = (*node_inputs(node), *(value.name for value in node.outputs))
    return any(specs[name].dtype in FLOAT8 for name in names)


def add_gap(gaps: dict[tuple[str, str], Gap], node: Node, limit: Limit | None) -> None:
    """Count a node among the gaps, which are told apart by operator and limit."""
    key = (node.op, limit.when if limit else "")
    known = gaps.get(key)
    gaps[key] = Gap(node.op, (*known.nodes, node) if known else (node,), limit)


def unsupported(gaps: list[Gap], total: int, owner: str = "the model") -> UnsupportedOps:
    """The error that lists all gaps of a graph of `total` nodes."""
    count = sum(len(gap.nodes) for gap in gaps)
    width = max(len(gap.op) for gap in gaps)
    details = []
    for gap in gaps:
        first = gap.nodes[0].origin
        place = f"{first.path or owner} ({first.line})" if first.line else first.path or owner
        reason = f"limit: {gap.limit.when}: {gap.limit.reason}" if gap.limit else "no rule"
        details.append(f"{gap.op:<{width}}  {len(gap.nodes)}x  {place}  {reason}")
    return UnsupportedOps(
        f"unsupported operators: {count} of {total} nodes cannot be converted",
        details=details,
        next=_advice(gaps),
    )


def _advice(gaps: list[Gap]) -> str:
    """What to do about gaps: an operator of a person's own library is in no table, and they can say what it is."""
    own = [gap.op for gap in gaps if gap.limit is None and gap.op.partition(".")[0] not in _VOCABULARIES]
    known = [gap.op for gap in gaps if gap.op.startswith("aten.")]
    if own:
        library, _dot, name = own[0].removesuffix(".default").partition(".")
        operator = f"{library}::{name}"
        if known:
            return (
                f'regauge ops {known[0]}; for {operator} write @regauge.rule("{operator}") in a file that rules= of '
                "the case names, see docs/unsupported.md"
            )
        return (
            f'write @regauge.rule("{operator}") over what it is in JAX, in a file that rules= of the case names: '
            "docs/unsupported.md shows one"
        )
    if known:
        return f"regauge ops {known[0]}, or split the model: docs/unsupported.md"
    return "write it with other operators, or split the model: docs/unsupported.md"
