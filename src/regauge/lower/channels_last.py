"""Convolutional parts run channels-last, as JAX and XLA prefer, with transposes only at their borders.

A forward walk keeps, for values that convolution-like operators make, a *twin* in channels-last order. Operators
that do not care about axes take and give twins; for all others the original order is restored once, where it is
needed. What nothing reads any more disappears.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from regauge.ir.graph import (
    Graph,
    ModuleStep,
    Node,
    Operand,
    Origin,
    Ref,
    Sym,
    TensorSpec,
    Value,
    node_inputs,
    references,
    renamed,
)
from regauge.lower.borders import followed_calls, within_calls
from regauge.lower.channel_axes import along_axes, begins_image, by_channel, is_one_pixel, takes_twins
from regauge.lower.channel_operators import ELEMENTWISE, IMAGE_OPS, REDUCTIONS, image_rank, is_library_layer
from regauge.lower.plan import value_specs

_PERMUTES = frozenset({"aten.permute.default", "lax.transpose"})


def channels_last(graph: Graph) -> Graph:
    """The graph with its convolutional parts in channels-last order; the same function."""
    if not any(node.op in IMAGE_OPS and IMAGE_OPS[node.op] for node in graph.nodes):
        return graph
    return _Walk(graph).run()


def to_last(rank: int) -> tuple[int, ...]:
    """Axes that bring N, C, ... to N, ..., C."""
    return (0, *range(2, rank), 1)


def to_first(rank: int) -> tuple[int, ...]:
    """Axes that bring N, ..., C to N, C, ..."""
    return (0, rank - 1, *range(1, rank - 1))


def _permuted(spec: TensorSpec, axes: tuple[int, ...]) -> TensorSpec:
    return TensorSpec(tuple(spec.shape[a] for a in axes), spec.dtype)


class _Walk:
    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.specs = value_specs(graph)
        self.weights = {w.value for w in graph.weights}
        self.twins: dict[str, str] = {}  # value -> its channels-last twin
        self.sources: dict[str, str] = {}  # value that the person transposed -> what it was in channels-last order
        self.vectors: dict[str, str] = {}  # value with one number a channel -> it as it broadcasts in that order
        self.first: set[str] = set()  # values that exist in the original order
        self.first |= {v.name for v in graph.inputs} | self.weights
        self.origins = {v.name: n.origin for n in graph.nodes for v in n.outputs}
        self.makers = {v.name: n for n in graph.nodes for v in n.outputs}
        self.readers: dict[str, list[Node]] = {}
        for node in graph.nodes:
            for name in node_inputs(node):
                self.readers.setdefault(name, []).append(node)
        self.nodes: list[Node] = []
        self.changes: set[str] = set()  # results of the transposes that this pass adds

    def run(self) -> Graph:
        for value in self.graph.inputs:
            if begins_image(value.name, self.readers):
                self._twin(value.name, self.readers[value.name][0].origin)
        for node in self.graph.nodes:
            if not (self._image(node) or self._elementwise(node) or self._axis_mapped(node) or self._permute(node)):
                self._keep(node)
        for name in [n for o in self.graph.outputs for n in references(o)] + [v for _, v in self.graph.mutations]:
            self._restore(name, Origin(self._root()))
        stand_ins = {name: [other] for name, other in (self.sources | self.twins).items()}
        live = without_dead_nodes(replace(self.graph, nodes=tuple(self.nodes)), stand_ins)
        return within_calls(live, self.changes, is_library_layer)

    def _root(self) -> tuple[ModuleStep, ...]:
        return next((n.origin.modules[:1] for n in self.graph.nodes if n.origin.modules), ())

    # twins -----------------------------------------------------------------------------------------------------

    def _last(self, name: str) -> str | None:
        """The value in channels-last order, where there is one."""
        return self.twins.get(name, self.sources.get(name))

    def _twin(self, name: str, consumer: Origin) -> str:
        if (last := self._last(name)) is not None:
            return last
        rank = self.specs[name].ndim
        twin = self.twins[name] = f"{name}_last"
        self._emit_permute(name, twin, to_last(rank), self._border(name, consumer), consumer)
        return twin

    def _restore(self, name: str, consumer: Origin) -> None:
        if name in self.first or name not in self.twins:
            return
        rank = self.specs[name].ndim
        self._emit_permute(self.twins[name], name, to_first(rank), self._border(name, consumer), consumer)
        self.first.add(name)

    def _border(self, name: str, consumer: Origin) -> Origin:
        """Where a transpose belongs: in the innermost module that both sides are in, not in a layer itself."""
        producer = self.origins.get(name)
        shared: list[ModuleStep] = []
        made = producer.modules if producer is not None else consumer.modules[:1]
        for a, b in zip(made, consumer.modules, strict=False):
            if a.call != b.call:
                break
            shared.append(a)
        while shared and shared[-1].path and is_library_layer(shared[-1]):
            shared.pop()
        frames = consumer.frames if len(shared) == len(consumer.modules) else ()
        return Origin(tuple(shared), frames)

    def _emit_permute(self, source: str, result: str, axes: tuple[int, ...], origin: Origin, consumer: Origin) -> None:
        spec = _permuted(self.specs[source], axes)
        self.specs[result] = spec
        node = Node(
            "aten.permute.default", (("self", Ref(source)), ("dims", axes)), (Value(result, spec),), origin=origin
        )
        self.nodes.insert(self._before_call(source, len(origin.modules), consumer), node)
        self.origins[result] = origin
        self.changes.add(result)

    def _before_call(self, source: str, depth: int, consumer: Origin) -> int:
        """Where a node at this depth of modules goes: a call that has begun (a counter, say) must stay in one piece."""
        call = [step.call for step in consumer.modules[: depth + 1]]
        at = len(self.nodes)
        while at and len(call) > depth:
            before = self.nodes[at - 1]
            inside = [step.call for step in before.origin.modules[: depth + 1]] == call
            if not inside or any(value.name == source for value in before.outputs):
                break
            at -= 1
        return at

    def _define_twin(self, value: Value) -> Value:
        spec = _permuted(value.spec, to_last(value.spec.ndim))
        twin = Value(f"{value.name}_last", spec)
        self.specs[twin.name] = spec
        self.twins[value.name] = twin.name
        return twin

    # kinds of operators ------------------------------------------------------------------------------------------

    def _keep(self, node: Node) -> None:
        for name in node_inputs(node):
            self._restore(name, node.origin)
        self.nodes.append(node)
        self.first |= {value.name for value in node.outputs}

    def _image(self, node: Node) -> bool:
        if node.op not in IMAGE_OPS:
            return False
        name, source = node.arguments[0]
        if not isinstance(source, Ref):
            return False
        rank = self.specs[source.name].ndim
        if rank < 3 or rank != node.outputs[0].spec.ndim or not (IMAGE_OPS[node.op] or self._last(source.name)):
            return False
        if ".conv" in node.op and rank != image_rank(node.op):
            return False  # an image without a batch axis
        twin = self._twin(source.name, node.origin)
        changes: dict[str, Operand] = {name: Ref(twin), "channels_last": True}
        changed = node.with_arguments(**changes)
        outputs = (self._define_twin(node.outputs[0]), *node.outputs[1:])
        self.nodes.append(replace(changed, outputs=outputs))
        self.first |= {value.name for value in node.outputs[1:]}
        return True

    def _elementwise(self, node: Node) -> bool:
        if node.op not in ELEMENTWISE or len(node.outputs) != 1:
            return False
        rank = node.outputs[0].spec.ndim
        arrays = [r.name for _, o in node.arguments if isinstance(o, Ref) for r in [o]]
        images = [
            n for n in arrays if self.specs[n].ndim == rank and by_channel(n, rank, self.specs, self.makers) is None
        ]
        has_twins = any(name in self.twins for name in arrays) or all(name in self.sources for name in images)
        if rank < 3 or not images or not has_twins:
            return False
        names = {name: self._by_channel(name, rank, node.origin) for name in dict.fromkeys(arrays)}
        others = [name for name in arrays if names[name] is None and self.specs[name].ndim != rank]
        if any(set(self.specs[name].shape) - {1} for name in others):
            return False  # it is broadcast along axes that have moved
        names |= {n: self._twin(n, node.origin) for n in arrays if names[n] is None and n not in others}
        names |= {name: name for name in others}
        found = {name: other for name, other in names.items() if other is not None}
        arguments = tuple((k, renamed(o, found)) for k, o in node.arguments)
        self.nodes.append(replace(node, arguments=arguments, outputs=(self._define_twin(node.outputs[0]),)))
        return True

    def _are_sources(self, arrays: Sequence[str], rank: int) -> bool:
        """Whether the person brought all images among some arrays from channels-last order to the original's."""
        whole = [name for name in arrays if self.specs[name].ndim == rank]
        images = [name for name in whole if by_channel(name, rank, self.specs, self.makers) is None]
        return bool(images) and all(name in self.sources for name in images)

    def _by_channel(self, name: str, rank: int, consumer: Origin) -> str | None:
        """An array with one number a channel, as it is combined with images in channels-last order."""
        source = None if name in self.twins else by_channel(name, rank, self.specs, self.makers)
        if source is None:
            return None
        shape = self.specs[source].shape
        if len(shape) > 1 and name not in self.vectors:
            gates = len(shape) == 2 and source != name
            wanted = (shape[0], *(1,) * (rank - 2), shape[1]) if gates else (shape[1 - rank],)
            self.vectors[name] = self._emit_view(source, f"{name}_by_channel", wanted, consumer)
        return self.vectors.get(name, source)

    def _emit_view(self, source: str, result: str, shape: tuple[int | Sym, ...], origin: Origin) -> str:
        value = Value(result, TensorSpec(shape, self.specs[source].dtype))
        self.specs[result] = value.spec
        arguments = (("self", Ref(source)), ("size", shape))
        self.nodes.append(Node("aten.view.default", arguments, (value,), origin=origin))
        return result

    def _along_axes(self, node: Node, last: str, rank: int) -> bool:
        """Slices, paddings and their like; what is split stays as it is where the parts are needed as they were."""
        changed = along_axes(node, rank, to_last(rank))
        if changed is None or (len(node.outputs) > 1 and not all(self._follow(v.name) for v in node.outputs)):
            return False
        changed = changed.with_arguments(**{node.arguments[0][0]: Ref(last)})
        self.nodes.append(replace(changed, outputs=tuple(self._define_twin(value) for value in node.outputs)))
        return True

    def _follow(self, name: str) -> bool:
        """Whether all that reads a value takes it in channels-last order."""
        return all(
            n.op in IMAGE_OPS or n.op in ELEMENTWISE or n.op == "aten.cat.default" or takes_twins(n)
            for n in self.readers.get(name, ())
        )

    def _axis_mapped(self, node: Node) -> bool:
        """Concatenation, reductions over the image axes, flattening of the image axes."""
        if node.op == "aten.cat.default":
            return self._concatenate(node)
        source = node.arguments[0][1] if node.arguments else None
        last = self._last(source.name) if isinstance(source, Ref) else None
        if not isinstance(source, Ref) or last is None:
            return False
        rank = self.specs[source.name].ndim
        if node.op in REDUCTIONS:
            return self._reduce(node, last, rank)
        if node.op == "aten.flatten.using_ints":
            return self._flatten(node, source.name, last, rank)
        if is_one_pixel(node, self.specs[source.name]):
            value = node.outputs[0]
            self._emit_view(last, value.name, value.spec.shape, node.origin)
            self.first.add(value.name)
            return True
        return source.name in self.twins and takes_twins(node) and self._along_axes(node, last, rank)

    def _flatten(self, node: Node, source: str, last: str, rank: int) -> bool:
        """Of the image axes, and of everything behind the batch where the image is one pixel."""
        start, end = (int(node.argument(name)) % rank for name in ("start_dim", "end_dim"))  # type: ignore[arg-type]
        if end != rank - 1:
            return False
        if start == 2 and rank > 3:
            twin = self._define_twin(node.outputs[0])
            changed = node.with_arguments(self=Ref(last), start_dim=1, end_dim=rank - 2)
            self.nodes.append(replace(changed, outputs=(twin,)))
            return True
        if start > 1 or any(size != 1 for size in self.specs[source].shape[2:]):
            return False
        self.nodes.append(node.with_arguments(self=Ref(last)))
        self.first.add(node.outputs[0].name)
        return True

    def _concatenate(self, node: Node) -> bool:
        tensors, dim = node.argument("tensors"), node.argument("dim")
        rank = node.outputs[0].spec.ndim
        names = [t.name for t in tensors if isinstance(t, Ref)] if isinstance(tensors, tuple) else []
        are_images = any(n in self.twins for n in names) or all(n in self.sources for n in names)
        if rank < 3 or not isinstance(dim, int) or not names or not are_images:
            return False
        axis = to_last(rank).index(dim % rank)
        twins: Operand = tuple(Ref(self._twin(n, node.origin)) for n in names)
        changed = node.with_arguments(tensors=twins, dim=axis)
        self.nodes.append(replace(changed, outputs=(self._define_twin(node.outputs[0]),)))
        return True

    def _reduce(self, node: Node, last: str, rank: int) -> bool:
        dims, keep = node.argument("dim"), node.argument("keepdim")
        given = (dims,) if isinstance(dims, int) else dims
        if not isinstance(given, tuple) or not given:
            return False
        axes = sorted(d % rank for d in given if isinstance(d, int))
        stays = not keep and min(axes) > 1 and len(axes) < rank - 2  # it is an image of fewer axes
        if not keep and not stays and axes not in (list(range(2, rank)), [1]):
            return False  # the axes that are left would be in another order
        mapped = tuple(sorted(to_last(rank).index(a) for a in axes))
        dim: Operand = mapped[0] if isinstance(dims, int) else mapped
        changed = node.with_arguments(self=Ref(last), dim=dim)
        if keep or stays:
            changed = replace(changed, outputs=tuple(self._define_twin(value) for value in node.outputs))
        else:
            self.first |= {value.name for value in node.outputs}
        self.nodes.append(changed)
        return True

    def _permute(self, node: Node) -> bool:
        """A transpose of a value that has a twin starts from the twin, and vanishes where the twin is its result."""
        source = node.arguments[0][1] if node.arguments else None
        if not isinstance(source, Ref):
            return False
        rank = self.specs[source.name].ndim
        axes = _axes(node, rank)
        if source.name in self.sources and axes == to_last(rank):
            twin, composed = self.sources[source.name], tuple(range(rank))
        elif source.name not in self.twins or source.name in self.first:
            if rank > 2 and axes == to_first(rank):
                self.sources[node.outputs[0].name] = source.name
            return False
        elif axes is None:
            return False
        else:
            twin, composed = self.twins[source.name], tuple(to_last(rank).index(a) for a in axes)
        value = node.outputs[0]
        permute = Node("aten.permute.default", (("self", Ref(twin)), ("dims", composed)), (value,), origin=node.origin)
        self.nodes.append(permute)
        self.first.add(value.name)
        return True


def _axes(node: Node, rank: int) -> tuple[int, ...] | None:
    if node.op == "aten.permute.default":
        dims = node.argument("dims")
        return tuple(d % rank for d in dims if isinstance(d, int)) if isinstance(dims, tuple) else None
    if node.op == "aten.transpose.int":
        a, b = node.argument("dim0"), node.argument("dim1")
        if isinstance(a, int) and isinstance(b, int):
            order = list(range(rank))
            order[a % rank], order[b % rank] = b % rank, a % rank
            return tuple(order)
    return None


def without_dead_nodes(graph: Graph, stand_ins: Mapping[str, list[str]] | None = None) -> Graph:
    """Identity permutes are looked through; operators whose results nothing reads are left out.

    Args:
        graph: the graph.
        stand_ins: values that hold the numbers of others already, for the notes on calls.
    """
    same: dict[str, str] = {}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, arguments=tuple((k, renamed(o, same)) for k, o in node.arguments))
        dims = dict(node.arguments).get("dims" if node.op.startswith("aten.") else "permutation")
        source = node.arguments[0][1] if node.arguments else None
        is_permute = node.op in _PERMUTES and isinstance(dims, tuple) and isinstance(source, Ref)
        if is_permute and isinstance(source, Ref) and dims == tuple(range(node.outputs[0].spec.ndim)):
            same[node.outputs[0].name] = source.name
            continue
        nodes.append(node)
    outputs = tuple(renamed(o, same) for o in graph.outputs)
    needed = {n for o in outputs for n in references(o)} | {same.get(v, v) for _, v in graph.mutations}
    kept: list[Node] = []
    for node in reversed(nodes):
        if any(value.name in needed for value in node.outputs):
            kept.append(node)
            needed |= set(node_inputs(node))
    mutations = tuple((w, same.get(v, v)) for w, v in graph.mutations)
    out_tree = _renamed_tree(graph.out_tree, same)
    known = {
        name: [*(stand_ins or {}).get(name, ()), *([same[name]] if name in same else [])]
        for name in {*(stand_ins or {}), *same}
    }
    calls = followed_calls(graph.calls, kept, known)
    left = tuple(reversed(kept))
    return replace(graph, nodes=left, outputs=outputs, mutations=mutations, out_tree=out_tree, calls=calls)


def _renamed_tree(tree: object, names: dict[str, str]) -> object:
    if isinstance(tree, dict):
        return {k: names.get(v, v) if k == "leaf" else _renamed_tree(v, names) for k, v in tree.items()}
    return [_renamed_tree(item, names) for item in tree] if isinstance(tree, list) else tree
