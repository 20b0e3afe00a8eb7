"""Training and evaluation of one JAX model: which layers follow the mode, and whether more than they differs.

torch's modules know their mode. A dropout that only training has, and a batch norm whose statistics only training
makes, follow it; one graph then serves both modes. Where other code differs, evaluation keeps a graph of its own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from regauge.ir.dropouts import DROPPING_ATTENTION
from regauge.ir.graph import Graph, Node, Operand, Ref, WeightSpec, renamed

_DROPOUT, _BATCH_NORM = "layer.dropout", "layer.batch_norm"
_MODE, _DROPS = frozenset({"train", "follows"}), frozenset({"rate", "shared", "attribute"})


def joined(training: Graph, evaluation: Graph) -> tuple[Graph, Graph | None]:
    """The graph in training mode and, where more than layers that know their mode differs, that of evaluation."""
    ours, theirs = _calls(training), _calls(evaluation)
    following = {
        call for call, node in ours.items()
        if (node.op == _DROPOUT and call not in theirs)
        or (node.op == _BATCH_NORM and _trains(node) and call in theirs and not _trains(theirs[call]))
    } | (_dropping(training) - _dropping(evaluation))  # fmt: skip
    training, evaluation = _marked(training, following), _marked(evaluation, following)
    if _canonical(training) == _canonical(evaluation):
        return replace(training, weights=_read_by_either(training, evaluation)), None
    return training, evaluation


def following_all(graph: Graph) -> Graph:
    """A graph of evaluation alone, whose batch norms follow the mode as their library would have it."""
    return _marked(graph, set(_calls(graph)))


def _calls(graph: Graph) -> dict[str, Node]:
    """The layers that may know their mode, by the key of their call."""
    return {n.origin.modules[-1].call: n for n in graph.nodes if n.op in (_DROPOUT, _BATCH_NORM) and n.origin.modules}


def _dropping(graph: Graph) -> set[str]:
    """The keys of the calls that drop weights of attention, which are a module's code."""
    return {
        n.origin.modules[-1].call for n in graph.nodes if n.op == DROPPING_ATTENTION and "rate" in dict(n.arguments)
    }


def _knows_mode(node: Node) -> bool:
    return node.op in (_DROPOUT, _BATCH_NORM) or (node.op == DROPPING_ATTENTION and "rate" in dict(node.arguments))


def _trains(node: Node) -> bool:
    return dict(node.arguments).get("train") is True


def _marked(graph: Graph, calls: set[str]) -> Graph:
    nodes = tuple(
        node.with_arguments(follows=True)
        if _knows_mode(node) and node.origin.modules and node.origin.modules[-1].call in calls
        else node
        for node in graph.nodes
    )
    return replace(graph, nodes=nodes)


def _read_by_either(training: Graph, evaluation: Graph) -> tuple[WeightSpec, ...]:
    missing = [w.name for w in evaluation.weights if w.value and w.name not in {o.name for o in training.weights}]
    return training.weights + tuple(w for w in evaluation.weights if w.name in missing)


def _canonical(graph: Graph) -> Any:
    """What a graph computes in evaluation, without names: layers that follow the mode are switched to it."""
    names: dict[str, str] = {value.name: f"input {n}" for n, value in enumerate(graph.inputs)}
    names |= {w.value: f"weight {w.name}" for w in graph.weights if w.value}
    same: dict[str, str] = {}
    nodes: list[Any] = []
    for node in graph.nodes:
        arguments: Mapping[str, Operand] = {k: renamed(o, same) for k, o in node.arguments}
        if node.op == _DROPOUT and arguments.get("follows"):
            source = arguments["x"]
            if isinstance(source, Ref):
                same[node.outputs[0].name] = source.name
            continue
        follows = bool(arguments.get("follows"))
        left_out = _MODE | _DROPS if follows else _MODE
        kept = {key: renamed(o, names) for key, o in arguments.items() if key not in left_out}
        outputs = node.outputs[:1] if follows else node.outputs
        for value in outputs:
            names[value.name] = f"value {len(nodes)} {value.name if len(outputs) > 1 else ''}"
        train = None if follows else arguments.get("train")
        call = node.origin.modules[-1].call if node.origin.modules else ""
        bodies = [_canonical(body) for body in node.bodies]
        nodes.append((node.op, tuple(kept.items()), tuple(v.spec for v in outputs), bodies, train, call))
    results = [renamed(renamed(operand, same), names) for operand in graph.outputs]
    inside = {value for node in graph.nodes if dict(node.arguments).get("follows") for value in _made(node)[1:]}
    stored = sorted((w, names.get(same.get(v, v), v)) for w, v in graph.mutations if v not in inside)
    return nodes, results, stored


def _made(node: Node) -> list[str]:
    return [value.name for value in node.outputs]
