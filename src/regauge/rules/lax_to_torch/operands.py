"""Operands of arithmetic: arrays, or Python numbers where the original has a known 0-d array."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.unsigned import SIGNED, signed_number
from regauge.rules.table import inlined

Operand = Any  # a Tensor or a Python number


def dtype_of(*operands: Operand) -> torch.dtype:
    """The dtype of the arrays among the operands; in JAX they all have one."""
    return next(x.dtype for x in operands if isinstance(x, Tensor))


@inlined
def word(x: Operand, dtype: torch.dtype) -> Operand:
    """An operand of an unsigned dtype as a signed integer with the same bits."""
    return x.view(SIGNED[dtype]) if isinstance(x, Tensor) else signed_number(x, dtype)


@inlined
def array(x: Operand, like: Operand) -> Tensor:
    """An operand as an array: a number in the dtype of another operand."""
    return x if isinstance(x, Tensor) else like.new_tensor(x)
