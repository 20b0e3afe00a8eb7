"""Rounding of saturating functions and the order of ties, for the noisy copies of the original.

A gate at 1 - 1e-7 keeps nine digits of its distance to 1 in float64, and its derivative is that distance: two correct
programs whose sigmoids differ in the last place are 1e-9 apart there, which weights that are moved by one unit in the
last place do not show, since they hardly move the gate. In float32 the same gate has no digit left. There
copies are moved on special inputs alone: on typical ones little saturates, and copies are to stay as near as they are.

Which of several equal elements topk and sort give first is not defined (torch's documentation of both), so no port can
be held to it: a copy takes the last where it can.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

_IN_PLACE = {torch.ops.aten.sigmoid_.default, torch.ops.aten.tanh_.default}
_SATURATING = {
    *_IN_PLACE,
    torch.ops.aten.sigmoid.default,
    torch.ops.aten.tanh.default,
    torch.ops.aten.erf.default,
    torch.ops.aten._softmax.default,
}
_MIX = 0x9E3779B97F4A7C1  # odd: every bit of a value decides about the sign


def _sorted(x: Tensor, dim: int = -1, descending: bool = False) -> tuple[Tensor, Tensor]:
    """Sorted, of equal elements the last one first."""
    if x.dim() == 0:
        return x.clone(), torch.zeros_like(x, dtype=torch.int64)
    values, order = torch.sort(x.flip(dim), dim=dim, descending=descending, stable=True)
    return values, x.shape[dim] - 1 - order


def _largest(x: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> tuple[Tensor, Tensor]:
    values, order = _sorted(x, dim, largest)
    return (values, order) if x.dim() == 0 else (values.narrow(dim, 0, k), order.narrow(dim, 0, k))


_ORDERED: dict[Any, Callable[..., Any]] = {
    torch.ops.aten.sort.default: _sorted,
    torch.ops.aten.topk.default: _largest,
}


class LastPlace(TorchDispatchMode):
    """Moves what saturating functions return by one unit in the last place, and puts equal elements in another order.

    The direction depends on the value alone, so that equal values stay equal and other ties are not broken.

    Args:
        dtype: of the results that are moved: float64, or float32.
    """

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self._dtype, self._bits = dtype, torch.int64 if dtype == torch.float64 else torch.int32
        self._ordered = _ORDERED if dtype == torch.float64 else {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in self._ordered:
            return self._ordered[func](*args, **(kwargs or {}))
        found = func(*args, **(kwargs or {}))
        if func in _SATURATING and found.dtype == self._dtype:
            up = (found.view(self._bits).long() * _MIX >> 40) & 1
            factor = 1 + torch.finfo(self._dtype).eps * (2 * up - 1).to(self._dtype)
            return found.mul_(factor) if func in _IN_PLACE else found * factor
        return found


def rounded(noise: int | None, wide: bool, special: bool = False) -> AbstractContextManager[Any]:
    """The mode for a noisy copy in float64, or for one in float32 on special inputs; nothing otherwise.

    Args:
        noise: the number of the copy; None for the original as it is.
        wide: whether the pass is in float64.
        special: whether its inputs are special ones, on which functions may saturate.
    """
    if noise is None or not (wide or special):
        return nullcontext()
    return LastPlace(torch.float64 if wide else torch.float32)
