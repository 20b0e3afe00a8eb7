"""Training and evaluation of one module: where the two captures differ, and only there, the code asks for the mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from regauge.emit.lines import Body, Line
from regauge.emit.scopes import Scope, build_scopes
from regauge.emit.target import target
from regauge.errors import EmitError
from regauge.ir.graph import Graph, Node, Operand

# Arguments that say no more than the mode itself: nnx.Dropout and BatchNorm look at the mode themselves.
_MODE_ARGUMENTS = {
    "aten.dropout.default": ("p", "train"),
    "aten.scaled_dot_product_attention.default": ("dropout_p",),
    "aten.lstm.input": ("train", "dropout"),
    "aten.gru.input": ("train", "dropout"),
    "aten.rnn_tanh.input": ("train", "dropout"),
    "aten.rnn_relu.input": ("train", "dropout"),
    **{f"regauge.{kind}_padded.default": ("train", "dropout") for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}


def align(training: Graph, evaluation: Graph) -> Graph:
    """The evaluation graph with the training graph's dropout arguments, wherever a call runs the same operators."""
    replaced: dict[int, Node] = {}
    for ours, theirs in _pairs(build_scopes(training), build_scopes(evaluation)):
        if _shape(ours) != _shape(theirs):
            continue
        for node, other in zip(ours.items, theirs.items, strict=True):
            if isinstance(node, Node) and isinstance(other, Node) and node.op in _MODE_ARGUMENTS:
                changes: dict[str, Operand] = {name: node.argument(name) for name in _MODE_ARGUMENTS[node.op]}
                replaced[id(other)] = other.with_arguments(**changes)
    return replace(evaluation, nodes=tuple(replaced.get(id(node), node) for node in evaluation.nodes))


def _pairs(ours: Scope, theirs: Scope) -> Iterator[tuple[Scope, Scope]]:
    yield ours, theirs
    calls = children(theirs)
    for call, scope in children(ours).items():
        if call in calls:
            yield from _pairs(scope, calls[call])


def children(scope: Scope) -> dict[str, Scope]:
    """The calls that a call makes itself, by their key."""
    return {call.step.call: call for call in scope.calls()}


def _shape(scope: Scope) -> list[str]:
    return [item.op if isinstance(item, Node) else item.step.call for item in scope.items]


def join_bodies(training: Body, evaluation: Body, where: str) -> tuple[Body, bool]:
    """One body for both modes, and whether it asks for the mode.

    Raises:
        EmitError: the two need different arguments.
    """
    if [line.text for line in training.lines] == [line.text for line in evaluation.lines]:
        return training, False
    if training.parameters != evaluation.parameters:
        raise EmitError(
            "a module reads different arguments in training and in evaluation",
            where=where,
            received=f"{training.parameters} in training, {evaluation.parameters} in evaluation",
            next="read both in both modes, or convert the two modes as two cases",
        )
    branch = [replace(line, text=f"    {line.text}") for line in evaluation.lines]
    return replace(training, lines=[Line(f"if {target().evaluates}:"), *branch, *training.lines]), True
