"""Functions that attention modules of `test_names_of_helpers.py` call."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor


def rotate_half(x: Tensor) -> Tensor:
    first, second = x.chunk(2, dim=-1)
    turned = torch.cat((-second, first), dim=-1)
    return turned * turned.abs()


def apply_rotary(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    cos = cos.unsqueeze(1)
    sin = sin.unsqueeze(1)
    q_embed = (q * cos) + (rotate_half(q) * sin)
    k_embed = (k * cos) + (rotate_half(k) * sin)
    return q_embed.to(q.dtype), k_embed.to(k.dtype)


def passed_on(function: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        outputs = function(*args, **kwargs)
        return outputs if isinstance(outputs, Tensor) else tuple(outputs)

    return wrapper


@passed_on
def normalised(x: Tensor) -> Tensor:
    energy = x.square().sum(-1, keepdim=True)
    scaled = x / (energy + energy.sqrt())
    return scaled * scaled.tanh()
