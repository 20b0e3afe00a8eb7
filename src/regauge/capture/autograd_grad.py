"""`torch.autograd.grad` inside a model: a derivative of what the model has computed so far.

torch.export follows no backward pass. While a model is traced, a call leaves an operator of our own, with the tensors
that are differentiated and those that it is by. What lies between them in the graph is copied into the body of a node
``regauge.grad`` or ``regauge.vjp``, as though the code had been written with `torch.func`. The compiler of JAX joins
what is computed twice then.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from regauge.capture.memory import View, whole
from regauge.capture.regions import LIBRARY
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError
from regauge.ir.graph import Graph, Node, Origin, Ref, Value, free_values, node_inputs, renamed, without_dead

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser

LIBRARY.define("derivative(Tensor[] outputs, Tensor[] inputs, Tensor[] cotangents) -> Tensor[]")
DERIVATIVE = "regauge.derivative.default"


def _empty_gradients(outputs: list[Tensor], inputs: list[Tensor], cotangents: list[Tensor]) -> list[Tensor]:
    return [tensor.new_empty(tensor.shape) for tensor in inputs]


torch.library.register_fake("regauge::derivative", _empty_gradients, lib=LIBRARY)


def marked(outputs: Any, inputs: Any, grad_outputs: Any, create_graph: bool, batched: bool) -> Any:
    """What `torch.autograd.grad` gives, while a model is traced.

    Args:
        outputs: a tensor, or several.
        inputs: the same, or tensors by name.
        grad_outputs: cotangents of the outputs, None for those of one element.
        create_graph: whether the result can be differentiated; it is a constant otherwise.
        batched: the cotangents have an axis more.

    Raises:
        CaptureError: `batched`, which has no counterpart.
    """
    if batched:
        raise CaptureError(
            "torch.autograd.grad with is_grads_batched=True has no counterpart here",
            code="C147",
            where=line_of_caller(),
            next="use torch.func.vmap over the function that torch.func.vjp gives, or torch.func.jacrev",
        )
    if isinstance(inputs, dict):
        found_in_order = marked(outputs, tuple(inputs.values()), grad_outputs, create_graph, batched)
        return dict(zip(inputs, found_in_order, strict=True))
    ys, xs = ([trees] if isinstance(trees, Tensor) else list(trees) for trees in (outputs, inputs))
    given = [grad_outputs] if grad_outputs is None or isinstance(grad_outputs, Tensor) else list(grad_outputs)
    given += [None] * (len(ys) - len(given))
    plain = len(ys) == 1 and ys[0].ndim == 0 and given == [None]
    cotangents = [] if plain else [torch.ones_like(y) if g is None else g for y, g in zip(ys, given, strict=True)]
    found: list[Tensor] = torch.ops.regauge.derivative(ys, xs, cotangents)
    return tuple(found if create_graph else [gradient.detach() for gradient in found])


def differentiated(walk: Functionaliser, node: fx.Node, raw: dict[str, Any], origin: Origin, start: int) -> list[View]:
    """The views of the gradients that a call gives, from a new node with a body.

    Args:
        walk: the graph so far.
        node: the call.
        raw: its arguments.
        origin: its place in the code.
        start: the first node of the function that the walk is in.

    Raises:
        CaptureError: an output does not depend on an input, or what lies between them cannot be run by itself.
    """
    _require_no_copies(walk, node, raw, origin)
    cotangents = [walk.resolve(item) for item in raw["cotangents"]]
    views: list[View] = [walk.env[item] for item in raw["inputs"]]
    xs = [walk.value_of(view) for view in views]
    ys = [walk.value_of(walk.env[item]) for item in raw["outputs"]]
    between = list(_between(walk.nodes, xs, ys, origin))
    _require_repeatable(between, walk.nodes[:start], origin)
    names: dict[str, str] = {}
    inputs = tuple(
        Value(names.setdefault(x, walk.unique("given")), view.spec) for x, view in zip(xs, views, strict=True)
    )
    copy = _Copy(walk, f"@{node.name}")
    nodes = [copy.of(item, names) for item in between]
    outputs = tuple(Ref(names[y]) for y in ys)
    body = Graph("aten", inputs, (), without_dead(nodes, {names[y] for y in ys}), outputs)
    arguments: dict[str, Any] = {"xs": tuple(Ref(x) for x in xs)}
    if cotangents:
        arguments["cotangents"] = tuple(cotangents)
    arguments["parameters"] = (tuple((_parameter(walk, x), ("",)) for x in xs),)
    arguments["returned"] = ((len(ys),),) if cotangents else ((1, 0),)
    arguments["closure"] = tuple(Ref(name) for name in free_values(body))
    specs = [view.spec for view in views]
    wanted = walk.wanted(node, specs)
    if not cotangents:
        wanted.append((f"{node.name}_value", walk.sizes.spec(raw["outputs"][0].meta["val"])))
    results = walk.emit("regauge.vjp" if cotangents else "regauge.grad", arguments, wanted, origin, (body,))
    return [whole(value, spec) for value, spec in zip(results, specs, strict=False)]


def _parameter(walk: Functionaliser, value: str) -> str:
    return value if value in walk.taken else "x"


def _between(nodes: Sequence[Node], xs: Sequence[str], ys: Sequence[str], origin: Origin) -> Iterator[Node]:
    """The nodes that lead from some values to others."""
    for x in xs:
        reached = {x}
        for node in nodes:
            if not reached.isdisjoint(node_inputs(node)):
                reached.update(value.name for value in node.outputs)
        if reached.isdisjoint(ys):
            raise CaptureError(
                "torch.autograd.grad is asked for a gradient by a tensor that was not used",
                code="C147",
                where=origin.line or origin.path,
                why="torch gives None for it, or an error, and JAX zeros",
                next="leave that tensor out of the inputs, and write None or zeros yourself",
            )
    reached, needed = set(xs), set(ys)
    for node in nodes:
        if not reached.isdisjoint(node_inputs(node)):
            reached.update(value.name for value in node.outputs)
    kept = []
    for node in reversed(nodes):
        made = {value.name for value in node.outputs}
        if not needed.isdisjoint(made) and not reached.isdisjoint(made - set(xs)):
            needed.update(node_inputs(node))
            kept.append(node)
    yield from reversed(kept)


def _require_no_copies(walk: Functionaliser, node: fx.Node, raw: dict[str, Any], origin: Origin) -> None:
    """Refuse a derivative by a clone where the result depends on what was cloned too: the graph has one value for both.

    Raises:
        CaptureError: it does.
    """
    xs: list[fx.Node] = raw["inputs"]
    values = {walk.value_of(walk.env[x]) for x in xs}
    others = {n for n, held in walk.env.items() if isinstance(held, View) and held.value in values and n not in xs}
    before = {n for x in xs for n in _ancestors(x)}
    reached = others & before
    for item in node.graph.nodes:
        if item is node:
            break
        if item not in before and item not in xs and not reached.isdisjoint(item.all_input_nodes):
            reached.add(item)
    if not reached.isdisjoint(raw["outputs"]):
        raise CaptureError(
            "torch.autograd.grad takes a gradient by a copy of a tensor, and the tensor itself is used as well",
            code="C147",
            where=origin.line or origin.path,
            why="a copy has no identity of its own in JAX",
            next="write the part that is differentiated as a function, and use torch.func.grad(function)(x)",
        )


def _ancestors(node: fx.Node) -> set[fx.Node]:
    found: set[fx.Node] = set()
    waiting = list(node.all_input_nodes)
    while waiting:
        item = waiting.pop()
        if item not in found:
            found.add(item)
            waiting += item.all_input_nodes
    return found


def _require_repeatable(between: Sequence[Node], outside: Collection[Node], origin: Origin) -> None:
    """Refuse what would act twice in a copy, and what begins outside of the function that asks for the derivative.

    Raises:
        CaptureError: a batch norm keeps statistics, or nodes lie outside.
    """
    outer = {id(node) for node in outside}
    statistics = [node for node in between if node.op == "aten.batch_norm.default" and node.argument("training")]
    if not statistics and not any(id(node) in outer for node in between):
        return
    raise CaptureError(
        "torch.autograd.grad differentiates a batch norm in training"
        if statistics
        else "torch.autograd.grad differentiates what was computed outside of the function that it stands in",
        code="C147",
        where=origin.line or origin.path,
        why="what is differentiated becomes a function of its own, and has no effect but its results",
        next="a layer norm or group norm keeps no statistics"
        if statistics
        else "write the part that is differentiated as a function, and use torch.func.grad(function)(x)",
    )


class _Copy:
    """Nodes once more, with values and calls of their own."""

    def __init__(self, walk: Functionaliser, mark: str) -> None:
        self.walk, self.mark = walk, mark

    def of(self, node: Node, names: dict[str, str]) -> Node:
        """A copy of a node; `names` gets the new names of its results."""
        arguments = tuple((key, renamed(operand, names)) for key, operand in node.arguments)
        bodies = tuple(self._body(body, names) for body in node.bodies)
        outputs = tuple(self._value(value, names) for value in node.outputs)
        steps = tuple(replace(step, call=f"{step.call}{self.mark}") for step in node.origin.modules)
        origin = replace(node.origin, modules=steps)
        return replace(node, arguments=arguments, bodies=bodies, outputs=outputs, origin=origin)

    def _value(self, value: Value, names: dict[str, str]) -> Value:
        names[value.name] = self.walk.unique(value.name)
        return replace(value, name=names[value.name])

    def _body(self, body: Graph, names: dict[str, str]) -> Graph:
        inner = dict(names)
        inputs = tuple(self._value(value, inner) for value in body.inputs)
        nodes = tuple(self.of(node, inner) for node in body.nodes)
        return replace(body, inputs=inputs, nodes=nodes, outputs=tuple(renamed(item, inner) for item in body.outputs))
