"""What channels-last order means for operators with axes of their own, and for arrays with one number a channel."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regauge.ir.graph import Node, Operand, Ref, Sym, TensorSpec
from regauge.lower.channel_operators import ELEMENTWISE, IMAGE_OPS

# Operators of one array along one axis, which keep all axes.
_ALONG_ONE = frozenset(
    {
        "aten.slice.Tensor",
        "aten.narrow.default",
        "aten.glu.default",
        "aten.softmax.int",
        "aten.log_softmax.int",
        "aten.chunk.default",
        "aten.split.Tensor",
        "aten.split_with_sizes.default",
    }
)
_CONCATENATION = "aten.cat.default"
_PADS = frozenset({"aten.pad.default", "aten.constant_pad_nd.default"})
# Operators that only give an array other axes of one element, or none of them.
_RESHAPES = frozenset({"aten.unsqueeze.default", "aten.view.default", "aten.reshape.default"})
_SQUEEZES = frozenset({"aten.squeeze.dim", "aten.squeeze.dims", "aten.squeeze.default"})


def along_axes(node: Node, rank: int, to_last: tuple[int, ...]) -> Node | None:
    """The operator for its input in channels-last order, or None where it is none of those that can follow.

    Args:
        node: that reads an image of this rank first.
        rank: of the image.
        to_last: axes that bring the image to channels-last order.
    """
    if any(value.spec.ndim != rank for value in node.outputs):
        return None
    if node.op in _ALONG_ONE:
        dim = node.argument("dim")
        return node.with_arguments(dim=to_last.index(dim % rank)) if isinstance(dim, int) else None
    if node.op in _PADS:
        pad = node.argument("pad")  # last axis first
        if isinstance(pad, tuple) and len(pad) <= 2 * (rank - 2):
            return node.with_arguments(pad=(0, 0, *pad))
    return None


def takes_twins(node: Node) -> bool:
    """Whether an operator of images along axes can take its input in channels-last order."""
    return node.op in _ALONG_ONE or node.op in _PADS


def begins_image(name: str, readers: Mapping[str, Sequence[Node]]) -> bool:
    """Whether all that is done with an input leads to convolutions, some of it by paddings, slices or concatenations.

    Transposed where it comes in, it is the same for all of them; an operator by element leaves that to its own reader.
    """
    direct = readers.get(name, ())
    moves = any(takes_twins(node) or node.op == _CONCATENATION for node in direct)
    return moves and bool(_leads_to_images(name, readers))


def _leads_to_images(name: str, readers: Mapping[str, Sequence[Node]], depth: int = 5) -> bool | None:
    """Whether a convolution is among what a value leads to; None where something needs it in its own order."""
    found = False
    for node in readers.get(name, ()):
        if node.op in IMAGE_OPS and IMAGE_OPS[node.op] and node.arguments[0][1] == Ref(name):
            found = True
            continue
        follows = takes_twins(node) or node.op == _CONCATENATION or node.op in ELEMENTWISE
        inner = _leads_to_images(node.outputs[0].name, readers, depth - 1) if follows and depth else None
        if inner is None or len(node.outputs) != 1:
            return None
        found = found or inner
    return found


def is_one_pixel(node: Node, spec: TensorSpec) -> bool:
    """Whether an operator gives an image of one pixel another shape, in which the order of axes changes nothing."""
    return node.op in _RESHAPES | _SQUEEZES and all(size == 1 for size in spec.shape[2:])


def by_channel(name: str, rank: int, specs: Mapping[str, TensorSpec], makers: Mapping[str, Node]) -> str | None:
    """The array of which `name` is a view that broadcasts against images: [channels], or [batch, channels] of gates.

    It is `name` itself where an array of [channels, 1, ...] is no such view.

    Args:
        name: of an array, [channels, 1, ...] or [1, channels, 1, ...] or [batch, channels, 1, ...].
        rank: of the images that it is combined with.
        specs: of all values.
        makers: the operators of all values.
    """
    wanted = _channels(specs[name].shape, rank)
    if wanted is None:
        return None
    first = name
    while (maker := makers.get(name)) is not None and maker.op in _RESHAPES:
        operand: Operand = maker.argument("self")
        if not isinstance(operand, Ref):
            break
        name = operand.name
        if specs[name].shape == wanted:
            return name
    return first if len(wanted) == 1 else None


def _channels(shape: tuple[int | Sym, ...], rank: int) -> tuple[int | Sym, ...] | None:
    """The shape without its axes of one pixel, and without a batch of one."""
    if len(shape) not in (rank - 1, rank) or any(size != 1 for size in shape[2 - rank :]) or set(shape) == {1}:
        return None
    leading = shape[: 2 - rank]
    return leading[1:] if len(leading) == 2 and leading[0] == 1 else leading
