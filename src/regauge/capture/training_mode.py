"""Training and evaluation: which one is captured, and whether the other is the same code.

A converted module serves both modes, because dropout and batch norm follow a switch of their own. That holds unless
the person's code asks for `self.training` itself; so reads of it are watched during export, and only where one
matters is the model exported in the other mode too.
"""

from __future__ import annotations

import ast
import random
import re
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from regauge.capture.node_keys import node_keys
from regauge.capture.source_lines import is_own
from regauge.findings import Finding
from regauge.ir.dropouts import dropout_rate
from regauge.ir.graph import (
    FORMULA,
    Graph,
    Node,
    Operand,
    Ref,
    every_node,
    node_inputs,
    references,
    with_bodies,
    with_every_node,
    without_dead,
)

# Code of torch that acts on layers from outside; what layers themselves do with the mode is known.
_TORCH_NN = "/torch/nn/utils/"
# Arguments through which a dropout learns the mode or its rate.
_RATE_NAMES = frozenset({"dropout", "dropout_p", "attn_dropout", "attention_dropout", "p", "training", "train"})
_DROPOUT_CALL = re.compile(r"(^|_)dropout[123]?d?$")


@contextmanager
def unchanged(model: nn.Module) -> Iterator[None]:
    """Whatever happens inside, the model has its modes, parameters and buffers afterwards, random streams their state.

    So have tables whose rows a lookup scales; other parameters that a model writes to are refused.
    """
    modes = [(module, module.training) for module in model.modules()]
    owned = [(module, dict(module._parameters), dict(module._buffers)) for module in model.modules()]
    buffers = [(buffer, buffer.detach().clone()) for buffer in model.buffers()]
    python = random.getstate()
    try:
        with torch.random.fork_rng(), _tables_kept():
            yield
    finally:
        random.setstate(python)
        for module, mode in modes:
            module.training = mode
        for module, parameters, held in owned:
            module._parameters.update(parameters)  # what the model assigned to them is another tensor
            module._buffers.update(held)
        with torch.no_grad():
            for buffer, before in buffers:
                if not torch.equal(buffer, before):
                    buffer.copy_(before)


@contextmanager
def _tables_kept() -> Iterator[None]:
    """Puts back the tables whose rows `F.embedding` and `F.embedding_bag` scale where they are given a `max_norm`."""
    limit, found = torch.embedding_renorm_, dict[int, tuple[Tensor, Tensor]]()

    def noting(table: Tensor, *rest: Any) -> Tensor:
        if type(table) is Tensor:  # with values: no tensor of a trace
            found.setdefault(table.data_ptr(), (table, table.clone()))
        return limit(table, *rest)

    torch.embedding_renorm_ = noting  # type: ignore[assignment]  # a builtin has no type of its own
    try:
        yield
    finally:
        torch.embedding_renorm_ = limit
        for table, before in found.values():
            table.copy_(before)


def set_mode(model: nn.Module, train: bool) -> None:
    """Training mode keeps sub-modules that a person left in evaluation inside a training model."""
    if not train:
        model.eval()
    elif not model.training:
        model.train()


def left_in_evaluation(model: nn.Module) -> list[str]:
    """Paths of modules whose mode matters and that stay in evaluation while the model trains."""
    kinds = (nn.modules.batchnorm._NormBase, nn.modules.dropout._DropoutNd)
    return [path for path, module in model.named_modules() if isinstance(module, kinds) and not module.training]


# reads of self.training --------------------------------------------------------------------------------------------


@dataclass
class Reads:
    """Lines of own code that asked for the mode: (file, line)."""

    lines: set[tuple[str, int]] = field(default_factory=set)

    def that_matter(self) -> list[tuple[str, int]]:
        """Those that are not just the switch of a dropout."""
        return sorted(line for line in self.lines if not _is_dropout_switch(*line))


class _WatchedTraining:
    """A descriptor in place of the attribute: instances keep the value in their `__dict__`, where it always is."""

    def __init__(self, reads: Reads) -> None:
        self.reads = reads

    def __get__(self, module: Any, owner: type | None = None) -> Any:
        if module is None or "training" not in module.__dict__:
            raise AttributeError("training")
        caller = sys._getframe(1)
        if is_own(caller.f_code.co_filename) or _TORCH_NN in caller.f_code.co_filename:
            self.reads.lines.add((caller.f_code.co_filename, caller.f_lineno))
        return module.__dict__["training"]

    def __set__(self, module: Any, value: bool) -> None:
        module.__dict__["training"] = value


@contextmanager
def watched() -> Iterator[Reads]:
    """Record which own lines read `module.training` while the block runs."""
    reads = Reads()
    nn.Module.training = _WatchedTraining(reads)  # type: ignore[assignment]
    try:
        yield reads
    finally:
        del nn.Module.training


def _is_dropout_switch(file: str, line: int) -> bool:
    """Whether every `.training` of a line only switches a dropout or sets its rate."""
    found = [harmless for first, last, harmless in _reads_in(file) if first <= line <= last]
    return bool(found) and all(found)


@lru_cache(maxsize=256)
def _reads_in(file: str) -> tuple[tuple[int, int, bool], ...]:
    """(first line, last line, only switches a dropout) of every `.training` in a file."""
    try:
        tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    except (OSError, SyntaxError, UnicodeDecodeError):
        return ()
    switched: set[ast.Attribute] = set()
    found: list[ast.Attribute] = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            switched.update(_switches(node))
        if isinstance(node, ast.Attribute) and node.attr == "training":
            found.append(node)
    return tuple((node.lineno, node.end_lineno or node.lineno, node in switched) for node in found)


def _switches(call: ast.Call) -> Iterator[ast.Attribute]:
    """The reads of the mode in arguments of a call that are a dropout's switch, or choose its rate."""
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    is_dropout = _DROPOUT_CALL.search(name.lower()) is not None
    for argument in [*call.args, *call.keywords]:
        key = argument.arg if isinstance(argument, ast.keyword) else None
        value = argument.value if isinstance(argument, ast.keyword) else argument
        if is_dropout and isinstance(value, ast.Attribute) and value.attr == "training":
            yield value
        if isinstance(value, ast.IfExp) and (is_dropout or key in _RATE_NAMES):
            condition: ast.AST = value.test.operand if isinstance(value.test, ast.UnaryOp) else value.test
            if isinstance(condition, ast.Attribute) and condition.attr == "training":
                yield condition


# dropout that evaluation does not switch off -----------------------------------------------------------------------


def needs_evaluation(graph: Graph) -> bool:
    """Whether the graph of training does not say what evaluation does, so that it is captured too."""
    return _has_switches_of_its_own(graph) or _has_unswitched_dropout(graph)


def _has_unswitched_dropout(graph: Graph) -> bool:
    """Whether a dropout of own code may have no switch: ``F.dropout(x, 0.5)`` drops in evaluation too."""
    return any(dropout_rate(node) is not None and not _is_switched(node) for node in every_node(graph))


def _is_switched(node: Node) -> bool:
    """Whether a layer of torch called it, or the line that called it hands on the mode."""
    frames = [frame for frame in node.origin.frames if frame.function != FORMULA]
    if _is_in_layer_of_torch(node):
        return True
    return bool(frames) and _is_dropout_switch(frames[-1].file, frames[-1].line)


def always_dropping(evaluation: Graph) -> Graph:
    """The graph of evaluation, in which every dropout that drops is one that nothing switches off."""
    return with_every_node(evaluation, lambda n: replace(n, always=True) if dropout_rate(n) is not None else n)


def with_always(training: Graph, evaluation: Graph) -> Graph:
    """The graph of training, with the dropouts marked that evaluation, from `always_dropping`, has too."""
    left = Counter(_place(node) for node in every_node(evaluation) if node.always)

    def marked(node: Node) -> Node:
        stays = dropout_rate(node) is not None and left[_place(node)] > 0
        left[_place(node)] -= stays
        return replace(node, always=True) if stays else node

    return with_every_node(training, marked)


# comparing the two modes ---------------------------------------------------------------------------------------------

# Operators with a switch that the converted module has no attribute for: evaluation is a graph of its own.
_OWN_SWITCHES = frozenset(
    f"aten.{name}.default" for name in ("feature_dropout", "alpha_dropout", "feature_alpha_dropout", "rrelu")
)
_SWITCHES: dict[str, dict[str, Operand]] = {
    "aten.scaled_dot_product_attention.default": {"dropout_p": 0.0},
    "aten.batch_norm.default": {"training": False},
    **{f"aten.{kind}.input": {"train": False} for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
    **{f"regauge.{kind}_padded.default": {"train": False} for kind in ("lstm", "gru", "rnn_tanh", "rnn_relu")},
}


def _has_switches_of_its_own(graph: Graph) -> bool:
    """Whether evaluation differs by operators that no attribute of the converted module switches.

    A function of control flow returns the statistics that its batch norms move, in training alone.
    """
    stored = {weight for weight, _ in graph.mutations}
    inside = {id(node) for outer in graph.nodes for body in outer.bodies for node in every_node(body)}
    return any(
        node.op in _OWN_SWITCHES
        or (node.op == "aten.instance_norm.default" and node.argument("running_mean") is not None)
        or (node.op == "aten.batch_norm.default" and (id(node) in inside or _is_norm_of_its_own(node, stored)))
        for node in every_node(graph)
    )


def _is_norm_of_its_own(node: Node, stored: set[str]) -> bool:
    """A batch norm that own code calls, or a layer of torch whose statistics are not the operator's: the cumulative."""
    if not _is_in_layer_of_torch(node):
        return bool(node.argument("training"))
    path = node.origin.path
    return node.argument("running_mean") is None and f"{path}.running_mean".lstrip(".") in stored


def _is_in_layer_of_torch(node: Node) -> bool:
    modules = node.origin.modules
    return bool(modules) and modules[-1].type.startswith("torch.nn.modules.")


def differences(a: Graph, b: Graph) -> list[Node]:
    """Nodes in which two captures of one model differ by more than the switches of dropout and batch norm."""
    nodes_a, nodes_b = _without_switches(a), _without_switches(b)
    keys_a, keys_b = node_keys(a, nodes_a), node_keys(b, nodes_b)
    changed = _stored(a) ^ _stored(b)
    if keys_a == keys_b and not changed:
        return []
    count_a, count_b = (Counter(_place(node) for node in nodes) for nodes in (nodes_a, nodes_b))
    only = [n for n in nodes_a if count_a[_place(n)] != count_b[_place(n)]]
    only += [n for n in nodes_b if _place(n) not in count_a]
    only = only or [*_makers(a, changed), *_makers(b, changed)]
    if only:
        return only
    first = next((i for i, (x, y) in enumerate(zip(keys_a, keys_b, strict=False)) if x != y), 0)
    return nodes_a[first : first + 1] or nodes_b[first : first + 1]


def _makers(graph: Graph, buffers: set[str]) -> list[Node]:
    made = {value for weight, value in graph.mutations if weight in buffers}
    return [node for node in graph.nodes if any(value.name in made for value in node.outputs)]


def _place(node: Node) -> tuple[str, str, str]:
    return node.op, node.origin.path, node.origin.line


def _without_switches(graph: Graph) -> list[Node]:
    """The nodes that outputs need, as they are in evaluation."""
    return list(_switched_off(graph, {}).nodes)


def _switched_off(graph: Graph, same: dict[str, Operand], *, inside: bool = False) -> Graph:
    """A graph without dropouts, with the other switches as in evaluation, and without what nothing needs then.

    Args:
        graph: of the model, or a function in it.
        same: for the results of dropouts what they are of; receives those of the graph.
        inside: whether it is a function, whose batch norms differ: in training they are results of it.
    """

    def renamed(operand: Operand) -> Operand:
        if isinstance(operand, Ref):
            return same.get(operand.name, operand)
        return tuple(renamed(item) for item in operand) if isinstance(operand, tuple) else operand

    nodes = []
    for node in graph.nodes:
        node = replace(node, arguments=tuple((name, renamed(value)) for name, value in node.arguments))
        if node.op == "aten.dropout.default":
            same[node.outputs[0].name] = node.argument("input")
            continue
        if node.bodies:
            node = with_bodies(node, [_switched_off(body, same, inside=True) for body in node.bodies])
        follows = _is_in_layer_of_torch(node) and not inside
        if node.op in _SWITCHES and (node.op != "aten.batch_norm.default" or follows):
            kept = node.outputs[:1] if "norm" in node.op else node.outputs
            node = replace(node.with_arguments(**_SWITCHES[node.op]), outputs=kept)
        nodes.append(node)
    outputs = tuple(renamed(operand) for operand in graph.outputs)
    needed = {name for operand in outputs for name in references(operand)}
    return replace(graph, nodes=without_dead(nodes, needed), outputs=outputs)


def _stored(graph: Graph) -> set[str]:
    """Buffers that are written, apart from the statistics of normalization."""
    normalized: set[str] = set()
    values = {weight.value: weight.name for weight in graph.weights}
    for node in graph.nodes:
        if node.op == "aten.batch_norm.default" and _is_in_layer_of_torch(node):
            names = [values[name] for name in node_inputs(node) if name in values]
            normalized.update(names)
            normalized.update(f"{name.rpartition('.')[0]}.num_batches_tracked".lstrip(".") for name in names)
    return {weight for weight, _ in graph.mutations} - normalized


def mode_finding(nodes: list[Node]) -> Finding:
    """C120: the two modes are different code."""
    places = dict.fromkeys(f"{node.origin.path or 'the model'} ({node.origin.line or node.op})" for node in nodes)
    shown = ", ".join(list(places)[:6]) + (", ..." if len(places) > 6 else "")
    text = f"Training and evaluation run different operators here, not only dropout and batch norm: {shown}."
    return Finding("C120", "warning", nodes[0].origin.line, text)


def evaluation_finding(paths: list[str]) -> Finding:
    """C121: modules that stay in evaluation while the model trains."""
    shown = ", ".join(paths[:6]) + (", ..." if len(paths) > 6 else "")
    text = f"{len(paths)} modules stay in evaluation while the model trains, as the case left them: {shown}."
    return Finding("C121", "info", paths[0], text)
