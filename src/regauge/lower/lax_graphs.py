"""What passes over graphs of lax look at: which node made a value, through what changes nothing but its form."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from types import MappingProxyType

from regauge.ir.graph import Dim, Graph, Node, Operand, Ref, Sym, TensorSpec, references
from regauge.lower.plan import value_specs

EMPTY: Mapping[str, TensorSpec] = MappingProxyType({})


class Makers:
    """The nodes of a graph by the values that they make.

    Args:
        graph: the graph, or the body of an operator.
        around: specs of the values that a body may read of the graphs around it.
    """

    def __init__(self, graph: Graph, around: Mapping[str, TensorSpec] = EMPTY) -> None:
        self.specs = {**around, **value_specs(graph)}
        self.nodes = {value.name: node for node in graph.nodes for value in node.outputs}
        used = [name for node in graph.nodes for _, operand in node.arguments for name in references(operand)]
        used += [name for operand in graph.outputs for name in references(operand)]
        self.uses = Counter([*used, *(value for _, value in graph.mutations)])

    def node(self, operand: Operand, *ops: str) -> Node | None:
        """The node that made a value, if it is one of these operators."""
        node = self.nodes.get(operand.name) if isinstance(operand, Ref) else None
        return node if node is not None and node.op in ops else None

    def spec(self, operand: Operand) -> TensorSpec | None:
        return self.specs.get(operand.name) if isinstance(operand, Ref) else None

    def shape(self, operand: Operand) -> tuple[Dim, ...]:
        spec = self.spec(operand)
        return () if spec is None else spec.shape

    def size(self, operand: Operand) -> Sym | None:
        """The symbolic size that an array of floats without axes holds, as `x.shape[0]` in arithmetic does."""
        cast = self.node(operand, "lax.convert_element_type")
        if cast is None or cast.outputs[0].spec.dtype not in ("float32", "float64"):
            return None
        made = self.node(cast.argument("x"), "lax.dim_as_value")
        size = None if made is None else made.argument("x")
        return size if isinstance(size, Sym) else None

    def unwrapped(self, operand: Operand, size: Dim) -> Operand | None:
        """``i`` of ``where(i < 0, i + size, i)``, JAX's way to count from the end; None for anything else."""
        choice = self.node(operand, "lax.select_n")
        if choice is None:
            return None
        test = self.node(choice.argument("which"), "lax.lt")
        cases = choice.argument("cases")
        if test is None or not isinstance(cases, tuple) or len(cases) != 2 or test.argument("y") != 0:
            return None
        shifted = self.node(cases[1], "lax.add")
        if shifted is None or test.argument("x") != cases[0] or shifted.argument("x") != cases[0]:
            return None
        return cases[0] if shifted.argument("y") == size else None

    def below(self, operand: Operand) -> Dim | None:
        """A size that all elements of an array of indices are below, none of them negative; None if it is unknown."""
        node = self.nodes.get(operand.name) if isinstance(operand, Ref) else None
        if node is None:
            return operand + 1 if type(operand) is int and operand >= 0 else None
        if node.op == "lax.iota":
            return _at(node.outputs[0].spec.shape, node.argument("dimension"))
        if node.op in ("lax.argmax", "lax.argmin"):
            axes = node.argument("axes")
            return _at(self.shape(node.arguments[0][1]), axes[0]) if isinstance(axes, tuple) else None
        if node.op == "lax.argsort" or (node.op == "lax.sort_and_order" and _is_output(node, operand, 1)):
            return _at(self.shape(node.arguments[0][1]), node.argument("dimension"))
        if node.op == "lax.top_k" and _is_output(node, operand, 1):
            return _at(self.shape(node.arguments[0][1]), node.argument("axis"))
        if node.op == "lax.select_n":
            cases = node.argument("cases")
            base = cases[0] if isinstance(cases, tuple) else None
            low = self.below(base)
            shifted = self.node(cases[1], "lax.add") if isinstance(cases, tuple) else None
            wraps = shifted is not None and self.unwrapped(operand, _dim(shifted.argument("y"))) is not None
            return low if low is not None and wraps else None
        if node.op in _SAME_ELEMENTS:
            return self.below(node.arguments[0][1])
        return None

    def plain(self, operand: Operand, size: Dim) -> Operand:
        """An array of indices without the wrapping of negative ones where there are none."""
        base = self.unwrapped(operand, size)
        return base if base is not None and self.below(base) is not None else operand


_SAME_ELEMENTS = frozenset({
    "lax.convert_element_type", "lax.broadcast_in_dim", "lax.reshape", "lax.squeeze", "lax.transpose", "lax.slice",
    "lax.rev", "lax.copy", "lax.stop_gradient",
})  # fmt: skip


def _is_output(node: Node, operand: Operand, number: int) -> bool:
    return isinstance(operand, Ref) and node.outputs[number].name == operand.name


def _at(shape: tuple[Dim, ...], axis: Operand) -> Dim | None:
    return shape[axis] if isinstance(axis, int) else None


def _dim(operand: Operand) -> Dim:
    return operand if isinstance(operand, int) and not isinstance(operand, bool) else -1
