"""Windows of any form: reductions over them, and what JAX's gradients of max-pooling are made of."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.joining import padded
from regauge.rules.lax_to_torch.sorting import lexical_order
from regauge.rules.lax_to_torch.unsigned import from_ordered, ordered, signed, unsigned
from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.windows")

Sizes = tuple[int, ...]
Pads = tuple[tuple[int, int], ...]
Number = bool | int | float | complex


def in_windows(
    x: Tensor,
    outside: Number,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """The elements of every window along a new last axis; `outside` stands around and between the elements of `x`."""
    steps = tuple((low, high, step - 1) for (low, high), step in zip(padding, base_dilation, strict=True))
    if any(step != (0, 0, 0) for step in steps):
        x = padded(x, outside, steps)
    rank = x.ndim
    for axis, (size, stride, step) in enumerate(zip(window_dimensions, window_strides, window_dilation, strict=True)):
        span = (size - 1) * step + 1
        if x.shape[axis] < span:
            x = x.narrow(axis, 0, 0).unsqueeze(-1).expand(*x.narrow(axis, 0, 0).shape, size)
        else:
            x = x.unfold(axis, span, stride)[..., ::step]
    return x.flatten(rank)


def lowest(dtype: torch.dtype) -> Number:
    """The number that no element of this dtype is below."""
    if dtype.is_floating_point or dtype.is_complex:
        return -math.inf
    return False if dtype is torch.bool else torch.iinfo(dtype).min


def highest(dtype: torch.dtype) -> Number:
    """The number that no element of this dtype is above."""
    if dtype.is_floating_point or dtype.is_complex:
        return math.inf
    return True if dtype is torch.bool else torch.iinfo(dtype).max


def window_sum(
    x: Tensor,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """The sum of every window."""
    found = in_windows(signed(x), 0, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return unsigned(found.sum(-1, dtype=found.dtype), x.dtype)


def window_extreme(
    x: Tensor,
    largest: bool,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """The largest or least element of every window; of equal ones the first has the gradient."""
    values = ordered(x)
    outside = lowest(values.dtype) if largest else highest(values.dtype)
    found = in_windows(values, outside, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    if found.is_complex():
        order = lexical_order((found,), -1)
        return found.gather(-1, order[..., -1:] if largest else order[..., :1]).squeeze(-1)
    best = found.max(-1).values if largest else found.min(-1).values
    return from_ordered(best, x.dtype)


@TABLE.rule(
    "lax.reduce_window",
    limits=[
        Limit(
            "a reducer of one's own over large windows",
            lambda a: not a.get("computation"),
            "unsupported",
            "torch has no windows with a function of one's own; up to 256 elements are written out one by one",
        )
    ],
)
def reduce_window(
    operands: tuple[Tensor, Tensor | Number],
    computation: str,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """reduce_window(*operands, jaxpr, window_dimensions, window_strides, padding, base_dilation, window_dilation)"""
    x, start = operands
    first = start if isinstance(start, Tensor) else x.new_full((), start)
    form = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    if computation == "add":
        return unsigned(signed(window_sum(x, *form)) + signed(first), x.dtype)
    if computation == "mul":
        found = in_windows(signed(x), 1, *form)
        return unsigned(found.prod(-1, dtype=found.dtype) * signed(first), x.dtype)
    if computation in ("max", "min"):
        best = window_extreme(x, computation == "max", *form)
        if x.is_complex():
            both = torch.stack(torch.broadcast_tensors(best, first), -1)
            order = lexical_order((both,), -1)
            return both.gather(-1, order[..., -1:] if computation == "max" else order[..., :1]).squeeze(-1)
        choose = torch.maximum if computation == "max" else torch.minimum
        return from_ordered(choose(ordered(best), ordered(first)), x.dtype)
    neutral = -1 if computation == "and" else 0
    found = in_windows(signed(x), bool(neutral) if x.dtype is torch.bool else neutral, *form)
    total = signed(first).expand(found.shape[:-1])
    for at in range(found.shape[-1]):
        one = found[..., at]
        total = total & one if computation == "and" else total | one if computation == "or" else total ^ one
    return unsigned(total, x.dtype)


def chosen_in_windows(
    x: Tensor,
    select_prim: str,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """The place of the first largest (ge) or least (le) element in every window, with a last axis of size 1."""
    values = ordered(x)
    outside = lowest(values.dtype) if select_prim == "ge" else highest(values.dtype)
    found = in_windows(values, outside, window_dimensions, window_strides, padding, base_dilation, window_dilation)
    found = found.to(torch.int8) if found.dtype is torch.bool else found
    return found.argmax(-1, keepdim=True) if select_prim == "ge" else found.argmin(-1, keepdim=True)


@TABLE.rule("lax.select_and_scatter_add")
def select_and_scatter_add(
    source: Tensor,
    operand: Tensor,
    select_prim: str,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
) -> Tensor:
    """select_and_scatter_add(source, operand, *, select_prim, window_dimensions, window_strides, padding)"""
    ones = (1,) * operand.ndim
    form = (window_dimensions, window_strides, padding, ones, ones)
    at = chosen_in_windows(operand, select_prim, *form)
    places = torch.arange(operand.numel(), device=operand.device).reshape(operand.shape)
    places = in_windows(places, operand.numel(), *form).gather(-1, at).reshape(-1)
    values = signed(source).reshape(-1)
    sums = values.new_zeros(operand.numel() + 1).scatter_add(0, places, values)
    return unsigned(sums[:-1].reshape(operand.shape), operand.dtype)


@TABLE.rule("lax.select_and_gather_add")
def select_and_gather_add(
    tangents: Tensor,
    operand: Tensor,
    select_prim: str,
    window_dimensions: Sizes,
    window_strides: Sizes,
    padding: Pads,
    base_dilation: Sizes,
    window_dilation: Sizes,
) -> Tensor:
    """select_and_gather_add(tangents, operand, *, select_prim, window_dimensions, window_strides, padding, ...)"""
    form = (window_dimensions, window_strides, padding, base_dilation, window_dilation)
    return in_windows(tangents, 0, *form).gather(-1, chosen_in_windows(operand, select_prim, *form)).squeeze(-1)
