"""Cumulative operations along an axis."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.elementwise import complex_maximum
from regauge.rules.lax_to_torch.unsigned import SIGNED, from_ordered, ordered, signed
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.cumulative")


@TABLE.rule("lax.cumsum")
def cumsum(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """cumsum(x, *, axis, reverse)"""
    if x.dtype in SIGNED:
        return integer_cumsum(x, axis, reverse)
    if reverse:
        return x.flip(axis).cumsum(axis, dtype=x.dtype).flip(axis)
    return x.cumsum(axis) if x.dtype.is_floating_point or x.dtype.is_complex else x.cumsum(axis, dtype=x.dtype)


def integer_cumsum(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Cumulative sums of unsigned integers."""
    words = signed(x).flip(axis) if reverse else signed(x)
    sums = words.cumsum(axis, dtype=words.dtype)
    return (sums.flip(axis) if reverse else sums).view(x.dtype)


@TABLE.rule("lax.cumprod")
def cumprod(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """cumprod(x, *, axis, reverse)"""
    if x.dtype in SIGNED:
        return integer_cumprod(x, axis, reverse)
    if reverse:
        return x.flip(axis).cumprod(axis, dtype=x.dtype).flip(axis)
    return x.cumprod(axis) if x.dtype.is_floating_point or x.dtype.is_complex else x.cumprod(axis, dtype=x.dtype)


def integer_cumprod(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Cumulative products of unsigned integers."""
    words = signed(x).flip(axis) if reverse else signed(x)
    products = words.cumprod(axis, dtype=words.dtype)
    return (products.flip(axis) if reverse else products).view(x.dtype)


@TABLE.rule("lax.cumlogsumexp")
def cumlogsumexp(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """cumlogsumexp(x, *, axis, reverse)"""
    return x.flip(axis).logcumsumexp(axis).flip(axis) if reverse else x.logcumsumexp(axis)


@TABLE.rule("lax.cummax")
def cummax(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """cummax(x, *, axis, reverse)"""
    if x.dtype.is_floating_point or x.dtype.is_complex:
        return running_max(x, axis, reverse)
    if x.dtype in SIGNED:
        return from_ordered(cummax(ordered(x), axis, reverse), x.dtype)
    return x.flip(axis).cummax(axis).values.flip(axis) if reverse else x.cummax(axis).values


@TABLE.rule("lax.cummin")
def cummin(x: Tensor, axis: int, reverse: bool = False) -> Tensor:
    """cummin(x, *, axis, reverse)"""
    if x.dtype.is_floating_point or x.dtype.is_complex:
        return -running_max(-x, axis, reverse)
    if x.dtype in SIGNED:
        return from_ordered(cummin(ordered(x), axis, reverse), x.dtype)
    return x.flip(axis).cummin(axis).values.flip(axis) if reverse else x.cummin(axis).values


def running_max(x: Tensor, axis: int, reverse: bool) -> Tensor:
    """Cumulative maxima; equal elements share the derivative as in a parallel prefix scan."""
    rows = x.movedim(axis, 0)
    result = prefix_max(rows.flip(0) if reverse else rows)
    return (result.flip(0) if reverse else result).movedim(0, axis)


def prefix_max(rows: Tensor) -> Tensor:
    """Maxima of all that stands before and at each place of the first axis: of pairs, then between them."""
    count = rows.shape[0]
    if count < 2:
        return rows
    larger = complex_maximum if rows.dtype.is_complex else torch.maximum
    odd = prefix_max(larger(rows[: count - 1 : 2], rows[1::2]))
    even = torch.cat([rows[:1], larger(odd[: (count - 1) // 2], rows[2::2])])
    joined = torch.stack([even[: count // 2], odd], 1).flatten(0, 1)
    return torch.cat([joined, even[count // 2 :]])
