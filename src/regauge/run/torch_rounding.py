"""Rounding of saturating functions, for the noisy copies of the original in float64.

A gate at 1 - 1e-7 keeps nine digits of its distance to 1 in float64, and its derivative is that distance: two correct
programs whose sigmoids differ in the last place are 1e-9 apart there, which weights that are moved by one unit in the
last place do not show, since they hardly move the gate.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
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


class LastPlace(TorchDispatchMode):
    """Moves what saturating functions return by one unit in the last place.

    The direction depends on the value alone, so that equal values stay equal and ties are not broken.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        found = func(*args, **(kwargs or {}))
        if func in _SATURATING and found.dtype == torch.float64:
            up = (found.view(torch.int64) * _MIX >> 40) & 1
            factor = 1 + torch.finfo(torch.float64).eps * (2 * up - 1)
            return found.mul_(factor) if func in _IN_PLACE else found * factor
        return found


def rounded(noise: int | None, wide: bool) -> AbstractContextManager[Any]:
    """The mode for a noisy copy in float64; nothing otherwise."""
    return LastPlace() if noise is not None and wide else nullcontext()
