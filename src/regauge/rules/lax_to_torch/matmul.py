"""Products of arrays."""

from __future__ import annotations

import math
import string

import torch
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.matmul")

Axes = tuple[int, ...]


@TABLE.rule("lax.dot_general")
def dot_general(
    lhs: Tensor,
    rhs: Tensor,
    dimension_numbers: tuple[tuple[Axes, Axes], tuple[Axes, Axes]],
    precision: object = None,
    preferred_element_type: torch.dtype | None = None,
) -> Tensor:
    """dot_general(lhs, rhs, *, dimension_numbers, precision, preferred_element_type)"""
    if dimension_numbers == (((lhs.ndim - 1,), (0,)), ((), ())) and rhs.ndim == 2:
        return lhs @ rhs
    return torch.einsum(equation(lhs.ndim, rhs.ndim, dimension_numbers), lhs, rhs)


def equation(left: int, right: int, dimension_numbers: tuple[tuple[Axes, Axes], tuple[Axes, Axes]]) -> str:
    """The subscripts of a product: batch axes first, then the free ones of the left and of the right operand."""
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    letters = string.ascii_lowercase
    first = list(letters[:left])
    second = list(letters[left : left + right])
    for i, j in zip((*left_batch, *left_sum), (*right_batch, *right_sum), strict=True):
        second[j] = first[i]
    batch = [first[i] for i in left_batch]
    free = [first[i] for i in range(left) if i not in (*left_batch, *left_sum)]
    other = [second[j] for j in range(right) if j not in (*right_batch, *right_sum)]
    return f"{''.join(first)},{''.join(second)}->{''.join([*batch, *free, *other])}"


def size(shape: tuple[int, ...]) -> int:
    """Number of elements."""
    return math.prod(shape)
