"""Products of arrays."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.unsigned import SIGNED
from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.matmul")

Number = bool | int | float | complex
Axes = tuple[int, ...]
Dimensions = tuple[tuple[Axes, Axes], tuple[Axes, Axes]]

# The dtype of a product of two dtypes is the later one in this order.
ORDER = (
    torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32, torch.uint64,
    torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.complex64, torch.complex128,
)  # fmt: skip


@TABLE.rule("lax.dot_general")
def dot_general(
    lhs: Tensor | Number,
    rhs: Tensor | Number,
    dimension_numbers: Dimensions,
    precision: object = None,
    preferred_element_type: torch.dtype | None = None,
    permutation: Axes | None = None,
) -> Tensor:
    """dot_general(lhs, rhs, *, dimension_numbers, precision, preferred_element_type), its axes permuted"""
    if not isinstance(lhs, Tensor) or not isinstance(rhs, Tensor):
        return lhs * rhs  # type: ignore[return-value]
    left, right = lhs.ndim, rhs.ndim
    dtype = product_dtype(lhs.dtype, rhs.dtype)
    result = preferred_element_type if preferred_element_type is not None else dtype
    inside = computed_in(dtype, result)
    if inside in SIGNED or inside == torch.bool:
        return product_of_words(lhs, rhs, equation=equation(left, right, dimension_numbers, permutation), dtype=result)
    x = lhs if lhs.dtype == inside else lhs.to(rhs.dtype) if rhs.dtype == inside else lhs.to(preferred_element_type)
    y = rhs if rhs.dtype == inside else rhs.to(lhs.dtype) if lhs.dtype == inside else rhs.to(preferred_element_type)
    form = matrices(left, right, dimension_numbers) if permutation is None else ""
    if form == "x @ y":
        product = x @ y
    elif form == "x @ y.T":
        product = x @ y.T
    elif form == "x.T @ y":
        product = x.T @ y
    elif form == "x.T @ y.T":
        product = x.T @ y.T
    elif form == "x @ y.mT":
        product = x @ y.mT
    elif form == "x.mT @ y":
        product = x.mT @ y
    elif form == "x.mT @ y.mT":
        product = x.mT @ y.mT
    elif form == "x * y":
        product = x * y
    else:
        product = torch.einsum(equation(left, right, dimension_numbers, permutation), x, y)
    return product if inside == result else product.to(preferred_element_type)


def product_dtype(left: torch.dtype, right: torch.dtype) -> torch.dtype:
    """The dtype of a product where none is preferred: the wider kind, then the wider range, then the more exact."""
    return max(left, right, key=ORDER.index)


def computed_in(dtype: torch.dtype, result: torch.dtype) -> torch.dtype:
    """The dtype to multiply in: that of the result, where it is the wider one."""
    return max(dtype, result, key=ORDER.index)


def matrices(left: int, right: int, dimension_numbers: Dimensions) -> str:
    """The product with `@` or `*` that has these dimension numbers, or ""; left and right are the ranks."""
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    batch = len(left_batch)
    leading = tuple(range(batch))
    if tuple(left_batch) != leading or tuple(right_batch) != leading:
        return ""
    if not left_sum and (left == batch or right == batch) and (left == right or not batch):
        return "x * y"
    if len(left_sum) != 1:
        return ""
    i, j = left_sum[0] - batch, right_sum[0] - batch
    left, right = left - batch, right - batch
    if not batch and right <= 2 and i == left - 1 and j == 0:
        return "x @ y"  # any number of rows in front, a vector or a matrix
    if left == 1 and right == 2 and not batch:
        return "x @ y.T"
    if (left, right) not in ((2, 2), (2, 1)) and not (not batch and left > 2 and right == 2 and i == left - 1):
        return ""
    if right == 1 and batch:
        return ""
    flip = "mT" if batch else "T"
    first = "x" if i == left - 1 else f"x.{flip}"
    second = "y" if j == 0 else f"y.{flip}"
    return f"{first} @ {second}"


def equation(left: int, right: int, dimension_numbers: Dimensions, permutation: Axes | None = None) -> str:
    """The subscripts of a product: batch axes first, then the free ones of the left and of the right operand; of these
    the result takes each in the order of `permutation`.

    Batch axes are b, h, g; summed ones d, e, f; free ones of the left operand q, r, s (b, s, t where no other axis is
    a batch axis), free ones of the right operand k, m, n.
    """
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    batches, summed, others = letters("bhg"), letters("def"), letters("kmn")
    frees = letters("qrs" if left_batch or left - len(left_sum) < 2 else "bst")
    taken: set[str] = set()
    first, second = [""] * left, [""] * right
    for i, j in zip(left_batch, right_batch, strict=True):
        first[i] = second[j] = new(batches, taken)
    for i, j in zip(left_sum, right_sum, strict=True):
        first[i] = second[j] = new(summed, taken)
    free = [i for i in range(left) if not first[i]]
    other = [j for j in range(right) if not second[j]]
    for i in free:
        first[i] = new(frees, taken)
    for j in other:
        second[j] = new(others, taken)
    result = [*(first[i] for i in left_batch), *(first[i] for i in free), *(second[j] for j in other)]
    ordered = [result[axis] for axis in permutation] if permutation is not None else result
    return f"{''.join(first)},{''.join(second)}->{''.join(ordered)}"


def letters(preferred: str) -> Iterator[str]:
    """The preferred letters, then all others."""
    return iter(preferred + "uvwxyzabcdefghijklmnopqrst" + "ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def new(choice: Iterator[str], taken: set[str]) -> str:
    """The next letter that is free."""
    letter = next(c for c in choice if c not in taken)
    taken.add(letter)
    return letter


def product_of_words(lhs: Tensor, rhs: Tensor, equation: str, dtype: torch.dtype) -> Tensor:
    """A product of booleans (whether any pair is true) or of unsigned integers (modulo their range)."""
    if dtype == torch.bool:
        return torch.einsum(equation, lhs.to(torch.int32), rhs.to(torch.int32)) != 0
    same = SIGNED[dtype]
    return torch.einsum(equation, lhs.to(same), rhs.to(same)).view(dtype)


def _offset(arguments: Mapping[str, Any]) -> bool:
    return arguments.get("group_offset") is not None


@TABLE.rule(
    "lax.ragged_dot_general",
    limits=[Limit("group_offset", _offset, "unsupported", "JAX itself does not compute with a group offset on a CPU")],
)
def ragged_dot_general(
    lhs: Tensor,
    rhs: Tensor,
    group_sizes: Tensor,
    dot_dimension_numbers: Dimensions,
    lhs_ragged_dimensions: Axes,
    rhs_group_dimensions: Axes,
    precision: object = None,
    preferred_element_type: torch.dtype | None = None,
    group_offset: object = None,
) -> Tensor:
    """ragged_dot_general(lhs, rhs, group_sizes, *, dot_dimension_numbers, lhs_ragged_dimensions,
    rhs_group_dimensions, precision, preferred_element_type, group_offset)
    """
    return product_of_groups(
        lhs,
        rhs,
        group_sizes,
        dimension_numbers=dot_dimension_numbers,
        ragged=lhs_ragged_dimensions[0],
        groups=rhs_group_dimensions[0] if rhs_group_dimensions else None,
        dtype=preferred_element_type,
    )


def product_of_groups(
    lhs: Tensor,
    rhs: Tensor,
    group_sizes: Tensor,
    dimension_numbers: Dimensions,
    ragged: int,
    groups: int | None,
    dtype: torch.dtype | None,
) -> Tensor:
    """A product in which consecutive elements of one axis of `lhs` form groups.

    Args:
        lhs: left operand.
        rhs: right operand.
        group_sizes: lengths of the groups in its last axis; axes before it are those of `lhs` around the ragged one.
        dimension_numbers: summed and batch axes of both.
        ragged: the axis of `lhs`: a free one, where each group has its own part of `rhs`; a summed one, where the
            result has an axis of groups in front; or a batch axis, where groups make no difference.
        groups: the axis of `rhs` that counts groups.
        dtype: of the result; None for that of the operands.
    """
    (left_sum, right_sum), (left_batch, right_batch) = dimension_numbers
    wide = dtype or torch.promote_types(lhs.dtype, rhs.dtype)
    lhs, rhs = lhs.to(wide), rhs.to(wide)
    first = [chr(ord("a") + i) for i in range(lhs.ndim)]
    second = [chr(ord("A") + j) for j in range(rhs.ndim)]
    for i, j in zip((*left_batch, *left_sum), (*right_batch, *right_sum), strict=True):
        second[j] = first[i]
    free = [i for i in range(lhs.ndim) if i not in (*left_batch, *left_sum)]
    result = [first[i] for i in (*left_batch, *free)]
    result += [second[j] for j in range(rhs.ndim) if j not in (*right_batch, *right_sum, groups)]
    if ragged in left_batch:
        return torch.einsum(f"{''.join(first)},{''.join(second)}->{''.join(result)}", lhs, rhs)
    if groups is not None:
        second[groups] = "Z"
    else:
        result = ["Z", *result]
    outer = free if ragged in free else list(left_sum)
    around = [first[i] for i in (*left_batch, *outer[: outer.index(ragged)])] if group_sizes.ndim > 1 else []
    ends = group_sizes.cumsum(-1)[..., None]
    place = torch.arange(lhs.shape[ragged], device=lhs.device)
    inside = ((place < ends) & (place >= ends - group_sizes[..., None])).to(wide)
    mask = f"{''.join(around)}Z{first[ragged]}"
    return torch.einsum(f"{mask},{''.join(first)},{''.join(second)}->{''.join(result)}", inside, lhs, rhs)
