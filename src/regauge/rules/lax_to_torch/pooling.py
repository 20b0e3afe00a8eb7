"""Sums, maxima and minima over windows."""

from __future__ import annotations

import math

import torch.nn.functional as F
from torch import Tensor

from regauge.rules.lax_to_torch.windows import window_extreme, window_sum
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.pooling")

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]


def first_of(values: Sizes) -> int | Sizes:
    """One number where all are the same."""
    return values[0] if len(set(values)) == 1 else values


def strides(window_dimensions: Sizes, window_strides: Sizes) -> int | Sizes | None:
    """The strides of a pooling over the axes between the first and the last; None where windows stand side by side."""
    return None if window_strides == window_dimensions else first_of(window_strides[1:-1])


def pools(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
) -> bool:
    """Whether torch's pooling has windows of this form: over the axes between the first and the last."""
    inner = range(1, x.ndim - 1)
    return (
        x.dtype.is_floating_point
        and x.ndim in (3, 4, 5)
        and window_dimensions[0] == window_dimensions[-1] == 1
        and window_strides[0] == window_strides[-1] == 1
        and padding[0] == padding[-1] == (0, 0)
        and all(step == 1 for step in base_dilation)
        and all(padding[axis][0] == padding[axis][1] for axis in inner)
        and all(0 <= 2 * padding[axis][0] <= window_dimensions[axis] for axis in inner)
    )


@TABLE.rule("lax.reduce_window_max")
def reduce_window_max(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """reduce_window_max(x, *, window_dimensions, window_strides, padding, base_dilation, window_dilation)"""
    if pools(x, window_dimensions, window_strides, padding, base_dilation):
        size, stride = first_of(window_dimensions[1:-1]), strides(window_dimensions, window_strides)
        pad, step = first_of(tuple(low for low, _ in padding[1:-1])), first_of(window_dilation[1:-1])
        if x.ndim == 3:
            return F.max_pool1d(x.permute(0, 2, 1), size, stride=stride, padding=pad, dilation=step).permute(0, 2, 1)
        if x.ndim == 4:
            return F.max_pool2d(x.permute(0, 3, 1, 2), size, stride=stride, padding=pad, dilation=step).permute(
                0, 2, 3, 1
            )
        return F.max_pool3d(x.permute(0, 4, 1, 2, 3), size, stride=stride, padding=pad, dilation=step).permute(
            0, 2, 3, 4, 1
        )
    return window_extreme(x, True, window_dimensions, window_strides, padding, base_dilation, window_dilation)


@TABLE.rule("lax.reduce_window_min")
def reduce_window_min(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """reduce_window_min(x, *, window_dimensions, window_strides, padding, base_dilation, window_dilation)"""
    return window_extreme(x, False, window_dimensions, window_strides, padding, base_dilation, window_dilation)


@TABLE.rule("lax.reduce_window_sum")
def reduce_window_sum(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """reduce_window_sum(x, *, window_dimensions, window_strides, padding, base_dilation, window_dilation)"""
    if pools(x, window_dimensions, window_strides, padding, base_dilation) and set(window_dilation) == {1}:
        size, stride = first_of(window_dimensions[1:-1]), strides(window_dimensions, window_strides)
        pad = first_of(tuple(low for low, _ in padding[1:-1]))
        if x.ndim == 4:
            y = F.avg_pool2d(x.permute(0, 3, 1, 2), size, stride=stride, padding=pad, divisor_override=1)
            return y.permute(0, 2, 3, 1)
        if x.ndim == 5:
            y = F.avg_pool3d(x.permute(0, 4, 1, 2, 3), size, stride=stride, padding=pad, divisor_override=1)
            return y.permute(0, 2, 3, 4, 1)
        return (
            F.avg_pool1d(x.permute(0, 2, 1), size, stride=stride, padding=pad).permute(0, 2, 1) * window_dimensions[1]  # type: ignore[arg-type]
        )
    return window_sum(x, window_dimensions, window_strides, padding, base_dilation, window_dilation)


@TABLE.rule("lax.window_mean")
def window_mean(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """The sum over a window by its size, what is padded included; `regauge.lower.lax_pooling` finds it."""
    if pools(x, window_dimensions, window_strides, padding, base_dilation) and set(window_dilation) == {1}:
        size, stride = first_of(window_dimensions[1:-1]), strides(window_dimensions, window_strides)
        pad = first_of(tuple(low for low, _ in padding[1:-1]))
        if x.ndim == 3:
            return F.avg_pool1d(x.permute(0, 2, 1), size, stride=stride, padding=pad).permute(0, 2, 1)  # type: ignore[arg-type]
        if x.ndim == 4:
            return F.avg_pool2d(x.permute(0, 3, 1, 2), size, stride=stride, padding=pad).permute(0, 2, 3, 1)
        return F.avg_pool3d(x.permute(0, 4, 1, 2, 3), size, stride=stride, padding=pad).permute(0, 2, 3, 4, 1)
    total = window_sum(x, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return total / math.prod(window_dimensions)
