"""Regions of the traced graph (`capture.regions`) cut out of it: nodes with bodies."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import torch
from torch import fx

from regauge.capture.memory import Arguments, Memory, View, mark, whole
from regauge.capture.regions import LEFT_OUT
from regauge.errors import CaptureError
from regauge.ir.graph import (
    Graph,
    Node,
    Operand,
    Origin,
    Ref,
    Value,
    free_values,
    node_inputs,
    references,
    with_names,
    without_dead,
)

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser

_Part = tuple[list[Node], Sequence[fx.Node], Sequence[fx.Node]]  # nodes, what enters, what leaves
_OWNER = "argument of a function of control flow"


@dataclass
class _Open:
    """A region whose end has not come yet.

    Attributes:
        began: a number; memory from outside has smaller ones.
        starts: for each of its functions, where its nodes begin.
        before: memory from outside that the function which is walked writes to, with the value that it had before.
        after: for each function that ended, the values that it left in such memory.
        changed: all such memory, with the view of the whole of it and where it was written to first.
    """

    began: int
    starts: list[int] = field(default_factory=list)
    before: dict[Memory, str] = field(default_factory=dict)
    after: list[dict[Memory, str]] = field(default_factory=list)
    changed: dict[Memory, tuple[View, Origin]] = field(default_factory=dict)

    def note_write(self, view: View, origin: Origin) -> None:
        """Remember what memory from outside holds before a function writes to it."""
        if view.memory.number < self.began:
            self.before.setdefault(view.memory, view.memory.value)
            self.changed.setdefault(view.memory, (view.root, origin))

    def end_function(self) -> None:
        """Give memory from outside back what it held when the function began."""
        self.after.append({memory: memory.value for memory in self.before})
        _set(self.before)
        self.before.clear()

    @contextmanager
    def as_left(self, index: int) -> Iterator[None]:
        """Within the block memory holds what a function left in it."""
        before = {memory: memory.value for memory in self.after[index]}
        _set(self.after[index])
        yield
        _set(before)

    def left_in(self, index: int) -> list[Ref]:
        """What the changed memory holds after a function."""
        return [Ref(self.after[index].get(memory, memory.value)) for memory in self.changed]


def _set(values: Mapping[Memory, str]) -> None:
    for memory, value in values.items():
        memory.value = value
        memory.version += 1  # views of it are made again


@dataclass
class Bodies:
    """The regions of a walk, open ones and those that are closed."""

    walk: Functionaliser
    _open: dict[int, _Open] = field(default_factory=dict)
    _views: set[str] = field(default_factory=set)  # views of outer tensors that were made again inside
    _closed: set[str] = field(default_factory=set)  # values that there are inside bodies only

    @property
    def start(self) -> int:
        """Where the nodes of the innermost function begin that the walk is in."""
        return max((region.starts[-1] for region in self._open.values()), default=0)

    def enter(self, raw: Mapping[str, Any], made: Sequence[torch.Tensor]) -> list[View]:
        """The tensors that a function gets."""
        walk = self.walk
        region = self._open.setdefault(raw["region"], _Open(mark()))
        if region.starts:
            region.end_function()
        region.starts.append(len(walk.nodes))
        views = []
        for tensor in made:
            value = walk.unique("given")
            views.append(whole(value, walk.sizes.spec(tensor), _OWNER))
            if tensor.is_floating_point() or tensor.is_complex():
                walk.carries.add(value)
        return views

    def leave(self, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> list[View]:
        """End a region: a node with its functions as bodies; gives the views of its results."""
        walk = self.walk
        if raw["kind"] == LEFT_OUT:
            return self._leave_out(raw["region"])
        about = json.loads(raw["about"])
        region, called = self._end(raw, about)
        starts = region.starts
        segments = [walk.nodes[start:end] for start, end in zip(starts, [*starts[1:], None], strict=True)]
        del walk.nodes[starts[0] :]
        entered = _cut(raw["entered"], about["entered"])
        left = _cut(raw["left"], [sum(counts) for counts in about["returned"]])
        parts = list(zip(segments, entered, left, strict=True))
        if raw["kind"] == "own_gradient":
            forward, backward = parts
            drawn = self._draw_outside(forward[0], forward[1], raw["given"])
            bodies = self._forward_and_backward(forward, backward, drawn)
            about["settings"]["residuals"] = len(bodies[0].outputs) - about["returned"][0][0]
        else:
            bodies = []
            for index, part in enumerate(parts):
                with region.as_left(index):
                    bodies.append(self._body(*part, region.left_in(index)))
            if about["settings"].pop("second_first", False):  # the order of tracing, not that of the call
                for items in (bodies, about["parameters"], about["returned"]):
                    items.reverse()
        if region.changed:
            about["settings"]["names"] += called
            for counts in about["returned"]:
                counts[-1] += len(region.changed)
        count = sum(size for _, size in about["groups"])
        arguments = _arguments(about, [walk.resolve(item) for item in raw["given"][:count]])
        if raw["kind"] == "while_loop":
            flows = any(name in walk.carries for name in _read(arguments.values()))
            arguments["differentiable"] = flows and walk.inside is None
        arguments["closure"] = tuple(Ref(name) for name in _free(bodies))
        specs = walk.specs(node, origin)
        changed = [view for view, _ in region.changed.values()]
        wanted = [*walk.wanted(node, specs), *((view.memory.value, view.spec) for view in changed)]
        names = walk.emit(f"regauge.{raw['kind']}", arguments, wanted, origin, tuple(bodies))
        for view, value in zip(changed, names[len(specs) :], strict=True):
            walk.write(view, value, origin)
        return [whole(value, spec) for value, spec in zip(names, specs, strict=False)]

    def _leave_out(self, first: int) -> list[View]:
        """Forget a region that an error has ended, and those that had begun inside it."""
        for number in sorted((number for number in self._open if number >= first), reverse=True):
            region = self._open.pop(number)
            region.end_function()
        nodes = self.walk.nodes[region.starts[0] :]
        del self.walk.nodes[region.starts[0] :]
        self._body(nodes, (), ())  # keeps what was made again of tensors from outside
        return []

    def _end(self, raw: Mapping[str, Any], about: dict[str, Any]) -> tuple[_Open, list[str]]:
        """Close a region; gives it, and what the person calls the memory from outside that its functions wrote to.

        Raises:
            CaptureError: a function that is no way of a condition wrote to such memory.
        """
        region = self._open.pop(raw["region"])
        region.end_function()
        names = about["settings"].pop("changed", None)
        if names is None:
            if region.changed:
                raise _writes(next(origin for _, origin in region.changed.values()))
            return region, []
        _, count = about["groups"].pop()
        tensors = raw["given"][len(raw["given"]) - count :]
        called = {self.walk.env[tensor].memory: name for tensor, name in zip(tensors, names, strict=True)}
        return region, [called.get(memory, _attribute(memory)) for memory in region.changed]

    def _draw_outside(
        self, nodes: list[Node], entered: Sequence[fx.Node], given: Sequence[fx.Node]
    ) -> tuple[Value, ...]:
        """Draw the random numbers of a function with its own derivative before it; gives their values.

        It runs once, so that they may be drawn where the module draws all others. What a draw depends on, most often a
        shape alone, is computed there from the arguments. The derivative is its author's, which loses nothing by that.

        Args:
            nodes: of the function; the draws are taken out of it.
            entered: what it gets.
            given: the same tensors outside.
        """
        draws = [node for node in nodes if _draws(node)]
        needed = {name for node in draws for name in node_inputs(node)}
        for node in reversed(nodes):
            if needed.intersection(value.name for value in node.outputs):
                needed.update(node_inputs(node))
        moved = [node for node in nodes if node in draws or needed.intersection(v.name for v in node.outputs)]
        if any(node.bodies for node in moved):
            return ()
        walk = self.walk
        pairs = zip(entered, given, strict=True)
        outside = {walk.env[inner].memory.value: walk.value_of(walk.env[outer]) for inner, outer in pairs}
        for node in moved:
            if node in draws:
                nodes.remove(node)
                walk.nodes.append(with_names(node, outside))
                continue
            results = [(value.name, value.spec) for value in node.outputs]
            names = walk.emit(node.op, dict(with_names(node, outside).arguments), results, node.origin)
            outside |= {value.name: name for value, name in zip(node.outputs, names, strict=True)}
        return tuple(value for node in draws for value in node.outputs)

    def _forward_and_backward(self, forward: _Part, backward: _Part, drawn: Sequence[Value]) -> list[Graph]:
        """A function and its derivative: what the derivative reads of the function, the function gives it too."""
        second = self._body(*backward)
        made = {value.name for node in forward[0] for value in node.outputs} | {value.name for value in drawn}
        made |= {self.walk.env[item].memory.value for item in forward[1]}
        saved = [name for name in free_values(second) if name in made]
        first = self._body(*forward, [Ref(name) for name in saved])
        specs = {value.name: value.spec for node in first.nodes for value in node.outputs}
        specs |= {value.name: value.spec for value in (*first.inputs, *drawn)}
        residuals = tuple(Value(name, specs[name]) for name in saved)
        return [first, replace(second, inputs=(*residuals, *second.inputs))]

    def _body(
        self, nodes: list[Node], entered: Sequence[fx.Node], left: Sequence[fx.Node], besides: Sequence[Ref] = ()
    ) -> Graph:
        walk = self.walk
        before = len(walk.nodes)
        outputs = (*(walk.resolve(item) for item in left), *besides)
        nodes += walk.nodes[before:]  # views of what the function changed are made when they are read
        del walk.nodes[before:]
        inputs = []
        for item in entered:
            view: View = walk.env[item]
            inputs.append(Value(view.memory.value, view.spec))
        inside = {value.name for value in inputs}
        kept: list[Node] = []
        for node in nodes:
            names = [value.name for value in node.outputs]
            if self._views.issuperset(names) and not inside.intersection(node_inputs(node)):
                walk.nodes.append(node)
                continue
            inside.update(names)
            kept.append(node)
        self._closed |= inside
        needed = {name for operand in outputs for name in references(operand)}
        return Graph("aten", tuple(inputs), (), without_dead(kept, needed), outputs)

    # what bodies must not do -----------------------------------------------------------------------------------

    def note_views(self, nodes: Iterable[Node]) -> None:
        """Remember views that a read had to make again: those of outer tensors belong outside."""
        if self._open:
            self._views.update(value.name for node in nodes for value in node.outputs)

    def require_known(self, node: Node) -> None:
        """Refuse a node outside that reads a value of a body, which Python code kept for it."""
        if self._closed and not self._closed.isdisjoint(node_inputs(node)):
            raise CaptureError(
                "the model keeps a tensor that a function of control flow made, and uses it outside",
                code="C145",
                where=node.origin.line or node.origin.path,
                why="inside the function it is another tensor each time that the function runs",
                next="return it from the function",
            )

    def note_write(self, view: View, origin: Origin) -> None:
        """Note a write inside a function to a tensor that is not of its own making.

        Raises:
            CaptureError: it is an argument of the function.
        """
        if view.memory.owner == _OWNER:
            raise _writes(origin)
        for region in self._open.values():
            region.note_write(view, origin)


def _attribute(memory: Memory) -> str:
    """The name of the buffer that some memory is, without its module; an empty string for other memory."""
    return memory.owner.removeprefix("buffer ").rpartition(".")[2]


def _writes(origin: Origin) -> CaptureError:
    return CaptureError(
        "a function of control flow changes a tensor in place that it did not make",
        code="C145",
        where=origin.line or origin.path,
        why="JAX traces the function once and runs it as often as needed: it has no effect but its results",
        next="return the new value, and assign it outside",
    )


def _draws(node: Node) -> bool:
    """Whether an operator gives other numbers each time that it runs."""
    if not node.op.startswith("aten."):
        return False
    _, packet, overload = node.op.split(".")
    if torch.Tag.nondeterministic_seeded not in getattr(getattr(torch.ops.aten, packet), overload).tags:
        return False
    arguments = dict(node.arguments)
    switched_off = arguments.get("train", arguments.get("training", True)) is False
    return not switched_off and arguments.get("dropout_p") != 0.0


def _cut(items: Sequence[Any], counts: Sequence[int]) -> Iterator[Sequence[Any]]:
    """The items in groups of these sizes."""
    at = 0
    for count in counts:
        yield items[at : at + count]
        at += count


def _arguments(about: Mapping[str, Any], given: list[Operand]) -> Arguments:
    """Arguments of the node: groups of tensors by their name, settings, and what the bodies take and return."""
    arguments: Arguments = {}
    names = [name for name, _ in about["groups"]]
    for name, group in zip(names, _cut(given, [count for _, count in about["groups"]]), strict=True):
        arguments[name] = group[0] if name == "pred" else tuple(group)
    arguments |= {name: _operand(value) for name, value in about["settings"].items()}
    arguments["parameters"] = _operand(about["parameters"])
    arguments["returned"] = _operand(about["returned"])
    return arguments


def _operand(value: Any) -> Operand:
    return tuple(_operand(item) for item in value) if isinstance(value, list) else value


def _read(operands: Iterable[Operand]) -> list[str]:
    return [name for operand in operands for name in references(operand)]


def _free(bodies: Iterable[Graph]) -> list[str]:
    """Values that bodies read and do not make, in order."""
    return list(dict.fromkeys(name for body in bodies for name in free_values(body)))
