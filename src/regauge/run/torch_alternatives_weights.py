"""Other values of a weight: the mistakes of copying."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from regauge.run.torch_alternative_registry import Named, of_weight


def rounded_to(tensor: Tensor, to: str) -> Tensor:
    """Values as a lower precision holds them; made in numpy, where nothing widens them again."""
    if to == "float32":
        low = torch.from_numpy(tensor.detach().numpy().astype("float32").astype("float64"))
    else:
        # bfloat16 keeps 8 significant bits, float16 has 11
        bits = {"bfloat16": 8, "float16": 11}[to]
        mantissa, exponent = torch.frexp(tensor.detach())
        low = torch.ldexp(torch.round(mantissa * 2**bits), exponent - bits)
    return tensor + (low.to(tensor) - tensor).detach()


@of_weight
def transposed(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    return tensor.transpose(0, 1).contiguous()


@of_weight
def turned(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    """A kernel turned around in space."""
    return tensor.flip(tuple(range(2, tensor.dim())))


@of_weight
def zero(tensor: Tensor, others: Named, saved: Named) -> Tensor:
    return torch.zeros_like(tensor)


@of_weight
def low(tensor: Tensor, others: Named, saved: Named, *, to: str) -> Tensor:
    return rounded_to(tensor, to)


@of_weight
def exchanged(tensor: Tensor, others: Named, saved: Named, *, other: str) -> Tensor:
    """The values of another weight of the same shape."""
    return saved.get(other, others[other])


@of_weight
def reordered(tensor: Tensor, others: Named, saved: Named, *, order: Sequence[int]) -> Tensor:
    """Blocks of rows in another order."""
    blocks = tensor.chunk(len(order), 0)
    return torch.cat([blocks[i] for i in order])


@of_weight
def interleaved(
    tensor: Tensor,
    others: Named,
    saved: Named,
    *,
    sizes: Sequence[int],
    parts: int = 1,
    members: Sequence[int] = (0,),
) -> Tensor:
    """Rows seen as (a, b), ordered as (b, a) within each outer block.

    Args:
        tensor: the weight.
        others: all weights.
        saved: those that are changed, as they were.
        sizes: (outer, a, b).
        parts: blocks of rows that the weight is joined from.
        members: the blocks that are reordered.
    """
    blocks = list(tensor.chunk(parts, 0))
    for member in members:
        rows = blocks[member]
        blocks[member] = rows.reshape(*sizes, *tensor.shape[1:]).transpose(1, 2).reshape(rows.shape)
    return torch.cat(blocks)
