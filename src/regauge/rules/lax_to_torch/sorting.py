"""Order: sort, top_k."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.unsigned import SIGNED, ordered, signed, unsigned
from regauge.rules.table import Limit, RuleTable, called

TABLE = RuleTable("lax_to_torch.sorting")


@TABLE.rule("lax.sort")
def sort(
    operands: tuple[Tensor, ...], dimension: int, num_keys: int, is_stable: bool = True
) -> Tensor | tuple[Tensor, ...]:
    """sort(*operands, dimension, is_stable, num_keys)"""
    if len(operands) == 1 and not operands[0].dtype.is_complex and operands[0].dtype not in SIGNED:
        return operands[0].sort(dim=dimension, stable=True).values
    if len(operands) == 1:
        return sorted_alone(operands[0], dimension)
    return sorted_together(operands, dimension, num_keys)


def sorted_alone(x: Tensor, dimension: int) -> Tensor:
    """Elements of a dtype that torch has no order for."""
    order = lexical_order((x,), dimension)
    return unsigned(signed(x).gather(dimension, order), x.dtype)


def sorted_together(operands: tuple[Tensor, ...], dimension: int, num_keys: int) -> tuple[Tensor, ...]:
    """Several arrays in the order of the first of them."""
    order = lexical_order(operands[:num_keys], dimension)
    return tuple(unsigned(signed(x).gather(dimension, order), x.dtype) for x in operands)


def lexical_order(keys: tuple[Tensor, ...], dimension: int) -> Tensor:
    """The stable order by several keys, the first one first; complex ones by their real, then their imaginary part.

    Zeros of both signs are equal, and so are all NaN, which come last.
    """
    parts: list[Tensor] = []
    for key in keys:
        parts += [key.real, key.imag] if key.dtype.is_complex else [ordered(key)]
    order = parts[-1].argsort(dim=dimension, stable=True)
    for part in reversed(parts[:-1]):
        order = order.gather(dimension, part.gather(dimension, order).argsort(dim=dimension, stable=True))
    return order


@TABLE.rule("lax.top_k")
@called
def top_k(operand: Tensor, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """top_k(operand, *, k, axis)

    torch.topk leaves the order of equal elements open; JAX gives the first of them first.
    """
    order = in_total_order(operand).argsort(dim=axis, descending=True, stable=True).narrow(axis, 0, k)
    return unsigned(signed(operand).gather(axis, order), operand.dtype), order.to(torch.int32)


def in_total_order(x: Tensor) -> Tensor:
    """Integers in the order of floats with their signs: -NaN, -inf, ..., -0.0, 0.0, ..., inf, NaN."""
    if not x.is_floating_point():
        return ordered(x)
    words = {2: torch.int16, 4: torch.int32, 8: torch.int64}[x.dtype.itemsize]
    bits = x.detach().view(words)
    return torch.where(bits < 0, bits ^ torch.iinfo(words).max, bits)


@TABLE.rule(
    "lax.approx_top_k",
    limits=[
        Limit(
            "candidates that are not reduced to the k largest",
            lambda a: not a["aggregate_to_topk"],
            "unsupported",
            "how many candidates there are depends on the machine that JAX runs on",
        )
    ],
)
@called
def approx_top_k(
    operand: Tensor,
    k: int,
    reduction_dimension: int = -1,
    is_max_k: bool = True,
    aggregate_to_topk: bool = True,
) -> tuple[Tensor, Tensor]:
    """approx_top_k(operand, *, k, reduction_dimension, recall_target, is_max_k, aggregate_to_topk, ...)

    torch computes the exact ones, which every recall allows.
    """
    order = operand.argsort(dim=reduction_dimension, descending=is_max_k, stable=True)
    order = order.narrow(reduction_dimension, 0, k)
    return operand.gather(reduction_dimension, order), order.to(torch.int32)


@TABLE.rule("jnp.searchsorted")
def searchsorted(sorted: Tensor, values: Tensor, side: str = "left", by_row: bool = False) -> Tensor:
    """searchsorted(sorted, values, side='left'); with `by_row` one value in each row of `sorted`.

    Both put NaN among the values behind all others. NaN among the sorted ones is in order for JAX alone.
    """
    if by_row:
        return torch.searchsorted(sorted, values[..., None], side=side, out_int32=True)[..., 0]
    return torch.searchsorted(sorted, values, side=side, out_int32=True)
