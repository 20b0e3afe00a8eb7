"""Concatenation as torch means it: empty tensors of one axis are left out whatever the shapes of the others are."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from torch import Tensor, fx

from regauge.capture.memory import whole
from regauge.ir.graph import Origin

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser


def _joined(walk: Functionaliser, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> None:
    """Without the empty tensors that code begins with, as a cache before its first call, if no dtype comes of them."""
    joined = node.meta["val"]
    tensors = [tensor for tensor in raw["tensors"] if not _is_empty(tensor.meta["val"])]
    alike = [tensor for tensor in tensors if tensor.meta["val"].dtype == joined.dtype]
    if len(tensors) == len(raw["tensors"]) or not alike:
        walk.plain(node, str(node.target), raw, origin)
    elif len(tensors) == 1:
        walk.env[node] = whole(walk.value_of(walk.env[tensors[0]]), walk.sizes.spec(joined))
    else:
        walk.plain(node, str(node.target), {**raw, "tensors": tensors}, origin)


def _is_empty(tensor: Tensor) -> bool:
    """Whether it has one axis of the size 0; a size that depends on values cannot be asked, and is none."""
    return tensor.ndim == 1 and type(tensor.shape[0]) is int and tensor.shape[0] == 0


OPERATORS: dict[str, Callable[[Functionaliser, fx.Node, Mapping[str, Any], Origin], None]] = {
    f"aten.{name}.default": _joined for name in ("cat", "concat", "concatenate")
}
