"""Convolutional parts of JAX programs run channels-first, as torch has it, with transposes only at their borders.

The mirror of `lower/channels_last.py` for graphs of lax: a forward walk keeps, for values that convolution-like
operators make, a *twin* in channels-first order. Operators that do not care about axes take and give twins; for all
others the original order is restored once, where it is needed. What nothing reads any more disappears.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from regauge.ir.graph import (
    Graph,
    ModuleStep,
    Node,
    Operand,
    Origin,
    Ref,
    TensorSpec,
    Value,
    node_inputs,
    references,
    renamed,
)
from regauge.lower.axes_of_lax import ELEMENTWISE, is_pool, mapped_axes
from regauge.lower.channels_last import to_first, to_last, without_dead_nodes
from regauge.lower.plan import value_specs

_LAYERS = frozenset({"layer.conv", "layer.conv_transpose", "layer.group_norm", "layer.batch_norm"})
_CHAINS = (".Sequential", ".ModuleList")
_CONVOLUTION = "lax.conv_general_dilated"
_PRODUCTS = frozenset({"layer.linear", "lax.dot_general"})  # over the last axis: they want channels-last


def channels_first(graph: Graph, is_library: Callable[[str], bool]) -> Graph:
    """The graph with its convolutional parts in channels-first order; the same function.

    Args:
        graph: of dialect lax.
        is_library: whether a module, by its type, is of a library: no transpose is written into it.
    """
    if not any(_is_convolutional(node) for node in graph.nodes):
        return graph
    # A sum of a channels-first and a channels-last array can go either way: what transposes less is taken.
    walks = [_Walk(graph, is_library, reaches=reaches).run() for reaches in (True, False)]
    return min(walks, key=_transposes)


def _is_convolutional(node: Node) -> bool:
    return node.op in _LAYERS or node.op == _CONVOLUTION or is_pool(node)


def _calls_of_products(graph: Graph) -> set[str]:
    """Calls of modules below the root with products over the last axis and no convolution, as in transformers."""
    calls: tuple[set[str], set[str]] = (set(), set())
    for node in graph.nodes:
        if node.op in _PRODUCTS or _is_convolutional(node):
            calls[_is_convolutional(node)].update(step.call for step in node.origin.modules[1:])
    return calls[0] - calls[1]


def _transposes(graph: Graph) -> int:
    return sum(node.op == "lax.transpose" for node in graph.nodes)


def _permuted(spec: TensorSpec, axes: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(tuple(spec.shape[a] for a in axes), spec.dtype)


class _Walk:
    """One pass over the nodes.

    Args:
        graph: of dialect lax.
        is_library: whether a module, by its type, is of a library.
        reaches: whether one operand in channels-first order brings the others there; else all must be in it, and
            modules of products keep their order.
    """

    def __init__(self, graph: Graph, is_library: Callable[[str], bool], *, reaches: bool) -> None:
        self.graph = graph
        self.is_library = is_library
        self.reaches = reaches
        self.kept_calls = set() if reaches else _calls_of_products(graph)
        self.specs = value_specs(graph)
        self.twins: dict[str, str] = {}  # value -> its channels-first twin
        self.sources: dict[str, str] = {}  # value that the person transposed -> what it was in channels-first order
        self.original = {v.name for v in graph.inputs} | {w.value for w in graph.weights}  # in the original order
        self.origins = {v.name: n.origin for n in graph.nodes for v in n.outputs}
        self.makers = {v.name: n for n in graph.nodes for v in n.outputs}
        self.learned = {w.value for w in graph.weights if w.trainable}  # values that a gradient may pass
        self.nodes: list[Node] = []

    def run(self) -> Graph:
        for node in self.graph.nodes:
            if any(name in self.learned for name in node_inputs(node)):
                self.learned |= {value.name for value in node.outputs}
            if any(step.call in self.kept_calls for step in node.origin.modules) or not (
                self._layer(node)
                or self._convolution(node)
                or self._elementwise(node)
                or self._axis_mapped(node)
                or self._permute(node)
            ):
                self._keep(node)
        for name in [n for o in self.graph.outputs for n in references(o)] + [v for _, v in self.graph.mutations]:
            self._restore(name, Origin(self._root()))
        return without_dead_nodes(replace(self.graph, nodes=tuple(self.nodes)))

    def _root(self) -> tuple[ModuleStep, ...]:
        return next((n.origin.modules[:1] for n in self.graph.nodes if n.origin.modules), ())

    # twins -----------------------------------------------------------------------------------------------------

    def _twin(self, name: str, consumer: Origin) -> str:
        if name not in self.twins and name in self.sources:
            return self.sources[name]
        if name not in self.twins:
            rank = self.specs[name].ndim
            twin = f"{name}_first"
            if not self._reshaped_twin(name, twin):
                self._emit_permute(name, twin, to_first(rank), self._border(name, consumer), consumer)
            self.twins[name] = twin
        return self.twins[name]

    def _reshaped_twin(self, name: str, twin: str) -> bool:
        """A bias that was given the axes of images gets them in the other order at once."""
        maker = self._bias(name)
        if maker is None:
            return False
        source, spec = maker.arguments[0][1], self.specs[name]
        shape = _permuted(spec, to_first(spec.ndim))
        arguments = (("operand", source), ("new_sizes", shape.shape), ("dimensions", None))
        self.nodes.append(Node("lax.reshape", arguments, (Value(twin, shape),), origin=maker.origin))
        self.specs[twin] = shape
        self.origins[twin] = maker.origin
        return True

    def _bias(self, name: str) -> Node | None:
        """What gave a vector over channels the axes of images."""
        maker = self.makers.get(name)
        spec = self.specs[name]
        if maker is None or maker.op not in ("lax.reshape", "lax.broadcast_in_dim") or set(spec.shape[:-1]) != {1}:
            return None
        source = maker.arguments[0][1]
        fits = isinstance(source, Ref) and self.specs[source.name].shape == spec.shape[-1:]
        return maker if fits else None

    def _comes_along(self, names: list[str]) -> bool:
        """Whether all arrays may be read in channels-first order."""
        return self.reaches or all(n in self.twins or n in self.sources or self._bias(n) is not None for n in names)

    def _restore(self, name: str, consumer: Origin) -> None:
        if name in self.original or name not in self.twins:
            return
        rank = self.specs[name].ndim
        self._emit_permute(self.twins[name], name, to_last(rank), self._border(name, consumer), consumer)
        self.original.add(name)

    def _border(self, name: str, consumer: Origin) -> Origin:
        """Where a transpose belongs: in the innermost module that both sides are in, not between the parts of a chain.

        A call of the library's that both sides are in is no layer: its operators are written out, as those of a person.
        """
        producer = self.origins.get(name)
        shared: list[ModuleStep] = []
        made = producer.modules if producer is not None else consumer.modules[:1]
        for a, b in zip(made, consumer.modules, strict=False):
            if a.call != b.call:
                break
            shared.append(a)
        while shared and shared[-1].path and self.is_library(shared[-1].type) and shared[-1].type.endswith(_CHAINS):
            shared.pop()
        frames = consumer.frames if len(shared) == len(consumer.modules) else ()
        return Origin(tuple(shared), frames)

    def _emit_permute(self, source: str, result: str, axes: tuple[int, ...], origin: Origin, consumer: Origin) -> None:
        spec = _permuted(self.specs[source], axes)
        self.specs[result] = spec
        self._emit("lax.transpose", {"x": Ref(source), "permutation": axes}, Value(result, spec), origin, consumer)

    def _emit(self, op: str, arguments: dict[str, Operand], value: Value, origin: Origin, consumer: Origin) -> None:
        """A node between modules: a call that has begun must stay in one piece."""
        sources = [name for operand in arguments.values() for name in references(operand)]
        call = [step.call for step in consumer.modules[: len(origin.modules) + 1]]
        at = len(self.nodes)
        while at and len(call) > len(origin.modules):
            before = self.nodes[at - 1]
            inside = [step.call for step in before.origin.modules[: len(call)]] == call
            if not inside or any(made.name in sources for made in before.outputs):
                break
            at -= 1
        self.nodes.insert(at, Node(op, tuple(arguments.items()), (value,), origin=origin))
        self.origins[value.name] = origin
        self.specs[value.name] = value.spec

    def _define_twin(self, value: Value) -> Value:
        spec = _permuted(value.spec, to_first(value.spec.ndim))
        twin = Value(f"{value.name}_first", spec)
        self.specs[twin.name] = spec
        self.origins[twin.name] = self.origins[value.name]
        self.twins[value.name] = twin.name
        return twin

    # kinds of operators ------------------------------------------------------------------------------------------

    def _keep(self, node: Node) -> None:
        for name in node_inputs(node):
            self._restore(name, node.origin)
        self.nodes.append(node)
        self.original |= {value.name for value in node.outputs}

    def _layer(self, node: Node) -> bool:
        if node.op not in _LAYERS:
            return False
        source = node.argument("x")
        if not isinstance(source, Ref):
            return False
        arguments: dict[str, Any] = dict(node.arguments)
        rank = self.specs[source.name].ndim
        first = bool(arguments["channels_first"])
        if rank < 3 or (node.op.startswith("layer.conv") and rank != len(arguments["strides"]) + 2):
            return False
        twin = source.name if first else self._twin(source.name, node.origin)
        if first:
            self._restore(source.name, node.origin)
        if node.op == "layer.group_norm" and not first and source.name not in self.learned:
            twin = self._contiguous(node, twin)
        twin, padding = self._padded(node, twin)
        output = node.outputs[0] if first else self._define_twin(node.outputs[0])
        cropped = self._cropped(node, output)
        self.original |= {value.name for value in (node.outputs if first else node.outputs[1:])}
        changes: dict[str, Operand] = {"x": Ref(twin), "channels_first": True, **padding, **cropped}
        made = output if not cropped else Value(f"{output.name}_whole", self.specs[f"{output.name}_whole"])
        self.nodes.append(replace(node.with_arguments(**changes), outputs=(made, *node.outputs[1:])))
        if cropped:
            self._crop(node, made, output)
        return True

    def _contiguous(self, node: Node, twin: str) -> str:
        """The backward pass of torch 2.13's group norm crashes on transposed data that needs no gradient itself."""
        value = Value(f"{twin}_contiguous", self.specs[twin])
        if value.name not in self.specs:
            origin = self._border(twin, node.origin)
            self._emit("layer.contiguous", {"x": Ref(twin)}, value, origin, node.origin)
        return value.name

    def _padded(self, node: Node, twin: str) -> tuple[str, dict[str, Operand]]:
        """Zeros of their own before a convolution whose padding torch's layer does not have."""
        arguments: dict[str, Any] = dict(node.arguments)
        if node.op != "layer.conv" or all(low == high for low, high in arguments["padding"]):
            return twin, {}
        if all(stride == 1 for stride in arguments["strides"]) and _is_same(node, self.specs):
            return twin, {}
        pairs = arguments["padding"]
        spec = self.specs[twin]
        if any(not isinstance(size, int) for size in spec.shape[2:]) or any(
            size < 0 for pair in pairs for size in pair
        ):
            return twin, {}
        sizes = tuple(s + low + high for s, (low, high) in zip(spec.shape[2:], pairs, strict=True))  # type: ignore[operator]
        value = Value(f"{twin}_padded_{node.outputs[0].name}", TensorSpec((*spec.shape[:2], *sizes), spec.dtype))
        flat: Operand = tuple(size for pair in reversed(pairs) for size in pair)
        modules = node.origin.modules
        parent = modules[:-1] if modules and self.is_library(modules[-1].type) else modules
        origin = Origin(parent, node.origin.frames)
        self._emit("layer.pad", {"x": Ref(twin), "padding": flat}, value, origin, node.origin)
        return value.name, {"padding": tuple((0, 0) for _ in pairs)}

    def _cropped(self, node: Node, output: Value) -> dict[str, Operand]:
        """The larger padding of a transposed convolution of which JAX keeps less at the end than torch."""
        if node.op != "layer.conv_transpose":
            return {}
        pairs: Any = node.argument("padding")
        less = [max(low - high, 0) for low, high in pairs]
        if not any(less) or any(not isinstance(size, int) for size in output.spec.shape[2:]):
            return {}
        sizes = tuple(s + c for s, c in zip(output.spec.shape[2:], less, strict=True))  # type: ignore[operator]
        self.specs[f"{output.name}_whole"] = TensorSpec((*output.spec.shape[:2], *sizes), output.spec.dtype)
        return {"padding": tuple((low, high + c) for (low, high), c in zip(pairs, less, strict=True))}

    def _crop(self, node: Node, whole: Value, output: Value) -> None:
        modules = node.origin.modules
        parent = modules[:-1] if modules and self.is_library(modules[-1].type) else modules
        arguments = (
            ("x", Ref(whole.name)), ("start_indices", (0,) * output.spec.ndim), ("limit_indices", output.spec.shape),
            ("strides", None),
        )  # fmt: skip
        origin = Origin(parent, node.origin.frames)
        self.nodes.append(Node("lax.slice", arguments, (output,), origin=origin))
        self.origins[output.name] = origin

    def _convolution(self, node: Node) -> bool:
        """A convolution without a module, of which image and result are channels-last."""
        if node.op != _CONVOLUTION:
            return False
        arguments: dict[str, Any] = dict(node.arguments)
        source, rank = arguments["lhs"], node.outputs[0].spec.ndim
        last = (0, rank - 1, *range(1, rank - 1))
        if not isinstance(source, Ref) or arguments["lhs_spec"] != last or arguments["out_spec"] != last:
            return False
        straight: Operand = tuple(range(rank))
        twin = self._twin(source.name, node.origin)
        changed = node.with_arguments(lhs=Ref(twin), lhs_spec=straight, out_spec=straight)
        self.nodes.append(replace(changed, outputs=(self._define_twin(node.outputs[0]),)))
        return True

    def _elementwise(self, node: Node) -> bool:
        if node.op not in ELEMENTWISE or len(node.outputs) != 1:
            return False
        rank = node.outputs[0].spec.ndim
        arrays = list(dict.fromkeys(node_inputs(node)))
        whole = [name for name in arrays if self.specs[name].ndim == rank]
        has_twins = any(name in self.twins for name in arrays) or (
            bool(whole) and all(name in self.sources for name in whole)
        )
        if rank < 3 or not has_twins or any(self.specs[n].ndim not in (0, rank) for n in arrays):
            return False
        if not self._comes_along(whole):
            return False
        names = {name: self._twin(name, node.origin) for name in whole}
        arguments = tuple((key, renamed(operand, names)) for key, operand in node.arguments)
        self.nodes.append(replace(node, arguments=arguments, outputs=(self._define_twin(node.outputs[0]),)))
        return True

    def _axis_mapped(self, node: Node) -> bool:
        """Operators along axes: windows, reductions, concatenation, padding."""
        arrays = [name for name in dict.fromkeys(node_inputs(node)) if self.specs[name].ndim > 2]
        wanted = is_pool(node) or any(name in self.twins for name in arrays)
        if not arrays or not wanted or len(node.outputs) != 1:
            return False
        rank = self.specs[arrays[0]].ndim
        if any(self.specs[name].ndim != rank for name in arrays):
            return False
        if not is_pool(node) and not self._comes_along(arrays):
            return False
        found = mapped_axes(node, rank, to_first(rank))
        if found is None:
            return False
        changed, keeps_rank = found
        names = {name: self._twin(name, node.origin) for name in arrays}
        arguments = tuple((key, renamed(operand, names)) for key, operand in changed.arguments)
        outputs = (self._define_twin(node.outputs[0]),) if keeps_rank else node.outputs
        self.nodes.append(replace(changed, arguments=arguments, outputs=outputs))
        if not keeps_rank:
            self.original.add(node.outputs[0].name)
        return True

    def _permute(self, node: Node) -> bool:
        """A transpose of a value that has a twin starts from the twin, and vanishes where the twin is its result."""
        if node.op != "lax.transpose":
            return False
        source, axes = node.argument("x"), node.argument("permutation")
        if not isinstance(source, Ref) or not isinstance(axes, tuple):
            return False
        rank = len(axes)
        if source.name not in self.twins or source.name in self.original:
            if rank > 2 and axes == to_last(rank):
                self.sources[node.outputs[0].name] = source.name
            return False
        composed: Operand = tuple(to_first(rank).index(a) for a in axes if isinstance(a, int))
        arguments = (("x", Ref(self.twins[source.name])), ("permutation", composed))
        self.nodes.append(Node("lax.transpose", arguments, node.outputs, origin=node.origin))
        self.original.add(node.outputs[0].name)
        return True


def _is_same(node: Node, specs: dict[str, TensorSpec]) -> bool:
    """Whether the padding of a convolution is what torch calls "same"."""
    arguments: dict[str, Any] = dict(node.arguments)
    kernel = specs[arguments["kernel"].name].shape
    window = kernel[2:] if arguments.get("as_torch") else kernel[:-2]
    reach = [d * (k - 1) for k, d in zip(window, arguments["rhs_dilation"], strict=True)]  # type: ignore[operator]
    return all(pair == (r // 2, r - r // 2) for pair, r in zip(arguments["padding"], reach, strict=True))
