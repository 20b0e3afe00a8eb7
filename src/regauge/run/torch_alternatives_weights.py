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
def interleaved(tensor: Tensor, others: Named, saved: Named, *, sizes: Sequence[int], back: bool = False) -> Tensor:
    """Rows seen as (a, b), ordered as (b, a) within each outer block: ``sizes`` is (outer, a, b)."""
    outer, a, b = sizes
    rest = tensor.shape[1:]
    found = tensor.reshape(outer, a, b, *rest).transpose(1, 2)
    return found.reshape(tensor.shape)
