"""Elements that a mask selects, as whole arrays: ``x[mask]`` that goes back to the places it came from, or is summed.

How many elements ``x[mask]`` has depends on values. What is done with each of them does not: ``y[mask] = x[mask] * 2``
is ``y = where(mask, x * 2, y)``, and a mean over ``x[mask]`` is a sum over ``where(mask, x, 0)`` divided by the number
of Trues. This pass follows each selection through the operators that act on its elements one by one, or on axes behind
those of the mask, to where it ends (`selection_ends`).

The elements that the mask leaves out are computed as well. They must not be felt in derivatives: 0 times the infinite
derivative of ``sqrt`` at 0 is NaN. So operators that may have such derivatives get a harmless number in their place.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import replace

from regauge.capture import selection_ends
from regauge.capture.selected_parts import NotWhole, Parts, Selected, has_gradient, packet, sizes_in
from regauge.ir.graph import Node, Operand, Ref, Sym, Value, node_inputs, references, with_bodies

# Operators of elements whose derivatives are 0 or 1, or that only copy, compare or choose.
_PLAIN = frozenset({
    "add", "sub", "rsub", "neg", "to", "detach", "where", "relu", "zeros_like", "ones_like", "full_like", "eq", "ne",
    "lt", "le", "gt", "ge", "isnan", "isinf", "isfinite", "logical_and", "logical_or", "logical_not", "logical_xor",
    "bitwise_and", "bitwise_or", "bitwise_not", "bitwise_xor",
    "dropout", "alpha_dropout",  # of each element for itself; derivatives are the factors that were drawn
})  # fmt: skip
# Other operators of elements, by a number at which value and derivative are finite.
_AT_ZERO = frozenset({
    "mul", "abs", "square", "sign", "floor", "ceil", "round", "trunc", "sin", "cos", "tan", "sinh", "cosh", "tanh",
    "asin", "acos", "atan", "asinh", "atanh", "exp", "exp2", "expm1", "log1p", "erf", "erfc", "erfinv", "sigmoid",
    "log_sigmoid", "softplus", "gelu", "silu", "mish", "elu", "selu", "celu", "leaky_relu", "relu6", "hardtanh",
    "hardswish", "hardsigmoid", "softsign", "tanhshrink", "clamp", "clamp_min", "clamp_max", "maximum", "minimum",
    "lerp", "addcmul", "masked_fill", "logaddexp", "nan_to_num",
})  # fmt: skip
_AT_ONE = frozenset({
    "div", "reciprocal", "sqrt", "rsqrt", "log", "log2", "log10", "pow", "atan2", "hypot", "lgamma", "digamma",
    "remainder", "fmod", "xlogy", "addcdiv", "floor_divide",
})  # fmt: skip
_HARMLESS: dict[str, float] = {**dict.fromkeys(_AT_ZERO, 0), **dict.fromkeys(_AT_ONE, 1), "acosh": 2, "logit": 0.5}
_NOT_AT_ONE = frozenset({"asin", "acos", "atanh", "erfinv"})  # of those that are finite at 0
# Products with weights on the last axis, by the argument that is multiplied.
_PRODUCTS = {"linear": "input", "matmul": "self", "mm": "self"}
# Operators along axes that they name; these must lie behind those of the mask.
_CUTS = frozenset({"chunk", "split", "split_with_sizes", "unbind"})  # with several results
_VIEWS = _CUTS | {"unsqueeze", "squeeze", "select", "slice"}
_ALONG = _VIEWS | {
    "sum", "mean", "amax", "amin", "softmax", "log_softmax", "logsumexp", "linalg_vector_norm", "cumsum", "argmax",
    "argmin",
}  # fmt: skip


def made_whole(
    nodes: Iterable[Node], given: Iterable[Value], needed: set[str], unique: Callable[[str], str]
) -> tuple[list[Node], set[str]]:
    """Nodes in which selections by masks are whole arrays.

    Args:
        nodes: of a graph, without dead ones.
        given: its inputs and weights.
        needed: values that it gives back.
        unique: makes names of new values.

    Returns:
        The nodes, and the names of all sizes that they need: of those that depend on values only what could not be
        made whole is among them.
    """
    parts = Parts({value.name: value for value in given}, unique)
    left: set[str] = set()
    for node in nodes:
        parts.specs.update({value.name: value for value in node.outputs})
        left.update(item.symbol for item in _take(parts, node))
    left.update(item.symbol for item in parts.selections_in(needed))
    return parts.nodes, left.union(*(_sizes(node) for node in parts.nodes))


def _take(parts: Parts, node: Node) -> list[Selected]:
    """Convert one node; gives the selections that it needs as they are."""
    if len(node.outputs) == 1 and packet(node.op) in _PLAIN | _VIEWS | _HARMLESS.keys():
        parts.number(node)
    root = _root(parts, node)
    if root is not None:
        parts.selected[node.outputs[0].name] = root
        return []
    if node.bodies:
        return _take_bodies(parts, node)
    reads = parts.selections_in(node_inputs(node))
    made = len(parts.nodes)
    if not reads:
        parts.nodes.append(node)
        return []
    try:
        if len(node.outputs) != 1 and packet(node.op) not in _CUTS:
            raise NotWhole
        _follow(parts, node, reads)
    except NotWhole:
        parts.undo(made)
        parts.nodes.append(node)
        return reads
    return []


def _take_bodies(parts: Parts, node: Node) -> list[Selected]:
    """Convert the bodies of a node, which may read selections of the graph around it, but not give any."""
    left = parts.selections_in(name for key, o in node.arguments if key != "closure" for name in references(o))
    bodies = []
    for body in node.bodies:
        with parts.inside() as nodes:
            parts.specs.update({value.name: value for value in body.inputs})
            for inner in body.nodes:
                parts.specs.update({value.name: value for value in inner.outputs})
                left += _take(parts, inner)
            left += parts.selections_in(name for operand in body.outputs for name in references(operand))
        bodies.append(replace(body, nodes=tuple(nodes)))
    parts.nodes.append(with_bodies(node, bodies))
    return left


def _root(parts: Parts, node: Node) -> Selected | None:
    """The selection that a node makes, if it makes one."""
    masked = node.op == "aten.masked_select.default"
    if not masked and node.op != "aten.index.Tensor":
        return None
    data = node.argument("self")
    place, mask = selection_ends.mask_among(parts, (node.argument("mask"),) if masked else node.argument("indices"))
    if not isinstance(data, Ref) or mask is None or data.name in parts.selected:
        return None
    whole, size = parts.specs[data.name], node.outputs[0].spec.shape[place]
    after = whole.spec.ndim - place - mask.spec.ndim
    covered = whole.spec.shape[place : place + mask.spec.ndim]
    if covered != mask.spec.shape or not isinstance(size, Sym) or (masked and after):
        return None  # sizes of 1 would be broadcast
    return Selected(whole, mask, place, after, size.text, node.origin)


def _follow(parts: Parts, node: Node, reads: list[Selected]) -> None:
    """Write what a node does with selected elements for all elements.

    Raises:
        NotWhole: it cannot be said so.
    """
    first, name = reads[0], packet(node.op)
    if any(item.before != first.before or not parts.is_same(item.mask, first.mask) for item in reads):
        raise NotWhole
    if name in ("index_put", "masked_scatter"):
        selection_ends.put_back(parts, node, first)
    elif name == "cross_entropy_loss":
        selection_ends.cross_entropy(parts, node)
    elif name in selection_ends.LOSSES:
        selection_ends.loss(parts, node, first)
    elif name in ("sum", "mean") and selection_ends.is_over_selection(node, first):
        selection_ends.reduced(parts, node, first)
    elif name in _PRODUCTS:
        _product(parts, node)
    elif node.op == "aten.squeeze.dim" and node.argument("dim") not in (0, -first.rank):
        _squeezed(parts, node, first)
    elif name in ("reshape", "view", "squeeze"):
        _without_first(parts, node, first)
    elif name in _ALONG:
        _along(parts, node, first)
    elif name in _PLAIN or name in _HARMLESS:
        _elements(parts, node, reads)
    else:
        raise NotWhole


def _elements(parts: Parts, node: Node, reads: list[Selected]) -> None:
    """An operator of elements, on all of them."""
    name, after = packet(node.op), reads[0].after
    others = [parts.specs[value] for value in node_inputs(node) if value not in parts.selected]
    if any(other.spec.ndim > after for other in others) or any(item.after != after for item in reads):
        raise NotWhole
    plain = name in _PLAIN or _is_by_number(node) or not has_gradient(node.outputs[0].spec)
    number = None if plain else _HARMLESS[name]
    if number == 0 and name not in _NOT_AT_ONE and parts.have_number(node_inputs(node), 1):
        number = 1  # so that a norm is called with one array: its square asks for 1
    harmless = not plain or all(item.harmless for item in reads)
    parts.keep(_with_all(parts, node, number), reads[0], after, harmless)


def _is_by_number(node: Node) -> bool:
    """Whether a node is a product with a number, whose derivative is that number."""
    name = packet(node.op)
    if name not in ("mul", "div"):
        return False
    other = node.argument("other")
    return isinstance(other, int | float) and (name == "mul" or other != 0)


def _along(parts: Parts, node: Node, first: Selected) -> None:
    """An operator along axes behind those of the mask, counted from the end."""
    name, dims = packet(node.op), dict(node.arguments).get("dim")
    new = name == "unsqueeze"
    listed = [dim for dim in (dims if isinstance(dims, tuple) else (dims,)) if isinstance(dim, int)]
    behind = tuple(dim - first.rank - new if dim >= 0 else dim for dim in listed)
    if not behind or min(behind) < -first.after - new:
        raise NotWhole
    out = node.outputs[0].spec
    number = None if name in _VIEWS or not has_gradient(out) else 0
    changed = _with_all(parts, node, number).with_arguments(dim=behind if isinstance(dims, tuple) else behind[0])
    parts.keep(changed, first, out.ndim - 1 - first.before, number is not None or first.harmless)


def _squeezed(parts: Parts, node: Node, first: Selected) -> None:
    """One axis behind those of the mask less; the same where its size is not 1."""
    if node.outputs[0].spec.ndim == first.rank:
        parts.selected[node.outputs[0].name] = parts.selected[references(node.argument("self"))[0]]
    else:
        _along(parts, node, first)


def _product(parts: Parts, node: Node) -> None:
    """A linear layer, or a product with a matrix, on the last axis."""
    key = _PRODUCTS[packet(node.op)]
    item = parts.selected.get("".join(references(node.argument(key))))
    if item is None or item.after < 1 or len(parts.selections_in(node_inputs(node))) > 1:
        raise NotWhole
    if key == "self":
        (matrix,) = references(node.argument("other" if packet(node.op) == "matmul" else "mat2"))
        if parts.specs[matrix].spec.ndim != 2:  # others are multiplied with one another
            raise NotWhole
        node = replace(
            node, op="aten.matmul.default", arguments=(("self", node.argument("self")), ("other", Ref(matrix)))
        )
    parts.keep(_with_all(parts, node, 0), item, item.after, True)


def _without_first(parts: Parts, node: Node, first: Selected) -> None:
    """A shape without the first axis, of size 1: ``x[None, rows].reshape(-1, width)``."""
    out = node.outputs[0].spec.shape
    if first.before != 1 or first.whole.spec.shape[0] != 1 or out != (Sym(first.symbol), *first.around[1]):
        raise NotWhole
    arguments: tuple[tuple[str, Operand], ...] = (("self", Ref(first.whole.name)), ("dim", 0), ("index", 0))
    made = Node("aten.select.int", arguments, node.outputs, origin=node.origin)
    parts.keep(made, replace(first, before=0), first.after, first.harmless)


def _with_all(parts: Parts, node: Node, number: float | None) -> Node:
    """A node on all elements, and on a number where the mask leaves them out."""
    whole: tuple[tuple[str, Operand], ...] = tuple(
        (key, parts.whole(operand, number, node.origin)) for key, operand in node.arguments
    )
    return replace(node, arguments=whole)


def _sizes(node: Node) -> set[str]:
    """Names of the symbols in shapes and arguments of a node and its bodies."""
    found = [size for value in node.outputs for size in value.spec.shape if isinstance(size, Sym)] + sizes_in(node)
    names = {name for size in found for name in re.findall(r"[A-Za-z_]\w*", size.text)}
    return names.union(*(_sizes(inner) for body in node.bodies for inner in body.nodes))
