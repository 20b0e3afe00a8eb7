"""What the pass over selections by masks (`selections`) keeps of each, and the nodes that it makes for all of them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from typing import Literal

from regauge.dtypes import kind
from regauge.ir.graph import Dim, Node, Operand, Origin, Ref, Sym, TensorSpec, Value

Arguments = tuple[tuple[str, Operand], ...]
_Mask = str | tuple[Literal["not"], str]  # a value by the first that is computed so, or what that is not


class NotWhole(Exception):
    """An operator needs the selected elements by themselves."""


@dataclass(frozen=True)
class Selected:
    """A value that holds the elements which a mask selects.

    Attributes:
        whole: the value with all elements.
        mask: the value of the mask.
        before: number of axes before that of the selected elements.
        after: number of axes behind it.
        symbol: the size that depends on values.
        origin: of the node that made it.
        harmless: whether what the mask leaves out is finite, in derivatives too.
    """

    whole: Value
    mask: Value
    before: int
    after: int
    symbol: str
    origin: Origin
    harmless: bool = False

    @property
    def rank(self) -> int:
        """Number of axes of the selection."""
        return self.before + 1 + self.after

    @property
    def around(self) -> tuple[tuple[Dim, ...], tuple[Dim, ...]]:
        """The sizes before and behind the axes of the mask."""
        shape = self.whole.spec.shape
        return shape[: self.before], shape[len(shape) - self.after :]


@dataclass
class Parts:
    """The values and nodes of a graph in which selections are made whole.

    Attributes:
        specs: every value by its name.
        unique: makes names of new values.
        selected: selections by the name that they have in the graph.
        nodes: that are made.
    """

    specs: dict[str, Value]
    unique: Callable[[str], str]
    selected: dict[str, Selected] = field(default_factory=dict)
    nodes: list[Node] = field(default_factory=list)
    _same: dict[object, str] = field(default_factory=dict)  # what a value is computed by -> the first one
    _first: dict[str, str] = field(default_factory=dict)
    _behind: dict[str, tuple[_Mask, int]] = field(default_factory=dict)  # masks by how many axes of size 1 they end
    _wider: dict[tuple[str, int], Value] = field(default_factory=dict)
    _kept: dict[tuple[str, float | None], Value] = field(default_factory=dict)

    def selections_in(self, names: Iterable[str]) -> list[Selected]:
        """Those of the values that are selections."""
        return [self.selected[name] for name in names if name in self.selected]

    def number(self, node: Node) -> None:
        """Note what a value is computed by, so that a mask that is written down twice is one mask."""
        value = node.outputs[0].name
        mask = self._with_axes(node)
        if mask is not None:
            self._behind[value] = mask
        arguments = tuple((key, self._numbered(operand)) for key, operand in node.arguments)
        self._first[value] = self._same.setdefault(mask or (node.op, arguments), value)

    def _with_axes(self, node: Node) -> tuple[_Mask, int] | None:
        """A mask, or what it is not, with new axes at its end: in whatever order both were written, it is one mask."""
        data = dict(node.arguments).get("self")
        if not isinstance(data, Ref) or self.specs[data.name].spec.dtype != "bool":
            return None
        mask, count = self._axes_behind(data.name)
        if packet(node.op) in ("bitwise_not", "logical_not"):
            return ("not", mask) if isinstance(mask, str) else mask[1], count
        if packet(node.op) == "unsqueeze" and node.argument("dim") in (-1, node.outputs[0].spec.ndim - 1):
            return mask, count + 1
        return None

    def _axes_behind(self, name: str) -> tuple[_Mask, int]:
        """The mask that a value is, and how many axes of size 1 stand behind its own."""
        return self._behind.get(name) or (self._first.get(name, name), 0)

    def _numbered(self, operand: Operand) -> object:
        """An operand by the first value that is computed so; 1 and True are told apart."""
        if isinstance(operand, Ref):
            return Ref(self._first.get(operand.name, operand.name))
        if isinstance(operand, tuple):
            return tuple(self._numbered(item) for item in operand)
        return type(operand), operand

    def is_same(self, one: Value, other: Value, behind: int = 0) -> bool:
        """Whether two values are equal because they are computed alike, but for new axes that one has behind."""
        mask, count = self._axes_behind(other.name)
        return self._axes_behind(one.name) == (mask, count + behind)

    def append(self, op: str, arguments: Arguments, value: Value, origin: Origin) -> Ref:
        """Make a node with one result."""
        self.specs[value.name] = value
        self.nodes.append(Node(op, arguments, (value,), origin=origin))
        return Ref(value.name)

    def keep(self, node: Node, first: Selected, after: int, harmless: bool) -> None:
        """Make the node of all elements, whose results are selections with `after` axes behind, as `first` is one.

        Args:
            node: with arguments that have all elements, and the results that the selection had.
            first: a selection by the same mask.
            after: number of axes behind that of the selected elements.
            harmless: as in `Selected`.

        Raises:
            NotWhole: the number of selected elements is an argument.
        """
        rank = first.before + 1 + after
        if any(value.spec.ndim != rank for value in node.outputs) or any(
            first.symbol in s.text for s in sizes_in(node)
        ):
            raise NotWhole
        results = []
        for value in node.outputs:
            shape = value.spec.shape
            sizes = (*shape[: first.before], *first.mask.spec.shape, *shape[first.before + 1 :])
            whole = Value(value.name, TensorSpec(sizes, value.spec.dtype))
            self.specs[value.name] = whole
            self.selected[value.name] = replace(first, whole=whole, after=after, origin=node.origin, harmless=harmless)
            results.append(whole)
        self.nodes.append(replace(node, outputs=tuple(results)))

    def whole(self, operand: Operand, number: float | None, origin: Origin, always: bool = False) -> Operand:
        """An operand with all elements.

        Args:
            operand: of the original's node.
            number: to stand in the places that the mask leaves out, where they could be felt in derivatives; None if
                they cannot.
            origin: of the node.
            always: put it there in any case.
        """
        if isinstance(operand, tuple):
            return tuple(self.whole(item, number, origin, always) for item in operand)
        if not isinstance(operand, Ref) or operand.name not in self.selected:
            return operand
        item = self.selected[operand.name]
        if not always and (number is None or item.harmless or not has_gradient(item.whole.spec)):
            return Ref(item.whole.name)
        other = bool(number) if item.whole.spec.dtype == "bool" else number
        if (operand.name, other) not in self._kept:
            kept = self._kept[operand.name, other] = Value(self.unique(f"{operand.name}_kept"), item.whole.spec)
            # What was made outside of a module is chosen there too, and the module is called with it.
            at = item.origin if _is_around(item.origin.path, origin.path) else origin
            chosen = self.mask_for(item.mask, item.after, at)
            arguments = (("condition", chosen), ("self", Ref(item.whole.name)), ("other", other))
            self.append("aten.where.ScalarOther", arguments, kept, at)
        return Ref(self._kept[operand.name, other].name)

    def have_number(self, names: Iterable[str], number: float) -> bool:
        """Whether all selections among values that need a number where the mask leaves them out have been given it."""
        open_ones = [name for name in names if name in self.selected and not self.selected[name].harmless]
        return all((name, number) in self._kept for name in open_ones)

    def mask_for(self, mask: Value, after: int, origin: Origin) -> Ref:
        """A mask with new axes at its end."""
        for count in range(1, after + 1):
            if (mask.name, count) not in self._wider:
                narrow = self._wider.get((mask.name, count - 1), mask)
                wide = Value(self.unique(f"{mask.name}_wide"), TensorSpec((*narrow.spec.shape, 1), "bool"))
                self.append("aten.unsqueeze.default", (("self", Ref(narrow.name)), ("dim", -1)), wide, origin)
                self._wider[mask.name, count] = wide
        return Ref(self._wider.get((mask.name, after), mask).name)

    @contextmanager
    def inside(self) -> Iterator[list[Node]]:
        """Within the block nodes are made for a body, and go into the list that this gives."""
        around, wider, kept = self.nodes, dict(self._wider), dict(self._kept)
        self.nodes = []
        yield self.nodes
        self.nodes, self._wider, self._kept = around, wider, kept

    def undo(self, made: int) -> None:
        """Forget all nodes but the first `made`."""
        gone = {value.name for node in self.nodes[made:] for value in node.outputs}
        del self.nodes[made:]
        self._wider = {key: value for key, value in self._wider.items() if value.name not in gone}
        self._kept = {key: value for key, value in self._kept.items() if value.name not in gone}


def _is_around(outer: str, inner: str) -> bool:
    """Whether a module, by its path, is another one or holds it."""
    return not outer or outer == inner or inner.startswith(f"{outer}.")


def packet(op: str) -> str:
    """``add`` of ``aten.add.Tensor``; nothing for operators that are not of aten."""
    library, name = op.split(".")[:2]
    return name if library == "aten" else ""


def has_gradient(spec: TensorSpec) -> bool:
    """Whether gradients flow into arrays of this dtype."""
    return kind(spec.dtype) in ("float", "complex")


def sizes_in(node: Node) -> list[Sym]:
    """The symbolic numbers among the arguments of a node."""

    def found(operand: Operand) -> list[Sym]:
        if isinstance(operand, tuple):
            return [size for item in operand for size in found(item)]
        return [operand] if isinstance(operand, Sym) else []

    return [size for _, operand in node.arguments for size in found(operand)]


def product(sizes: Iterable[Dim]) -> Dim:
    """The product of sizes."""
    number, texts = 1, list[str]()
    for size in sizes:
        if isinstance(size, int):
            number *= size
        else:
            texts.append(size.text if size.text.isidentifier() else f"({size.text})")
    if not texts:
        return number
    return Sym(" * ".join(([str(number)] if number != 1 else []) + texts))
