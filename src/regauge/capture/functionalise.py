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

from regauge.capture import spelling
from regauge.capture.arguments import (
    attribute,
    bind,
    is_tensor,
    may_alias,
    named,
    op_name,
    operand,
    parameters,
    shares_memory,
    written,
)
from regauge.capture.failures import DataDependent
from regauge.capture.inplace import functional, functional_of_out, result_dtype
from regauge.capture.memory import Arguments, Step, View, read, whole, write
from regauge.capture.sizes import Sizes, dtype_name
from regauge.capture.source_lines import origin_of
from regauge.capture.strides import require_plain
from regauge.dtypes import kind
from regauge.errors import CaptureError
from regauge.ir.graph import Node, Operand, Origin, Ref, TensorSpec, Value, node_inputs


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
    _env: dict[fx.Node, Any] = field(default_factory=dict)  # a `View`, a list of them, a number, a `Sym`
    _names: set[str] = field(default_factory=set)
    _inside: set[str] | None = None  # values made in the torch.no_grad region that the walk is in
    _unbacked: set[Any] = field(default_factory=set)  # symbols of sizes that depend on values
    _carries: set[str] = field(default_factory=set)  # values that a gradient flows through

    # what the graph takes and gives ----------------------------------------------------------------------------

    def take(self, node: fx.Node, value: str, owner: str) -> View:
        """Declare a placeholder: its tensor is the graph value `value`."""
        self._env[node] = view = whole(value, self.sizes.spec(node.meta["val"]), owner)
        self._names.add(value)
        self._carries |= {value} & self.trainable
        return view

    def hold(self, node: fx.Node, held: Any) -> None:
        """Say what a placeholder stands for: the tensor of another one, or a constant."""
        self._env[node] = held

    def result(self, node: Any) -> Operand:
        """The operand of an output of the graph, read after all operations."""
        return operand(node, self._resolve)

    def walk(self, graph: fx.Graph) -> tuple[Any, ...]:
        """Convert the nodes of a graph; gives the arguments of its output node."""
        outputs: tuple[Any, ...] = ()
        for node in graph.nodes:
            if node.op == "call_function":
                self._call(node)
            elif node.op == "get_attr":
                self._env[node] = attribute(node)
            elif node.op == "output":
                outputs = tuple(node.args[0])  # type: ignore[arg-type]
        return outputs

    # one node --------------------------------------------------------------------------------------------------

    def _call(self, node: fx.Node) -> None:
        target: Any = node.target
        if getattr(target, "__name__", "") == "getitem" and isinstance(node.args[0], fx.Node):
            self._env[node] = self._env[node.args[0]][node.args[1]]
            return
        if isinstance(target, torch._ops.HigherOrderOperator):
            self._higher_order(node)
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
            if free_unbacked_symbols(val):
                if op_name(node.target) in spelling.VALUES:
                    self.data_dependent.append(DataDependent(op_name(node.target), origin_of(node.meta)))
                val = None
            else:
                val = None if isinstance(val, torch.SymBool) else self.sizes.scalar(val)
        self._env[node] = val

    def _operator(self, node: fx.Node) -> None:
        target: Any = node.target
        name, raw, origin = str(target), bind(node), origin_of(node.meta)
        require_plain(node, raw.get("self"), origin)
        if name in spelling.SAME:
            self._env[node] = self._same(node, raw["self"], origin)
        elif name in spelling.CASTS:
            self._env[node] = self._cast(node, raw["self"], origin)
        elif name == "aten.broadcast_tensors.default":
            self._env[node] = [self._broadcast(node, i, origin) for i in range(len(raw["tensors"]))]
        elif name in ("aten.batch_norm.default", "aten.instance_norm.default"):
            self._norm_with_statistics(node, raw, origin)
        elif written(target):
            self._in_place(node, raw, origin)
        elif may_alias(target) or name == "aten.dropout.default":
            self._view(node, raw, origin)
        else:
            self._plain(node, spelling.UNFILLED.get(name, name), raw, origin)

    def _plain(self, node: fx.Node, op: str, raw: Mapping[str, Any], origin: Origin) -> None:
        """An operator that makes new tensors."""
        if op == "aten.zeros.default":
            raw = {key: value for key, value in raw.items() if key != "memory_format"}
        specs = self._specs(node, origin)
        names = self._emit(op, self._arguments(raw), self._wanted(node, specs), origin)
        views = [whole(value, spec) for value, spec in zip(names, specs, strict=True)]
        self._env[node] = views[0] if isinstance(node.meta["val"], torch.Tensor) else views

    def _arguments(self, raw: Mapping[str, Any]) -> Arguments:
        return {name: operand(value, self._resolve) for name, value in raw.items()}

    def _resolve(self, node: fx.Node) -> Operand:
        return self._operand(self._env[node])

    def _operand(self, held: Any) -> Operand:
        if isinstance(held, View):
            return Ref(self._read(held))
        if isinstance(held, list):
            return tuple(self._operand(item) for item in held)
        return held

    def _read(self, view: View) -> str:
        return read(view, self._emit)

    def _detach(self, value: str, spec: TensorSpec, origin: Origin) -> str:
        results = [(f"{value}_detached", spec)]
        return self._emit("aten.detach.default", {"self": Ref(value)}, results, origin)[0]

    def _specs(self, node: fx.Node, origin: Origin) -> list[TensorSpec]:
        val = node.meta["val"]
        tensors = [val] if isinstance(val, torch.Tensor) else [item for item in val if item is not None]
        if new := {symbol for tensor in tensors for symbol in free_unbacked_symbols(tensor)} - self._unbacked:
            self._unbacked |= new  # a size that follows from it is no gap of its own
            self.data_dependent.append(DataDependent(op_name(node.target), origin))
        return [self.sizes.spec(tensor) for tensor in tensors]

    def _wanted(self, node: fx.Node, specs: list[TensorSpec]) -> list[tuple[str, TensorSpec]]:
        """Names for the results of a node: its own, or those of the nodes that take the parts."""
        if isinstance(node.meta["val"], torch.Tensor):
            return [(node.name, specs[0])]
        parts = {user.args[1]: user.name for user in node.users if getattr(user.target, "__name__", "") == "getitem"}
        return [(parts.get(i, f"{node.name}_{i}"), spec) for i, spec in enumerate(specs)]

    def _emit(self, op: str, arguments: Arguments, results: list[tuple[str, TensorSpec]], origin: Origin) -> list[str]:
        values = tuple(Value(self._unique(name), spec) for name, spec in results)
        node = Node(op, named(arguments), values, (), origin)
        self.nodes.append(node)
        if self._inside is not None:
            self._inside.update(value.name for value in values)
        if op != "aten.detach.default" and any(name in self._carries for name in node_inputs(node)):
            self._carries.update(v.name for v in values if kind(v.spec.dtype) in ("float", "complex"))
        return [value.name for value in values]

    def _unique(self, name: str) -> str:
        candidate, number = name, 1
        while candidate in self._names:
            candidate, number = f"{name}_{number}", number + 1
        self._names.add(candidate)
        return candidate

    # memory ----------------------------------------------------------------------------------------------------

    def _same(self, node: fx.Node, source: fx.Node, origin: Origin) -> View:
        """An operator that changes no element: the same view, or the same value in other memory."""
        view: View = self._env[source]
        name = str(node.target)
        if name == "aten.detach_.default":
            value = self._read(view)
            if value in self._carries:
                self._write(view, self._detach(value, view.spec, origin), origin)
            return view
        copies = name in ("aten.clone.default", "aten.lift_fresh_copy.default")
        if not copies and (name != "aten.contiguous.default" or shares_memory(node, source)):
            return view
        return whole(self._read(view), view.spec)

    def _cast(self, node: fx.Node, source: fx.Node, origin: Origin) -> View:
        """All ways to convert dtypes as `aten.to.dtype`; a cast to the dtype that is there disappears."""
        view: View = self._env[source]
        spec = self.sizes.spec(node.meta["val"])
        if spec.dtype == view.spec.dtype:
            return view if shares_memory(node, source) else whole(self._read(view), spec)
        return whole(spelling.to(self._emit, self._read(view), spec, node.name, origin), spec)

    def _broadcast(self, node: fx.Node, index: int, origin: Origin) -> View:
        """One result of `broadcast_tensors`: the tensor itself where it has the common shape already."""
        view: View = self._env[node.args[0][index]]  # type: ignore[index]
        spec = self.sizes.spec(node.meta["val"][index])
        if spec == view.spec:
            return view
        return whole(spelling.expand(self._emit, self._read(view), spec, f"{node.name}_{index}", origin), spec)

    def _view(self, node: fx.Node, raw: dict[str, Any], origin: Origin) -> None:
        """An operator whose result looks at the memory of its first argument."""
        name = str(node.target)
        data = next(iter(raw))
        parent = self._env[raw[data]] if isinstance(raw[data], fx.Node) else None
        aliases = name not in spelling.MAYBE_COPIES or shares_memory(node, raw[data])
        if name == "aten.dropout.default":
            aliases = not raw["train"]
        if not isinstance(parent, View) or not aliases:
            if isinstance(parent, View) and self._is_identity(node, raw, parent):
                self._env[node] = whole(self._read(parent), parent.spec)
                return
            self._plain(node, name, raw, origin)
            return
        if self._is_identity(node, raw, parent):
            self._env[node] = parent
            return
        specs = self._specs(node, origin)
        arguments, wanted = self._arguments(raw), self._wanted(node, specs)
        names = self._emit(name, arguments, wanted, origin)
        views = [
            View(parent.memory, spec, parent, Step(name, arguments, wanted, i, origin), value, parent.memory.version)
            for i, (spec, value) in enumerate(zip(specs, names, strict=True))
        ]
        self._env[node] = views[0] if isinstance(node.meta["val"], torch.Tensor) else views

    def _is_identity(self, node: fx.Node, raw: Mapping[str, Any], parent: View) -> bool:
        name = str(node.target)
        if name == "aten.slice.Tensor":
            return raw["start"] in (None, 0) and raw["end"] in (None, 2**63 - 1) and raw["step"] == 1
        if name == "aten.detach.default":
            return self._read(parent) not in self._carries
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
        view: View = self._env[raw[data]]
        packet = str(target).split(".")[1]
        name = re.sub(r"_(?=_\d+$)|_$", "", node.name)  # relu__1 -> relu_1
        if packet in ("copy_", "fill_", "zero_"):
            given = raw.get("src", raw.get("value"))
            source = self._env[given] if isinstance(given, fx.Node) else given
            new = spelling.filled(self._emit, self._read, view, source, name, origin)
        else:
            new = self._computed(target, view, raw, name, origin)
        self._write(view, new, origin)
        self._env[node] = view

    def _write(self, view: View, new: str, origin: Origin) -> None:
        owner = view.memory.owner
        if owner and not owner.startswith("buffer "):
            raise CaptureError(
                f"the model changes its {owner} in place",
                code="C109",
                where=origin.line or origin.path,
                why="a JAX function cannot change what it is given; only buffers are carried along as state",
                next="work on a copy (x = x.clone()), or make a tensor attribute a buffer with register_buffer",
            )
        if self._inside is not None and view.memory.value not in self._inside:
            if view.memory.value in self._carries:
                raise CaptureError(
                    "the model changes a tensor that has a gradient in place inside torch.no_grad",
                    code="C133",
                    where=origin.line or origin.path,
                    why="its gradient would then be that of another computation than the one that was run",
                    next="write the result to a new name, or leave torch.no_grad",
                )
            if new in self._carries:
                new = self._detach(new, view.spec, origin)
        write(view, new, self._emit, origin)

    def _computed(self, target: Any, view: View, raw: dict[str, Any], name: str, origin: Origin) -> str:
        if written(target) == ("out",):
            op = functional_of_out(target, origin)
            raw = {key: value for key, value in raw.items() if key != "out"}
        else:
            op = functional(target, origin)
        raw = {key: value for (key, _, _), value in zip(parameters(op), raw.values(), strict=True)}
        tensors = {k: v.meta["val"] for k, v in raw.items() if isinstance(v, fx.Node) and is_tensor(v)}
        dtype = dtype_name(result_dtype(op, raw, tensors))
        spec = TensorSpec(view.spec.shape, dtype)
        arguments = self._arguments(raw)
        result = self._emit(str(op), arguments, [(name, spec)], origin)[0]
        return result if spec == view.spec else spelling.to(self._emit, result, view.spec, name, origin)

    # operators with state or regions -----------------------------------------------------------------------------

    def _norm_with_statistics(self, node: fx.Node, raw: dict[str, Any], origin: Origin) -> None:
        """In training it has three results: the output and the new running mean and variance."""
        training = raw["training"] if "training" in raw else raw["use_input_stats"]
        if not training or raw["running_mean"] is None or raw["running_var"] is None:
            self._plain(node, str(node.target), raw, origin)
            return
        mean: View = self._env[raw["running_mean"]]
        var: View = self._env[raw["running_var"]]
        spec = self._specs(node, origin)[0]
        wanted = [(node.name, spec), (f"{node.name}_mean", mean.spec), (f"{node.name}_var", var.spec)]
        result, *new = self._emit(str(node.target), self._arguments(raw), wanted, origin)
        self._carries.difference_update(new)
        for view, value in zip((mean, var), new, strict=True):
            self._write(view, value, origin)
        self._env[node] = whole(result, spec)

    def _higher_order(self, node: fx.Node) -> None:
        name = op_name(node.target)
        if name == "higher_order.wrap_with_set_grad_enabled":
            enabled, body, *given = node.args
            self._inline(node, body, given, without_gradient=not enabled)
        elif name == "higher_order.wrap_with_autocast":
            _, dtype, enabled, _, body, *given = node.args
            if enabled:
                raise CaptureError(
                    f"the model computes inside torch.autocast to {dtype}",
                    code="C132",
                    where=self._region_line(body),
                    why="autocast chooses dtypes operator by operator, which JAX does not have",
                    next="convert dtypes where you want them: x.to(torch.bfloat16), or model.to(torch.bfloat16)",
                )
            self._inline(node, body, given, without_gradient=self._inside is not None)
        else:
            raw = {f"argument_{i}": value for i, value in enumerate(node.args)}
            if not isinstance(node.meta.get("val"), torch.Tensor | list | tuple):
                self._env[node] = None
                return
            self._plain(node, name, raw, origin_of(node.meta))

    def _region_line(self, body: Any) -> str:
        """The line of the first operator in a region."""
        nodes = self._env[body].graph.nodes
        return next((line for node in nodes if (line := origin_of(node.meta).line)), "")

    def _inline(self, node: fx.Node, body: Any, given: list[Any], without_gradient: bool) -> None:
        """The nodes of a region in its place; without gradients, what leaves it is detached."""
        inner: fx.GraphModule = self._env[body]
        outside = [self._env[item] if isinstance(item, fx.Node) else item for item in given]
        for placeholder, held in zip(inner.graph.find_nodes(op="placeholder"), outside, strict=True):
            self._env[placeholder] = held
        outer = self._inside
        self._inside = (outer if outer is not None else set()) if without_gradient else None
        left = self.walk(inner.graph)
        self._inside = outer
        results = []
        for item in left:
            held = self._env[item] if isinstance(item, fx.Node) else item
            passed = any(held is other for other in outside)
            if without_gradient and not passed and isinstance(held, View) and self._read(held) in self._carries:
                origin = origin_of(item.meta, origin_of(node.meta))
                held = whole(self._detach(self._read(held), held.spec, origin), held.spec)
            results.append(held)
        self._env[node] = results
