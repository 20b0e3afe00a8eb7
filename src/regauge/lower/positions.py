"""Positions that only say where an element stands: masks made of them are written as what they are.

Libraries build attention masks from ranges of positions, so that one function serves every kind of mask: a padding mask
is read at all its positions one by one, a causal mask compares the positions of keys and queries. Here reading at all
positions becomes the array with new axes, the comparison a triangle, and a mask that is true everywhere disappears.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from regauge.ir.graph import DType, Graph, Node, Operand, Ref, Sym, TensorSpec, Value, node_inputs, references, renamed
from regauge.lower.plan import value_specs

_AND = frozenset({"aten.__and__.Tensor", "aten.bitwise_and.Tensor", "aten.logical_and.default"})
_SMALL = frozenset(
    {"aten.arange.default", "aten.unsqueeze.default", "aten.new_ones.default", "aten.ge.Scalar", "aten.expand.default"}
)


@dataclass
class _Known:
    """What is known of values, by name.

    Attributes:
        ranges: an axis along which the value counts 0, 1, ... to the size; it has size 1 along all others.
        true: true everywhere.
        same: the value that this one is.
    """

    specs: dict[str, TensorSpec]
    ranges: dict[str, tuple[int, Operand]] = field(default_factory=dict)
    true: set[str] = field(default_factory=set)
    same: dict[str, str] = field(default_factory=dict)


def without_positions(graph: Graph) -> Graph:
    """The graph with masks of positions written as new axes and triangles; every other value keeps its name."""
    known = _Known(value_specs(graph))
    kept = {name for operand in graph.outputs for name in references(operand)} | {v for _, v in graph.mutations}
    nodes: list[Node] = []
    for node in graph.nodes:
        node = replace(node, arguments=tuple((k, renamed(o, known.same)) for k, o in node.arguments))
        _learn(node, known)
        made = _rewritten(node, known, kept)
        for new in made:
            known.specs |= {value.name: value.spec for value in new.outputs}
        nodes += made
    return replace(graph, nodes=tuple(_without_unread(nodes, kept)))


def _learn(node: Node, known: _Known) -> None:
    if len(node.outputs) != 1:
        return
    name, spec = node.outputs[0].name, node.outputs[0].spec
    arguments = dict(node.arguments)
    source = arguments.get("self")
    if node.op == "aten.arange.default" and spec.dtype == "int64" and isinstance(arguments["end"], int | Sym):
        known.ranges[name] = (0, arguments["end"])
    elif node.op == "aten.unsqueeze.default" and isinstance(source, Ref) and source.name in known.ranges:
        axis, size = known.ranges[source.name]
        new = int(str(arguments["dim"])) % spec.ndim
        known.ranges[name] = (axis + 1 if new <= axis else axis, size)
    elif node.op == "aten.new_ones.default" and spec.dtype == "bool":
        known.true.add(name)
    elif node.op == "aten.ge.Scalar" and isinstance(source, Ref) and source.name in known.ranges:
        if isinstance(arguments["other"], int) and arguments["other"] <= 0:
            known.true.add(name)
    elif node.op in _AND and all(isinstance(o, Ref) and o.name in known.true for o in arguments.values()):
        known.true.add(name)


def _rewritten(node: Node, known: _Known, kept: set[str]) -> list[Node]:
    if len(node.outputs) != 1 or node.outputs[0].name in known.true:
        return [node]
    if node.op in _AND:
        return _without_true(node, known, kept)
    if node.op == "aten.index.Tensor":
        return _new_axes(node, known) or [node]
    if node.op in ("aten.le.Tensor", "aten.ge.Tensor"):
        return _triangle(node, known) or [node]
    return [node]


def _without_true(node: Node, known: _Known, kept: set[str]) -> list[Node]:
    """`true & mask` is the mask, made as large as the result."""
    operands = [operand for _, operand in node.arguments]
    if not all(isinstance(operand, Ref) for operand in operands):
        return [node]
    masks = [o for o in operands if isinstance(o, Ref) and o.name not in known.true]
    output = node.outputs[0]
    if len(masks) != 1 or known.specs[masks[0].name].dtype != "bool":
        return [node]
    if known.specs[masks[0].name] == output.spec and output.name not in kept:
        known.same[output.name] = masks[0].name
        return []
    arguments: tuple[tuple[str, Operand], ...] = (
        ("self", masks[0]),
        ("size", tuple(output.spec.shape)),
        ("implicit", False),
    )
    return [replace(node, op="aten.expand.default", arguments=arguments)]


def _new_axes(node: Node, known: _Known) -> list[Node]:
    """An array that is read at every position of all its axes, in order: it gets the new axes alone."""
    source, indices = node.argument("self"), node.argument("indices")
    if not isinstance(source, Ref) or not isinstance(indices, tuple) or len(indices) != known.specs[source.name].ndim:
        return []
    rank = node.outputs[0].spec.ndim
    places: list[tuple[int, Operand]] = []
    for index in indices:
        if not isinstance(index, Ref) or index.name not in known.ranges:
            return []
        axis, size = known.ranges[index.name]
        places.append((axis + rank - known.specs[index.name].ndim, size))
    axes = [axis for axis, _ in places]
    if axes != sorted(set(axes)):
        return []
    steps: list[tuple[str, tuple[tuple[str, Operand], ...]]] = []
    for axis, (size, own) in enumerate(zip((s for _, s in places), known.specs[source.name].shape, strict=True)):
        if str(size) != str(own):
            steps.append(("aten.slice.Tensor", (("dim", axis), ("start", 0), ("end", size), ("step", 1))))
    steps += [("aten.unsqueeze.default", (("dim", axis),)) for axis in range(rank) if axis not in axes]
    return _chain(node, source, steps, known) if steps else []


def _triangle(node: Node, known: _Known) -> list[Node]:
    """`keys <= queries` of positions along the last two axes: the lower triangle of a square of ones."""
    first, second = node.argument("self"), node.argument("other")
    if node.op == "aten.ge.Tensor":
        first, second = second, first
    spec = node.outputs[0].spec
    if not (isinstance(first, Ref) and isinstance(second, Ref)):
        return []
    if first.name not in known.ranges or second.name not in known.ranges:
        return []
    keys, queries = known.ranges[first.name], known.ranges[second.name]
    rank = spec.ndim
    same_rank = known.specs[first.name].ndim == known.specs[second.name].ndim == rank
    if not same_rank or (keys[0], queries[0]) != (rank - 1, rank - 2) or str(keys[1]) != str(queries[1]):
        return []
    square = (spec.shape[-2], spec.shape[-1])
    name = node.outputs[0].name
    ones = Node(
        "aten.ones.default",
        (("size", square), ("dtype", DType("bool")), ("layout", None), ("device", None), ("pin_memory", None)),
        (Value(_new_name(f"{name}_ones", known), TensorSpec(square, "bool")),),
        origin=node.origin,
    )
    steps: list[tuple[str, tuple[tuple[str, Operand], ...]]] = [("aten.tril.default", (("diagonal", 0),))]
    steps += [("aten.unsqueeze.default", (("dim", 0),))] * (rank - 2)
    return [ones, *_chain(node, Ref(ones.outputs[0].name), steps, known, ones.outputs[0].spec)]


def _chain(
    node: Node,
    source: Ref,
    steps: list[tuple[str, tuple[tuple[str, Operand], ...]]],
    known: _Known,
    spec: TensorSpec | None = None,
) -> list[Node]:
    """Operators of one array, one after the other, the last of which makes the node's result; none if it differs."""
    spec = spec or known.specs[source.name]
    result = node.outputs[0]
    made: list[Node] = []
    for number, (op, options) in enumerate(steps):
        spec = TensorSpec(_shape(op, dict(options), spec.shape), spec.dtype)
        name = result.name if number == len(steps) - 1 else _new_name(f"{result.name}_step{number}", known)
        made.append(Node(op, (("self", source), *options), (Value(name, spec),), origin=node.origin))
        source = Ref(name)
    return made if spec == result.spec else []


def _new_name(name: str, known: _Known) -> str:
    while name in known.specs:
        name += "_"
    return name


def _shape(op: str, options: dict[str, Operand], shape: tuple[int | Sym, ...]) -> tuple[int | Sym, ...]:
    if op == "aten.tril.default":
        return shape
    axis = int(str(options["dim"]))
    if op == "aten.unsqueeze.default":
        return (*shape[:axis], 1, *shape[axis:])
    end = options["end"]
    return (*shape[:axis], end, *shape[axis + 1 :]) if isinstance(end, int | Sym) else shape


def _without_unread(nodes: list[Node], kept: set[str]) -> list[Node]:
    """Without the small operators of positions that nothing reads any more."""
    read = set(kept)
    left: list[Node] = []
    for node in reversed(nodes):
        if node.op in _SMALL | _AND and not any(value.name in read for value in node.outputs):
            continue
        read.update(node_inputs(node))
        left.append(node)
    return left[::-1]
