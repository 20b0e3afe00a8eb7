"""`torch.autocast` regions: the casts that torch makes inside, written out.

Which operators cast is asked of torch itself: those with a kernel for autocast. To which dtype, the traced result says:
an operator whose result is of the low precision has all its operands cast to it, and one whose result is float32
computes in float32. Operators without such a kernel compute in what they are given.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, fx

from regauge.capture import spelling
from regauge.capture.arguments import written
from regauge.capture.memory import View, whole
from regauge.capture.sizes import dtype_name
from regauge.errors import CaptureError
from regauge.ir.graph import Origin, TensorSpec

if TYPE_CHECKING:
    from regauge.capture.functionalise import Functionaliser

_CAST = (torch.float16, torch.bfloat16, torch.float32)  # autocast leaves float64 as it is
# Made of products of matrices, which cast inside: the same as to cast before.
_OF_PRODUCTS = frozenset(f"aten.{name}.default" for name in ("einsum", "inner", "tensordot", "linalg_multi_dot"))
# Take weights of another dtype than the input, whose dtype the result has.
_MIXED = frozenset(f"aten.{name}.default" for name in ("layer_norm", "batch_norm", "instance_norm", "group_norm"))
_RECURRENT = ("aten.lstm.", "aten.gru.", "aten.rnn_", "regauge.lstm_", "regauge.gru_", "regauge.rnn_")


@dataclass(frozen=True)
class Autocast:
    """An autocast region: its dtype, and the kind of device whose operators it changes."""

    dtype: torch.dtype
    device: str


@lru_cache(maxsize=4096)
def _casts(op: Any, device: str) -> bool:
    """Whether autocast has a kernel for an operator."""
    key = f"Autocast{device.upper()}"
    return bool(torch._C._dispatch_has_kernel_for_dispatch_key(op.name(), key))


@contextmanager
def operands_cast(walk: Functionaliser, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> Iterator[None]:
    """Within the block the operands of an operator are what autocast makes of them.

    Raises:
        CaptureError: the operator casts inside, in a way that nothing says.
    """
    region = walk.autocast
    target = None if region is None or written(node.target) else _target(region, node, raw, origin)
    before: dict[fx.Node, Any] = {}
    try:
        for item in _nodes(raw.values()):
            if target is None:
                break
            view = walk.env[item]
            if isinstance(view, View) and item.meta["val"].dtype in _CAST and view.spec.dtype != dtype_name(target):
                spec = TensorSpec(view.spec.shape, dtype_name(target))
                before[item] = view
                walk.env[item] = whole(spelling.to(walk.emit, walk.value_of(view), spec, node.name, origin), spec)
        yield
    finally:
        walk.env.update(before)


def _target(region: Autocast, node: fx.Node, raw: Mapping[str, Any], origin: Origin) -> torch.dtype | None:
    """The dtype in which an operator computes, or None where it takes what it is given."""
    given = [item.meta["val"] for item in _nodes(raw.values())]
    if not any(tensor.dtype in _CAST and tensor.device.type == region.device for tensor in given):
        return None
    name = str(node.target)
    if name.startswith(_RECURRENT):
        raise _refused(name, origin)
    val = node.meta["val"]
    results = [item for item in ([val] if isinstance(val, Tensor) else val) if isinstance(item, Tensor)]
    result = next((item.dtype for item in results if item.is_floating_point()), None)
    if result not in _CAST:
        return None
    if name in _OF_PRODUCTS or _casts(node.target, region.device):
        return result
    if result == region.dtype and name not in _MIXED and any(tensor.dtype == torch.float32 for tensor in given):
        if name in spelling.CASTS or len({tensor.dtype for tensor in given}) > 1:
            return None
        raise _refused(name, origin)
    return None


def _refused(name: str, origin: Origin) -> CaptureError:
    return CaptureError(
        f"{name} runs inside torch.autocast",
        code="C132",
        where=origin.line or origin.path,
        why="it is made of operators that are cast one by one, and its result does not say which",
        next="put it under torch.autocast(enabled=False) with casts of your own, or cast the layer: layer.to(dtype)",
    )


def _nodes(values: Any) -> Iterator[fx.Node]:
    """The tensors among arguments, those in lists included, each once."""
    seen: set[fx.Node] = set()
    pending = list(values)
    while pending:
        item = pending.pop(0)
        if isinstance(item, list | tuple):
            pending[:0] = item
        elif isinstance(item, fx.Node) and isinstance(item.meta.get("val"), Tensor) and item not in seen:
            seen.add(item)
            yield item
