"""Reductions over axes."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.bits import bitwise_and, bitwise_or, bitwise_xor
from regauge.rules.lax_to_torch.elementwise import add, complex_maximum, maximum, minimum, mul
from regauge.rules.lax_to_torch.operands import Operand
from regauge.rules.lax_to_torch.unsigned import SIGNED, from_ordered, ordered, signed
from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.reductions")

Axes = tuple[int, ...]


def counted(axes: Axes, ndim: int) -> Any:
    """Axes as a person writes them: None for all, one as a number, the last one as -1."""
    if len(axes) == ndim:
        return None
    found = tuple(axis - ndim if axis == ndim - 1 else axis for axis in sorted(axes))
    return found[0] if len(found) == 1 else found


@TABLE.rule("lax.reduce_sum")
def reduce_sum(x: Tensor, axes: Axes) -> Tensor:
    """reduce_sum(x, *, axes)"""
    if not axes:
        return x
    if x.dtype in SIGNED:
        return x.view(SIGNED[x.dtype]).sum(axes, dtype=SIGNED[x.dtype]).view(x.dtype)
    if not x.dtype.is_floating_point and not x.dtype.is_complex:
        return x.sum(counted(axes, x.ndim), dtype=x.dtype)
    return x.sum(counted(axes, x.ndim))


@TABLE.rule("lax.reduce_prod")
def reduce_prod(x: Tensor, axes: Axes) -> Tensor:
    """reduce_prod(x, *, axes)"""
    if not axes:
        return x
    if x.dtype not in SIGNED and (x.dtype.is_floating_point or x.dtype.is_complex):
        if len(axes) == x.ndim:
            return x.prod()
        if len(axes) == 1:
            return x.prod(counted(axes, x.ndim))
    return product(x, axes)


def product(x: Tensor, axes: Axes) -> Tensor:
    """Products over several axes, or of integers modulo a power of two."""
    result = signed(x)
    for axis in sorted(axes, reverse=True):
        result = result.prod(axis, dtype=result.dtype)
    return result.view(x.dtype)


def is_empty(x: Tensor, axes: Axes) -> bool:
    """Whether there is nothing along one of the axes."""
    return any(isinstance(x.shape[axis], int) and x.shape[axis] == 0 for axis in axes)


@TABLE.rule("lax.reduce_max")
def reduce_max(x: Tensor, axes: Axes) -> Tensor:
    """reduce_max(x, *, axes): equal elements share the derivative"""
    if not axes:
        return x
    if x.dtype is torch.bool:
        return x.any(counted(axes, x.ndim))
    if is_empty(x, axes):
        return extreme_of_none(x, axes, -math.inf)
    if x.dtype.is_complex:
        return complex_max(x, axes)
    if x.dtype in SIGNED:
        return from_ordered(ordered(x).amax(axes), x.dtype)
    return x.amax(counted(axes, x.ndim))


@TABLE.rule("lax.reduce_min")
def reduce_min(x: Tensor, axes: Axes) -> Tensor:
    """reduce_min(x, *, axes): equal elements share the derivative"""
    if not axes:
        return x
    if x.dtype is torch.bool:
        return x.all(counted(axes, x.ndim))
    if is_empty(x, axes):
        return extreme_of_none(x, axes, math.inf)
    if x.dtype.is_complex:
        return -complex_max(-x, axes)
    if x.dtype in SIGNED:
        return from_ordered(ordered(x).amin(axes), x.dtype)
    return x.amin(counted(axes, x.ndim))


def extreme_of_none(x: Tensor, axes: Axes, infinite: float) -> Tensor:
    """The maximum or minimum of nothing: an infinity, or an end of an integer dtype."""
    shape = [size for axis, size in enumerate(x.shape) if axis not in axes]
    if x.dtype.is_floating_point or x.dtype.is_complex:
        return x.new_full(shape, infinite)
    info = torch.iinfo(x.dtype)
    return torch.full(shape, info.min if infinite < 0 else info.max, dtype=torch.int64, device=x.device).to(x.dtype)


def complex_max(x: Tensor, axes: Axes) -> Tensor:
    """The maxima of complex numbers, by halves: `complex_maximum` of pairs."""
    kept = [axis for axis in range(x.ndim) if axis not in axes]
    rows = x.permute(*kept, *axes).flatten(len(kept))
    while rows.shape[-1] > 1:
        half = rows.shape[-1] // 2
        paired = complex_maximum(rows[..., :half], rows[..., half : 2 * half])
        rows = torch.cat([paired, rows[..., 2 * half :]], -1)
    return rows.squeeze(-1)


@TABLE.rule("lax.reduce_or")
def reduce_or(x: Tensor, axes: Axes) -> Tensor:
    """reduce_or(x, *, axes)"""
    if x.dtype is torch.bool:
        return x.any(counted(axes, x.ndim)) if axes else x
    return from_bits(bits_of(x).any(tuple(axes)), x.dtype) if axes else x


@TABLE.rule("lax.reduce_and")
def reduce_and(x: Tensor, axes: Axes) -> Tensor:
    """reduce_and(x, *, axes)"""
    if x.dtype is torch.bool:
        return x.all(counted(axes, x.ndim)) if axes else x
    return from_bits(bits_of(x).all(tuple(axes)), x.dtype) if axes else x


@TABLE.rule("lax.reduce_xor")
def reduce_xor(x: Tensor, axes: Axes) -> Tensor:
    """reduce_xor(x, *, axes)"""
    if x.dtype is torch.bool:
        return x.sum(axes) % 2 == 1 if axes else x
    return from_bits(bits_of(x).sum(tuple(axes)) % 2 == 1, x.dtype) if axes else x


def bits_of(x: Tensor) -> Tensor:
    """The bits of integers as booleans, along a new last axis."""
    places = torch.arange(x.dtype.itemsize * 8, device=x.device)
    return (signed(x).to(torch.int64).unsqueeze(-1) >> places & 1) == 1


def from_bits(bits: Tensor, dtype: torch.dtype) -> Tensor:
    """Integers from their bits along the last axis."""
    places = torch.arange(bits.shape[-1], device=bits.device)
    return (bits.to(torch.int64) << places).sum(-1).to(dtype)


@TABLE.rule("lax.argmax")
def argmax(x: Tensor, axes: Axes, index_dtype: torch.dtype) -> Tensor:
    """argmax(x, *, axes, index_dtype): the first of equal elements; NaN is the largest"""
    values = ordered(x) if x.dtype is not torch.bool else x.view(torch.uint8)
    return values.argmax(counted(axes, x.ndim)).to(index_dtype)


@TABLE.rule("lax.argmin")
def argmin(x: Tensor, axes: Axes, index_dtype: torch.dtype) -> Tensor:
    """argmin(x, *, axes, index_dtype): the first of equal elements; NaN is the smallest"""
    values = ordered(x) if x.dtype is not torch.bool else x.view(torch.uint8)
    return values.argmin(counted(axes, x.ndim)).to(index_dtype)


@TABLE.rule(
    "lax.reduce",
    limits=[
        Limit(
            when="a computation that is more than one sum, product, extremum or logical operator an operand",
            applies=lambda arguments: not arguments.get("computations"),
            effect="unsupported",
            reason="torch reduces with the operators it has, not with a function of two elements",
        )
    ],
)
def reduce(
    operands: tuple[Operand, ...], dimensions: Axes, computations: tuple[str, ...]
) -> Tensor | tuple[Tensor, ...]:
    """reduce(*operands, *init_values, *, computations, dimensions): each operand with a computation of its own"""
    if len(computations) == 1:
        return reduced(computations[0], operands[0], operands[1], dimensions)
    return all_reduced(operands, dimensions, computations)


def all_reduced(operands: tuple[Operand, ...], dimensions: Axes, computations: tuple[str, ...]) -> tuple[Tensor, ...]:
    """Several operands, each reduced by its own computation from its own first value."""
    count = len(computations)
    triples = zip(computations, operands[:count], operands[count:], strict=True)
    return tuple(reduced(kind, x, first, dimensions) for kind, x, first in triples)


def reduced(kind: str, x: Tensor, first: Operand, axes: Axes) -> Tensor:
    """The elements along axes and a first value, put together by a primitive."""
    if kind == "add":
        return add(reduce_sum(x, axes), first)
    if kind == "mul":
        return mul(reduce_prod(x, axes), first)
    if kind == "max":
        return maximum(reduce_max(x, axes), first)
    if kind == "min":
        return minimum(reduce_min(x, axes), first)
    if kind == "and":
        return bitwise_and(reduce_and(x, axes), first)
    if kind == "or":
        return bitwise_or(reduce_or(x, axes), first)
    return bitwise_xor(reduce_xor(x, axes), first)
