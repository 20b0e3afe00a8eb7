"""Order: sort, top_k."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.unsigned import SIGNED, ordered, signed
from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.sorting")


@TABLE.rule("lax.sort")
def sort(operands: tuple[Tensor, ...], dimension: int, num_keys: int, is_stable: bool = True) -> tuple[Tensor, ...]:
    """sort(*operands, dimension, is_stable, num_keys)"""
    if len(operands) == 1 and not operands[0].is_complex() and operands[0].dtype not in SIGNED:
        return (operands[0].sort(dim=dimension, stable=True).values,)
    order = lexical_order(operands[:num_keys], dimension)
    return tuple(signed(x).gather(dimension, order).view(x.dtype) for x in operands)


def lexical_order(keys: tuple[Tensor, ...], dimension: int) -> Tensor:
    """The stable order by several keys, the first one first; complex ones by their real, then their imaginary part.

    Zeros of both signs are equal, and so are all NaN, which come last.
    """
    parts: list[Tensor] = []
    for key in keys:
        parts += [key.real, key.imag] if key.is_complex() else [ordered(key)]
    order = parts[-1].argsort(dim=dimension, stable=True)
    for part in reversed(parts[:-1]):
        order = order.gather(dimension, part.gather(dimension, order).argsort(dim=dimension, stable=True))
    return order


@TABLE.rule("lax.top_k")
def top_k(operand: Tensor, k: int, axis: int = -1) -> tuple[Tensor, Tensor]:
    """top_k(operand, *, k, axis)

    torch.topk leaves the order of equal elements open; JAX gives the first of them first.
    """
    order = ordered(operand).argsort(dim=axis, descending=True, stable=True).narrow(axis, 0, k)
    return signed(operand).gather(axis, order).view(operand.dtype), order.to(torch.int32)


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
def approx_top_k(
    operand: Tensor,
    k: int,
    reduction_dimension: int = -1,
    is_max_k: bool = True,
    aggregate_to_topk: bool = True,
) -> tuple[Tensor, Tensor]:
    """approx_top_k(operand, *, k, reduction_dimension, recall_target, is_max_k, reduction_input_size_override, aggregate_to_topk)

    torch computes the exact ones, which every recall allows.
    """
    order = operand.argsort(dim=reduction_dimension, descending=is_max_k, stable=True)
    order = order.narrow(reduction_dimension, 0, k)
    return operand.gather(reduction_dimension, order), order.to(torch.int32)
