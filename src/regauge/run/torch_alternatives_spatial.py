"""Alternatives of convolution, pooling and flattening."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch.nn.functional as F

from regauge.run.torch_alternative_registry import Named, alternative
from regauge.run.torch_calls import name_of, with_arguments


@alternative
def same_padding(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Padding as TensorFlow's SAME: as much as the output's size needs, the larger part behind."""
    x, weight = args[0], named.get("weight")
    rank = int(name_of(func)[-2]) if name_of(func)[-1:] == "d" else x.dim() - 2
    kernel = list(weight.shape[2:]) if weight is not None else _each(named["kernel_size"], rank)
    stride = _each(named.get("stride") or (1 if weight is not None else kernel), rank)
    dilation = _each(named.get("dilation") or 1, rank)
    pads: list[int] = []
    for axis in reversed(range(rank)):
        size = x.shape[2 + axis]
        reach = (kernel[axis] - 1) * dilation[axis] + 1
        total = max(0, (math.ceil(size / stride[axis]) - 1) * stride[axis] + reach - size)
        pads += [total // 2, total - total // 2]
    fill = -math.inf if "max_pool" in name_of(func) else 0.0
    rest = with_arguments(func, (F.pad(x, pads, value=fill), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


@alternative
def zero_padding(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A max pool whose padding is zero for minus infinity."""
    x = args[0]
    rank = x.dim() - 2
    pads = [side for pad in reversed(_each(named.get("padding") or 0, rank)) for side in (pad, pad)]
    rest = with_arguments(func, (F.pad(x, pads), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


@alternative
def padded(func: Any, args: Any, kwargs: Any, named: Named, *, mode: str) -> Any:
    """Padding with other values than zeros."""
    x = args[0]
    rank = x.dim() - 2
    pads = [side for pad in reversed(_each(named.get("padding") or 0, rank)) for side in (pad, pad)]
    rest = with_arguments(func, (F.pad(x, pads, mode=mode), *args[1:]), kwargs, {"padding": 0})
    return func(*rest[0], **rest[1])


def _each(value: Any, rank: int) -> list[int]:
    return list(value) if isinstance(value, Sequence) and not isinstance(value, str) else [int(value)] * rank


@alternative
def flipped_kernel(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Convolution with the kernel turned around in space."""
    weight = named["weight"]
    rest = with_arguments(func, args, kwargs, {"weight": weight.flip(tuple(range(2, weight.dim())))})
    return func(*rest[0], **rest[1])


@alternative
def padded_before(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """A transposed convolution whose output padding lies before instead of behind."""
    rank = args[0].dim() - 2
    pads, outer = _each(named.get("padding") or 0, rank), _each(named.get("output_padding") or 0, rank)
    whole = with_arguments(func, args, kwargs, {"padding": 0, "output_padding": 0})
    found = func(*whole[0], **whole[1])
    for axis, (pad, more) in enumerate(zip(pads, outer, strict=True), start=2):
        found = found.narrow(axis, pad - more, found.shape[axis] - 2 * pad + more)
    return found


@alternative
def channels_last(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Flattened with the channels last instead of first."""
    x = args[0] if args else named["input"]
    return func(x.permute(0, *range(2, x.dim()), 1).contiguous(), *args[1:], **kwargs)


@alternative
def channels_first(func: Any, args: Any, kwargs: Any, named: Named) -> Any:
    """Flattened with the channels first instead of last."""
    x = args[0] if args else named["input"]
    return func(x.permute(0, x.dim() - 1, *range(1, x.dim() - 1)).contiguous(), *args[1:], **kwargs)
