"""From the exported graph of torch.fx to functional nodes of our own, in one walk.

`torch.export` keeps high-level operators whole, and in-place operations and views as the person wrote them. This
walk removes both (`memory`), writes what torch spells in several ways in one (`to`, `clone`, `empty`), drops what
has no meaning without memory, and takes regions without gradients or autocast apart.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import fx
from torch.fx.experimental.symbolic_shapes import free_unbacked_symbols

from regauge.capture import joined_tensors, norms, spelling, value_checks
from regauge.capture.arguments import (
    attribute,
    bind,
    is_tensor,
    is_view_unsaid,
    may_alias,
    named,
    op_name,
    operand,
    shares_memory,
    viewed,
    written,
)
from regauge.capture.autocast import Autocast, operands_cast
from regauge.capture.autograd_grad import DERIVATIVE, differentiated
from regauge.capture.bodies import Bodies
from regauge.capture.failures import DataDependent
from regauge.capture.generators import without_generator
from regauge.capture.inlined import higher_order
from regauge.capture.inplace import functional, functional_of_out, reordered, result_dtype
from regauge.capture.memory import Arguments, Step, View, not_its_own, read, whole, write
from regauge.capture.regions import ENTER, LEAVE
from regauge.capture.sizes import Sizes, dtype_name
from regauge.capture.source_lines import origin_of
from regauge.capture.strides import in_memory_order
from regauge.dtypes import kind
from regauge.errors import CaptureError
from regauge.ir.graph import Graph, Node, Operand, Origin, Ref, TensorSpec, Value, node_inputs


@dataclass
class Functionaliser:
    """The walk over one exported graph.

    Args:
        sizes: names and text of symbolic sizes.
        trainable: names of placeholders that gradients flow into.
    """

    sizes: Sizes
    trainable: set[str]
    nodes: list[Node] = field(default_factory=list)
    data_dependent: list[DataDependent] = field(default_factory=list)
    env: dict[fx.Node, Any] = field(default_factory=dict)  # a `View`, a list of them, a number, a `Sym`
    bodies: Bodies = field(init=False)
    names: set[str] = field(default_factory=set)
    taken: dict[str, Value] = field(default_factory=dict)  # that the graph is given
    inside: set[str] | None = None  # values made in the torch.no_grad region that the walk is in
    _unbacked: set[Any] = field(default_factory=set)  # symbols of sizes that depend on values
    carries: set[str] = field(default_factory=set)  # values that a gradient flows through
    autocast: Autocast | None = None  # the region that the walk is in
    written: dict[str, Origin] = field(default_factory=dict)  # inputs that are written to, and where first

    def __post_init__(self) -> None:
        self.bodies = Bodies(self)

    # what the graph takes and gives ----------------------------------------------------------------------------

    def take(self, node: fx.Node, value: str, owner: str) -> View:
        """Declare a placeholder: its tensor is the graph value `value`."""
        self.env[node] = view = whole(value, self.sizes.spec(node.meta["val"]), owner)
        self.names.add(value)
        self.taken[value] = Value(value, view.spec)
        self.carries |= {value} & self.trainable
        return view

    def hold(self, node: fx.Node, held: Any) -> None:
        """Say what a placeholder stands for: the tensor of another one, or a constant."""
        self.env[node] = held

    def result(self, node: Any) -> Operand:
        """The operand of an output of the graph, read after all operations."""
        return operand(node, self.resolve)

    def walk(self, graph: fx.Graph) -> tuple[Any, ...]:
        """Convert the nodes of a graph; gives the arguments of its output node."""
        outputs: tuple[Any, ...] = ()
        for node in graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "get_attr":
                self.env[node] = attribute(node)
            elif node.op == "output":
                outputs = tuple(node.args[0])  # type: ignore[arg-type]
        return outputs

    # one node --------------------------------------------------------------------------------------------------

    def _call(self, node: fx.Node) -> None:
        target: Any = node.target
        if getattr(target, "__name__", "") == "getitem" and isinstance(node.args[0], fx.Node):
            self.env[node] = self.env[node.args[0]][node.args[1]]
            return
        if isinstance(target, torch._ops.HigherOrderOperator):
            higher_order(self, node)
            return
        if op_name(target).startswith(spelling.IGNORED):
            return
        val = node.meta.get("val")
        if not isinstance(val, torch.Tensor | list | tuple):
            self._number(node, val)
            return
        if not isinstance(target, torch._ops.OpOverload):
            raise CaptureError(f"{op_name(target)} is not an operator of torch", where=origin_of(node.meta).line)
        self._operator(node)

    def _number(self, node: fx.Node, val: Any) -> None:
        """Sizes are expressions, never nodes."""
        if isinstance(val, torch.SymInt | torch.SymFloat | torch.SymBool):
            if op_name(node.target) in spelling.VALUES and not value_checks.is_only_checked(node):
                self.data_dependent.append(DataDependent(op_name(node.target), origin_of(node.meta)))
                val = None
            else:
                val = None if isinstance(val, torch.SymBool) else self.sizes.scalar(val)
        self.env[node] = val

    def _operator(self, node: fx.Node) -> None:
        target: Any = node.target
        name, raw, origin = str(target), bind(node), origin_of(node.meta)
        if name == ENTER:
            self.env[node] = self.bodies.enter(raw, node.meta["val"])
            return
        if name == LEAVE:
            self.env[node] = self.bodies.leave(node, raw, origin)
            return
        if name == DERIVATIVE:
            self.env[node] = differentiated(self, node, raw, origin, self.bodies.start)
            return
        if (ordered := in_memory_order(node, raw.get("self"), origin)) is not None:
            self._call(ordered)
            raw = bind(node)
        name, raw = without_generator(name, raw, origin)
        with operands_cast(self, node, raw, origin):
            self._converted(node, name, raw, origin)

    def _converted(self, node: fx.Node, name: str, raw: dict[str, Any], origin: Origin) -> None:
        target: Any = node.target
        if name in spelling.SAME:
            self.env[node] = self._same(node, raw["self"], origin)
        elif name in spelling.CASTS:
            self.env[node] = self._cast(node, raw["self"], origin)
        elif name.startswith("aten.meshgrid") and len(raw["tensors"]) == 1 == raw["tensors"][0].meta["val"].ndim:
            self.env[node] = [self.env[raw["tensors"][0]]]
        elif name == "aten.broadcast_tensors.default":
            self.env[node] = [self._broadcast(node, i, origin) for i in range(len(raw["tensors"]))]
        elif write := norms.OPERATORS.get(name) or joined_tensors.OPERATORS.get(name):
            write(self, node, raw, origin)
        elif written(target):
            self._in_place(node, raw, origin)
        elif may_alias(target) or name == "aten.dropout.default" or is_view_unsaid(node, raw):
            self._view(node, name, raw, origin)
        else:
            self.plain(node, spelling.UNFILLED.get(name, name), raw, origin)

    def plain(self, node: fx.Node, op: str, raw: Mapping[str, Any], origin: Origin) -> None:
        """An operator that makes new tensors."""
        if op == "aten.zeros.default":
            raw = {key: value for key, value in raw.items() if key != "memory_format"}
        specs = self.specs(node, origin)
        names = self.emit(op, self.arguments(raw), self.wanted(node, specs), origin)
        views = [whole(value, spec) for value, spec in zip(names, specs, strict=True)]
        self.env[node] = views[0] if isinstance(node.meta["val"], torch.Tensor) else views

    def arguments(self, raw: Mapping[str, Any]) -> Arguments:
        return {name: operand(value, self.resolve) for name, value in raw.items()}

    def resolve(self, node: fx.Node) -> Operand:
        return self.operand_of(self.env[node])

    def operand_of(self, held: Any) -> Operand:
        if isinstance(held, View):
            return Ref(self.value_of(held))
        if isinstance(held, list):
            return tuple(self.operand_of(item) for item in held)
        return held

    def value_of(self, view: View) -> str:
        """The graph value of a view now."""
        before = len(self.nodes)
        value = read(view, self.emit)
        self.bodies.note_views(self.nodes[before:])
        return value

    def detach(self, value: str, spec: TensorSpec, origin: Origin) -> str:
        results = [(f"{value}_detached", spec)]
        return self.emit("aten.detach.default", {"self": Ref(value)}, results, origin)[0]

    def specs(self, node: fx.Node, origin: Origin) -> list[TensorSpec]:
        val = node.meta["val"]
        tensors = [val] if isinstance(val, torch.Tensor) else [item for item in val if item is not None]
        if new := {symbol for tensor in tensors for symbol in free_unbacked_symbols(tensor)} - self._unbacked:
            self._unbacked |= new  # a size that follows from it is no gap of its own
            names = frozenset(symbol.name for symbol in new)
            self.data_dependent.append(DataDependent(op_name(node.target), origin, names))
        return [self.sizes.spec(tensor) for tensor in tensors]

    def wanted(self, node: fx.Node, specs: list[TensorSpec]) -> list[tuple[str, TensorSpec]]:
        """Names for the results of a node: its own, or those of the nodes that take the parts."""
        if isinstance(node.meta["val"], torch.Tensor):
            return [(_without_underscore(node.name), specs[0])]
        parts = {user.args[1]: user.name for user in node.users if getattr(user.target, "__name__", "") == "getitem"}
        return [(parts.get(i, f"{node.name}_{i}"), spec) for i, spec in enumerate(specs)]

    def emit(
        self,
        op: str,
        arguments: Arguments,
        results: list[tuple[str, TensorSpec]],
        origin: Origin,
        bodies: tuple[Graph, ...] = (),
    ) -> list[str]:
        values = tuple(Value(self.unique(name), spec) for name, spec in results)
        node = Node(op, named(arguments), values, bodies, origin)
        self.bodies.require_known(node)
        self.nodes.append(node)
        if self.inside is not None:
            self.inside.update(value.name for value in values)
        if op != "aten.detach.default" and any(name in self.carries for name in node_inputs(node)):
            self.carries.update(v.name for v in values if kind(v.spec.dtype) in ("float", "complex"))
        return [value.name for value in values]

    def unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self.names:
            candidate, number = f"{name}_{number}", number + 1
        self.names.add(candidate)
        return candidate

    # memory ----------------------------------------------------------------------------------------------------

    def _same(self, node: fx.Node, source: fx.Node, origin: Origin) -> View:
        """An operator that changes no element: the same view, or the same value in other memory."""
        view: View = self.env[source]
        name = str(node.target)
        if name == "aten.detach_.default":
            value = self.value_of(view)
            if value in self.carries:
                self.write(view, self.detach(value, view.spec, origin), origin)
            return view
        copies = name in ("aten.clone.default", "aten.lift_fresh_copy.default")
        if not copies and (name != "aten.contiguous.default" or shares_memory(node, source)):
            return view
        return whole(self.value_of(view), view.spec)

    def _cast(self, node: fx.Node, source: fx.Node, origin: Origin) -> View:
        """All ways to convert dtypes as `aten.to.dtype`; a cast to the dtype that is there disappears."""
        view: View = self.env[source]
        spec = self.sizes.spec(node.meta["val"])
        if spec.dtype == view.spec.dtype:
            return view if shares_memory(node, source) else whole(self.value_of(view), spec)
        return whole(spelling.to(self.emit, self.value_of(view), spec, node.name, origin), spec)

    def _broadcast(self, node: fx.Node, index: int, origin: Origin) -> View:
        """One result of `broadcast_tensors`: the tensor itself where it has the common shape already."""
        view: View = self.env[node.args[0][index]]  # type: ignore[index]
        spec = self.sizes.spec(node.meta["val"][index])
        if spec == view.spec:
            return view
        return whole(spelling.expand(self.emit, self.value_of(view), spec, f"{node.name}_{index}", origin), spec)

    def _view(self, node: fx.Node, name: str, raw: dict[str, Any], origin: Origin) -> None:
        """An operator, by its name, whose result looks at the memory of an argument."""
        source = viewed(raw)
        parent = self.env[source] if isinstance(source, fx.Node) else None
        aliases = name not in spelling.MAYBE_COPIES or shares_memory(node, source)
        if name == "aten.dropout.default":
            aliases = not raw["train"] or raw["p"] == 0
        if isinstance(parent, View) and isinstance(node.meta["val"], list | tuple) and len(node.meta["val"]) == 1:
            self.env[node] = [self._only_part(node, raw, parent, origin)]
            return
        if not isinstance(parent, View) or not aliases:
            if isinstance(parent, View) and self._is_identity(node, name, raw, parent):
                self.env[node] = whole(self.value_of(parent), parent.spec)
                return
            self.plain(node, name, raw, origin)
            return
        if self._is_identity(node, name, raw, parent):
            self.env[node] = parent
            return
        specs = self.specs(node, origin)
        arguments, wanted = self.arguments(raw), self.wanted(node, specs)
        names = self.emit(name, arguments, wanted, origin)
        views = [
            View(parent.memory, spec, parent, Step(name, arguments, wanted, i, origin), value, parent.memory.version)
            for i, (spec, value) in enumerate(zip(specs, names, strict=True))
        ]
        self.env[node] = views[0] if isinstance(node.meta["val"], torch.Tensor) else views

    def _only_part(self, node: fx.Node, raw: Mapping[str, Any], parent: View, origin: Origin) -> View:
        """The result of a split into one part: the tensor itself, without the axis if it was cut into its elements."""
        (spec,) = self.specs(node, origin)
        if spec.ndim == parent.spec.ndim:  # the size may be spelled otherwise, as a number that was known
            return parent
        wanted = self.wanted(node, [spec])
        arguments: Arguments = {"self": Ref(self.value_of(parent)), "dim": raw["dim"], "index": 0}
        (value,) = self.emit("aten.select.int", arguments, wanted, origin)
        step = Step("aten.select.int", arguments, wanted, 0, origin)
        return View(parent.memory, spec, parent, step, value, parent.memory.version)

    def _is_identity(self, node: fx.Node, name: str, raw: Mapping[str, Any], parent: View) -> bool:
        if name == "aten.slice.Tensor":
            return raw["start"] in (None, 0) and raw["end"] in (None, 2**63 - 1) and raw["step"] == 1
        if name == "aten.detach.default":
            return self.value_of(parent) not in self.carries
        if name in spelling.OF_COMPLEX:
            return kind(parent.spec.dtype) != "complex"
        if name in spelling.SHAPES:
            return self.sizes.spec(node.meta["val"]) == parent.spec
        return False

    def _in_place(self, node: fx.Node, raw: dict[str, Any], origin: Origin) -> None:
        """An operator that writes to its first argument."""
        target: Any = node.target
        data = "out" if written(target) == ("out",) else next(iter(raw))
        if written(target) != (data,) or not isinstance(raw[data], fx.Node):
            raise CaptureError(
                f"{target} writes to {', '.join(written(target))}",
                code="C130",
                where=origin.line or origin.path,
                next="write it without in-place operations",
            )
        view: View = self.env[raw[data]]
        if torch.Tag.inplace_view in target.tags:
            # The tensor is another view from here on; what uses it later names this node.
            functional_view = str(functional(target, origin))
            if view.parent is None and view.memory.owner:
                raise not_its_own(view.memory.owner, origin)
            self._view(node, functional_view, raw, origin)
            return
        packet = str(target).split(".")[1]
        name = _without_underscore(node.name)
        if packet in ("copy_", "fill_", "zero_"):
            given = raw.get("src", raw.get("value"))
            source = self.env[given] if isinstance(given, fx.Node) else given
            new = spelling.filled(self.emit, self.value_of, view, source, name, origin)
        else:
            new = self._computed(target, view, raw, name, origin)
        self.write(view, new, origin)
        self.env[node] = view

    def write(self, view: View, new: str, origin: Origin, owned: tuple[str, ...] = ("buffer ",)) -> None:
        owner = view.memory.owner
        self.bodies.note_write(view, origin)
        if owner.startswith("input "):
            self.written.setdefault(owner.removeprefix("input "), origin)
        elif owner and not owner.startswith(owned):
            raise not_its_own(owner, origin)
        from_outside = self.inside is not None and view.memory.value not in self.inside
        if from_outside:
            if view.memory.value in self.carries:
                raise CaptureError(
                    "the model changes a tensor that has a gradient in place inside torch.no_grad",
                    code="C133",
                    where=origin.line or origin.path,
                    why="its gradient would then be that of another computation than the one that was run",
                    next="write the result to a new name, or leave torch.no_grad",
                )
            if new in self.carries:
                new = self.detach(new, view.spec, origin)
        write(view, new, self.emit, origin)
        if self.inside is not None and from_outside:
            self.inside.discard(view.memory.value)  # a second write to it must not bring a gradient in either

    def _computed(self, target: Any, view: View, raw: dict[str, Any], name: str, origin: Origin) -> str:
        if written(target) == ("out",):
            op = functional_of_out(target, origin)
            raw = {key: value for key, value in raw.items() if key != "out"}
        else:
            op = functional(target, origin)
        raw = reordered(op, raw)
        tensors = {k: v.meta["val"] for k, v in raw.items() if isinstance(v, fx.Node) and is_tensor(v)}
        dtype = dtype_name(result_dtype(op, raw, tensors))
        spec = TensorSpec(view.spec.shape, dtype)
        arguments = self.arguments(raw)
        result = self.emit(str(op), arguments, [(name, spec)], origin)[0]
        return result if spec == view.spec else spelling.to(self.emit, result, view.spec, name, origin)


def _without_underscore(name: str) -> str:
    """`relu_1` for `relu__1`: what an in-place operator makes is a value of its own."""
    return re.sub(r"_(?=_\d+$)|_$", "", name)
