"""Training and evaluation of one module: where the two captures differ, and only there, the code asks for the mode."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from regauge.emit.idle_calls import with_idle_calls
from regauge.emit.lines import Body, Line
from regauge.emit.mode_dropouts import with_dropouts_of
from regauge.emit.scopes import Scope, build_scopes
from regauge.emit.target import target
from regauge.errors import EmitError
from regauge.ir.graph import Graph, Node, Operand, Ref, node_inputs, references, with_names, without_dead

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
    """The evaluation graph with the training graph's dropouts, wherever a call runs the same operators.

    Calls that do nothing in evaluation are in it.
    """
    if training.dialect == "lax":
        return with_dropouts_of(training, evaluation, _pairs)
    evaluation = with_idle_calls(training, evaluation)
    replaced: dict[int, Node] = {}

    def aligned(graph: Graph) -> Graph:
        nodes = (replaced.get(id(node), node) for node in graph.nodes)
        return replace(graph, nodes=tuple(replace(n, bodies=tuple(map(aligned, n.bodies))) for n in nodes))

    for ours, theirs in _pairs(build_scopes(training), build_scopes(evaluation)):
        if _shape(ours) != _shape(theirs):
            continue
        for node, other in zip(ours.items, theirs.items, strict=True):
            if isinstance(node, Node) and isinstance(other, Node) and node.op in _MODE_ARGUMENTS:
                changes: dict[str, Operand] = {name: node.argument(name) for name in _MODE_ARGUMENTS[node.op]}
                replaced[id(other)] = other.with_arguments(**changes)
    return aligned(evaluation)


def follows_the_mode(node: Node) -> bool:
    """Whether a node is a batch norm of torch's own layer in training; what own code asks for, capture has compared."""
    return (
        node.op == "aten.batch_norm.default"
        and node.argument("training") is True
        and node.argument("running_mean") is not None
        and bool(node.origin.modules)
        and target().is_library_type(node.origin.modules[-1].type)
    )


def with_own_statistics(graph: Graph) -> Graph:
    """The graph in which every call of a batch norm reads its module's statistics, as a layer that holds them does.

    Captured, a second call reads what the first one made of them. Where other code reads that too, the graph stays.
    """
    held = {weight.value: weight.name for weight in graph.weights if weight.value}
    own: dict[str, str] = {}  # what a call made of a statistic or a counter -> the module's own value
    nodes = []
    for node in graph.nodes:
        counts = node.op == "aten.add.Tensor" and node.arguments[1][1] == 1
        if follows_the_mode(node) or counts:
            node = with_names(node, own)
            read = [node.argument(n) for n in (("self",) if counts else ("running_mean", "running_var"))]
            made = node.outputs if counts else node.outputs[1:]
            for value, operand in zip(made, read, strict=True):
                name = held.get(operand.name, "") if isinstance(operand, Ref) else ""
                if isinstance(operand, Ref) and (not counts or name.endswith("num_batches_tracked")):
                    own[value.name] = operand.name
        elif any(name in own for name in node_inputs(node)):
            return graph
        nodes.append(node)
    if any(name in own for operand in graph.outputs for name in references(operand)):
        return graph
    return replace(graph, nodes=tuple(nodes))


def in_evaluation(training: Graph) -> Graph:
    """The graph in which the batch norms that follow the mode read their statistics, and move none of them."""
    before: dict[str, str] = {}  # statistics after a batch -> those before it
    nodes = []
    for node in training.nodes:
        node = with_names(node, before)
        if follows_the_mode(node):
            for value, name in zip(node.outputs[1:], ("running_mean", "running_var"), strict=True):
                statistic = node.argument(name)
                if isinstance(statistic, Ref):
                    before[value.name] = statistic.name
            node = replace(node.with_arguments(training=False), outputs=node.outputs[:1])
        nodes.append(node)
    held = {weight.value: weight.name for weight in training.weights}
    norms = {held[name].rpartition(".")[0] for name in before.values() if name in held}
    counters = {f"{path}.num_batches_tracked".lstrip(".") for path in norms}
    mutations = tuple(
        (weight, value) for weight, value in training.mutations if value not in before and weight not in counters
    )
    wanted = {value for _, value in mutations} | {n for operand in training.outputs for n in references(operand)}
    return replace(training, nodes=without_dead(nodes, wanted), mutations=mutations)


def _pairs(ours: Scope, theirs: Scope) -> Iterator[tuple[Scope, Scope]]:
    yield ours, theirs
    yield from zip(ours.own_bodies(), theirs.own_bodies(), strict=False)
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
    same = _same_statements(training.lines, evaluation.lines)
    branch = [replace(line, text=f"    {line.text}") for line in evaluation.lines[same:]]
    lines = [*training.lines[:same], Line(f"if {target().evaluates}:"), *branch, *training.lines[same:]]
    return replace(training, lines=lines), True


def _same_statements(training: list[Line], evaluation: list[Line]) -> int:
    """How many lines, of whole statements, both begin with."""
    same = 0
    for count, (line, other) in enumerate(zip(training, evaluation, strict=False)):
        if not line.text.startswith(" ") and not other.text.startswith(" "):
            same = count
        if line.text != other.text:
            break
    return same
