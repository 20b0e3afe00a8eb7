"""Alternatives of attention, and of how its heads are split and joined."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from regauge.run.torch_alternative_registry import Named, alternative
from regauge.run.torch_calls import with_arguments


@alternative
def split_in_order(func: Any, args: Any, kwargs: Any, named: Named, *, first: int, order: Sequence[int]) -> Any:
    """An axis split into parts that lie in another order in memory: ``(d, h)`` for ``(h, d)``.

    Args:
        func: that splits the axis.
        args: of the call.
        kwargs: of the call.
        named: of the call.
        first: the first axis of the result that comes from the split.
        order: of the parts in memory; the result has them where they were.
    """
    usual = func(*args, **kwargs)
    shape, rest = list(usual.shape), first + len(order)
    moved = [*range(first), *(first + part for part in order), *range(rest, usual.dim())]
    found = usual.contiguous().reshape([shape[axis] for axis in moved])
    return found.permute([moved.index(axis) for axis in range(usual.dim())])


@alternative
def transposed_merge(func: Any, args: Any, kwargs: Any, named: Named, *, axis: int) -> Any:
    """Two axes exchanged before they are merged."""
    x = args[0] if args else named["input"]
    return x.transpose(axis, axis + 1).reshape(func(*args, **kwargs).shape)


@alternative
def attention(
    func: Any,
    args: Any,
    kwargs: Any,
    named: Named,
    *,
    offset: int = 0,
    fill: float | None = None,
    scale: float | None = None,
    causal: bool | None = None,
    empty: str = "zero",
    axis: int = -1,
) -> Any:
    """Attention by its formula, with another mask, scale or softmax.

    Args:
        func: scaled_dot_product_attention.
        args: of the call.
        kwargs: of the call.
        named: of the call.
        offset: of the causal mask's diagonal.
        fill: what stands for minus infinity.
        scale: in place of 1 / sqrt(d).
        causal: in place of the call's own.
        empty: what a row without any key gives: "zero", or "mean" of the values, or "nan".
        axis: of the softmax; -1 is that of the keys.
    """
    query, key, value = (named[name] for name in ("query", "key", "value"))
    mask, is_causal = named.get("attn_mask"), named.get("is_causal", False) if causal is None else causal
    factor = scale if scale is not None else named.get("scale") or query.shape[-1] ** -0.5
    scores = query @ key.transpose(-1, -2) * factor
    low = -math.inf if fill is None else fill
    if is_causal:
        kept = torch.ones(scores.shape[-2:], dtype=torch.bool).tril(offset)
        scores = scores.masked_fill(~kept, low)
    if mask is not None:
        scores = scores.masked_fill(~mask, low) if mask.dtype is torch.bool else scores + mask
    weights = torch.softmax(scores, axis)
    gone = torch.isneginf(scores).all(axis, keepdim=True)
    if empty != "nan":
        other = 0.0 if empty == "zero" else 1.0 / scores.shape[axis]
        weights = torch.where(gone, torch.full_like(weights, other), weights)
    return weights @ value


@alternative
def exchanged_roles(func: Any, args: Any, kwargs: Any, named: Named, *, order: Sequence[int]) -> Any:
    """Attention with query, key and value in each other's place."""
    given = [named[name] for name in ("query", "key", "value")]
    changes = dict(zip(("query", "key", "value"), (given[i] for i in order), strict=True))
    rest = with_arguments(func, args, kwargs, changes)
    return func(*rest[0], **rest[1])
