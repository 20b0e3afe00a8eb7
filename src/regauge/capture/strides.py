"""Views by strides: what they mean without memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from regauge.errors import CaptureError
from regauge.ir.graph import Origin


def in_memory_order(node: fx.Node, source: Any, origin: Origin) -> fx.Node | None:
    """A node for the tensor with its axes as they lie in memory, where a view by strides of it needs one.

    Strides count elements of memory; they are indices of the flat tensor where it has its memory to itself. Of a
    transposed tensor that is the one before it was transposed. The new node stands before `node`, which reads it.

    Args:
        node: of the traced graph.
        source: what it looks at.
        origin: of the node.

    Returns:
        the new node, without a value yet; None where `node` is no view by strides, or its source contiguous.

    Raises:
        CaptureError: the tensor is a part of another one, so strides reach elements that it does not have.
    """
    if not str(node.target).startswith("aten.as_strided") or not isinstance(source, fx.Node):
        return None
    tensor: torch.Tensor = source.meta["val"]
    if tensor.is_contiguous() and tensor.storage_offset() == 0:
        return None
    order = _order(tensor)
    if order is None or "scatter" in str(node.target):
        raise CaptureError(
            f"{node.target} looks behind a view into its memory",
            code="C134",
            where=origin.line or origin.path,
            why="an array of JAX has no strides; those of a contiguous tensor are indices, those of a view are not",
            next="call .contiguous() first, or write the view with reshape, permute, expand or unfold",
        )
    with node.graph.inserting_before(node):
        ordered = node.graph.call_function(torch.ops.aten.permute.default, (source, order))
    ordered.meta = {**node.meta, "val": tensor.permute(order)}
    node.replace_input_with(source, ordered)
    return ordered


def _order(tensor: torch.Tensor) -> list[int] | None:
    """The axes of a tensor by their strides, the longest first; None where they leave memory out or share it."""
    steps = [int(step.node.hint) if isinstance(step, torch.SymInt) else step for step in tensor.stride()]
    order = sorted(range(tensor.ndim), key=lambda axis: (-steps[axis], axis))
    offset = tensor.storage_offset()
    return order if offset == 0 and tensor.permute(order).is_contiguous() else None
