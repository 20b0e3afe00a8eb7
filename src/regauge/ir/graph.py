"""The graph that every stage after capture works on: small, frozen, and independent of torch.fx and jaxpr.

The vocabulary of the source framework is kept (`aten.linear.default`, `lax.dot_general`): lowering it to
primitives would destroy readable output. Operators are functional: state leaves through `Graph.mutations`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from regauge.findings import Finding


@dataclass(frozen=True)
class Sym:
    """An integer that depends on symbolic sizes; `text` is a Python expression over symbol names."""

    text: str


Dim = int | Sym


@dataclass(frozen=True)
class DType:
    """A dtype as an operand, by its framework-neutral name: ``float32``, ``int64``, ``bool``, ``bfloat16``."""

    name: str


@dataclass(frozen=True)
class Ref:
    """A use of the value with this name."""

    name: str


Operand = Ref | Sym | DType | None | bool | int | float | complex | str | tuple["Operand", ...]


@dataclass(frozen=True)
class TensorSpec:
    """Shape and dtype of an array; sizes are ints or `Sym`."""

    shape: tuple[Dim, ...]
    dtype: str

    @property
    def ndim(self) -> int:
        return len(self.shape)

    def __str__(self) -> str:
        sizes = ", ".join(str(d.text if isinstance(d, Sym) else d) for d in self.shape)
        return f"{self.dtype}[{sizes}]"


@dataclass(frozen=True)
class Symbol:
    """A symbolic size: the example value it had at capture and the range that capture proved."""

    name: str
    hint: int
    low: int = 0
    high: int | None = None


@dataclass(frozen=True)
class Value:
    """An array (or a tuple element of an operator's result) with its name, unique in the graph."""

    name: str
    spec: TensorSpec


FORMULA = "<formula>"


@dataclass(frozen=True)
class Frame:
    """One line of the person's own source, or of a layer of torch that is written out: its function is `FORMULA`."""

    file: str
    line: int
    function: str

    @property
    def place(self) -> str:
        """``file.py:line``."""
        return f"{self.file.rsplit('/', 1)[-1]}:{self.line}"


@dataclass(frozen=True)
class ModuleStep:
    """One module on the way to a node: path, qualified class name, and a key that tells calls apart.

    A *recomputed* call saves nothing for the gradient but its arguments: the backward pass runs it once more.
    """

    path: str
    type: str
    call: str
    recomputed: bool = False


Setting = bool | int | str | None
Scalar = int | float | str


@dataclass(frozen=True)
class Call:
    """What one call of a module was passed, and gave.

    Attributes:
        key: as in `ModuleStep.call`.
        arguments: names of forward's parameters with the value that each got; None for a container of several, and
            for a value that nothing in the call reads. Constants and what was not passed are left out.
        results: the values that it returned, in the order of their containers; a pass may put others that hold the
            same numbers behind them.
        settings: attributes of the module by which its own code chooses what it does, and their values; those that
            a condition reads come first.
        values: the module's own attributes that are numbers or texts: widths, heads, rates, kinds of padding.
    """

    key: str
    arguments: tuple[tuple[str, str | None], ...]
    results: tuple[str, ...] = ()
    settings: tuple[tuple[str, Setting], ...] = ()
    values: tuple[tuple[str, Scalar], ...] = ()


@dataclass(frozen=True)
class Origin:
    """Where a node came from: the modules that were being called, and the source lines, outermost first."""

    modules: tuple[ModuleStep, ...] = ()
    frames: tuple[Frame, ...] = ()

    @property
    def path(self) -> str:
        return self.modules[-1].path if self.modules else ""

    @property
    def line(self) -> str:
        """``file.py:line`` of the innermost line of the person's source, or an empty string."""
        own = [frame for frame in self.frames if frame.function != FORMULA]
        return own[-1].place if own else ""


@dataclass(frozen=True)
class Node:
    """One operator call.

    Attributes:
        op: qualified name with the overload.
        arguments: all arguments of the schema, by name, in its order, defaults filled.
        outputs: what it gives.
        bodies: functions of control flow and transformations. A body has the symbols of the graph around it, and may
            read values of it, which the argument `closure` names.
        origin: where it came from.
        always: a dropout that evaluation does not switch off, because the code says so.
    """

    op: str
    arguments: tuple[tuple[str, Operand], ...]
    outputs: tuple[Value, ...]
    bodies: tuple[Graph, ...] = ()
    origin: Origin = Origin()
    always: bool = False

    def argument(self, name: str) -> Operand:
        for key, operand in self.arguments:
            if key == name:
                return operand
        raise KeyError(name)

    def with_arguments(self, /, **changes: Operand) -> Node:
        """This node with some arguments replaced, or added at the end."""
        kept = tuple((key, changes.pop(key, operand)) for key, operand in self.arguments)
        return replace(self, arguments=kept + tuple(changes.items()))


Role = Literal["parameter", "buffer", "constant"]


@dataclass(frozen=True)
class Slice:
    """Which part of an array of the original, in which the weights of equal layers are stacked, a weight is.

    Attributes:
        name: of the array.
        shape: of the array.
        steps: ``(axis, index, count)``, taken one after the other; more than one where stacks are nested.
    """

    name: str
    shape: tuple[int, ...]
    steps: tuple[tuple[int, int, int], ...]

    @property
    def label(self) -> str:
        """``layers.kernel[2]``, which no other slice is called."""
        return f"{self.name}[{', '.join(str(index) for _, index, _ in self.steps)}]"


@dataclass(frozen=True)
class WeightSpec:
    """A tensor that the model owns.

    Attributes:
        name: the original's qualified name, ``encoder.layer.0.weight``.
        value: the name of the graph value that reads it.
        role: parameter, buffer (state or table) or constant (a literal tensor of the source).
        trainable: whether the optimizer may change it.
        persistent: whether the original's state dict holds it.
        tied_to: the name of the first weight that shares its storage, or None.
        slice_of: the array of the original that this is a part of, and then the name is one that the original does
            not have; None where it is whole.
    """

    name: str
    value: str
    spec: TensorSpec
    role: Role
    trainable: bool = False
    persistent: bool = True
    tied_to: str | None = None
    slice_of: Slice | None = None


@dataclass(frozen=True)
class Graph:
    """A captured function.

    `in_tree` and `out_tree` are tree skeletons (`regauge.run.protocol`) whose leaves are value names; a symbolic size
    among the outputs is ``{"size": "batch"}``;
    `mutations` pairs the name of a weight with the value that it holds after the call; `calls` says what modules were
    passed and gave, where the capture saw it.
    """

    dialect: Literal["aten", "lax"]
    inputs: tuple[Value, ...]
    weights: tuple[WeightSpec, ...]
    nodes: tuple[Node, ...]
    outputs: tuple[Operand, ...]
    mutations: tuple[tuple[str, str], ...] = ()
    symbols: tuple[Symbol, ...] = ()
    in_tree: Any = None
    out_tree: Any = None
    findings: tuple[Finding, ...] = field(default=())
    calls: tuple[Call, ...] = ()


def references(operand: Operand) -> list[str]:
    """Names of all values that an operand uses, in order, repeats included."""
    if isinstance(operand, Ref):
        return [operand.name]
    if isinstance(operand, tuple):
        return [name for item in operand for name in references(item)]
    return []


def node_inputs(node: Node) -> list[str]:
    """Names of all values that a node reads, in order of its arguments, repeats included."""
    return [name for _, operand in node.arguments for name in references(operand)]


def every_node(graph: Graph) -> Iterator[Node]:
    """All nodes of a graph; those of bodies before the node that they belong to."""
    for node in graph.nodes:
        for body in node.bodies:
            yield from every_node(body)
        yield node


def with_every_node(graph: Graph, change: Callable[[Node], Node]) -> Graph:
    """A graph in which every node, those of bodies too, is as `change` has it; in the order of `every_node`."""

    def changed(node: Node) -> Node:
        bodies = tuple(with_every_node(body, change) for body in node.bodies)
        return change(replace(node, bodies=bodies) if bodies else node)

    return replace(graph, nodes=tuple(changed(node) for node in graph.nodes))


def free_values(body: Graph) -> list[str]:
    """Values of the graph around that a body reads, in order."""
    made = {value.name for value in body.inputs} | {value.name for node in body.nodes for value in node.outputs}
    read = [name for node in body.nodes for name in node_inputs(node)]
    read += [name for operand in body.outputs for name in references(operand)]
    return [name for name in dict.fromkeys(read) if name not in made]


def renamed(operand: Operand, names: Mapping[str, str]) -> Operand:
    """An operand that uses values under other names; names that are not in the mapping stay."""
    if isinstance(operand, Ref):
        return Ref(names.get(operand.name, operand.name))
    if isinstance(operand, tuple):
        return tuple(renamed(item, names) for item in operand)
    return operand


def with_names(node: Node, names: Mapping[str, str]) -> Node:
    """A node, and its bodies, that use values under other names; names that are not in the mapping stay."""
    if not names:
        return node
    bodies = tuple(
        replace(
            body,
            nodes=tuple(with_names(inner, names) for inner in body.nodes),
            outputs=tuple(renamed(operand, names) for operand in body.outputs),
        )
        for body in node.bodies
    )
    arguments = tuple((name, renamed(operand, names)) for name, operand in node.arguments)
    return replace(node, arguments=arguments, bodies=bodies)


def with_bodies(node: Node, bodies: Sequence[Graph]) -> Node:
    """A node with other bodies of the same inputs and results, without what is dead in them."""
    live = []
    for body in bodies:
        needed = {name for operand in body.outputs for name in references(operand)}
        live.append(replace(body, nodes=without_dead(body.nodes, needed)))
    read = dict.fromkeys(name for body in live for name in free_values(body))
    return replace(node, bodies=tuple(live)).with_arguments(closure=tuple(Ref(name) for name in read))


# Operators that act outside of the graph: they stay without readers too, so that they are refused and never lost.
ACTS_OUTSIDE = frozenset({
    "lax.io_callback", "lax.check", "lax.swap", "lax.addupdate", "lax.ref_set", "lax.ref_addupdate",
})  # fmt: skip


def without_dead(nodes: Iterable[Node], needed: set[str]) -> tuple[Node, ...]:
    """The nodes that something needs: outputs and new states, what they are made from, and what acts outside."""
    wanted = set(needed)
    kept: list[Node] = []
    for node in reversed(list(nodes)):
        if node.op in ACTS_OUTSIDE or any(value.name in wanted for value in node.outputs):
            wanted.update(node_inputs(node))
            kept.append(node)
    return tuple(reversed(kept))
