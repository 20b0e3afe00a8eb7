"""Views by strides: what they mean without memory."""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

from regauge.errors import CaptureError
from regauge.ir.graph import Origin


def require_plain(node: fx.Node, source: Any, origin: Origin) -> None:
    """Strides count elements of memory; they are indices of the flat tensor where it has its memory to itself.

    Raises:
        CaptureError: the tensor is a view, or not contiguous, so strides reach elements that it does not have.
    """
    if not str(node.target).startswith("aten.as_strided") or not isinstance(source, fx.Node):
        return
    tensor: torch.Tensor = source.meta["val"]
    if tensor.is_contiguous() and tensor.storage_offset() == 0:
        return
    raise CaptureError(
        f"{node.target} looks behind a view into its memory",
        code="C134",
        where=origin.line or origin.path,
        why="an array of JAX has no strides; those of a contiguous tensor are indices, those of a view are not",
        next="call .contiguous() first, or write the view with reshape, permute, expand or unfold",
    )
