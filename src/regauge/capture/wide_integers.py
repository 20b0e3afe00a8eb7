"""Integers beyond 32 bits in the inputs and weights of a model: JAX has them only with its 64-bit mode on."""

from __future__ import annotations

from collections.abc import Mapping

import torch

from regauge.findings import Finding

_LOWEST, _HIGHEST = torch.iinfo(torch.int32).min, torch.iinfo(torch.int32).max


def wide_integers(tensors: Mapping[str, torch.Tensor]) -> list[Finding]:
    """A finding for the tensors, by name, that hold an int64 which int32 does not."""
    names = [name for name, tensor in tensors.items() if tensor.dtype == torch.int64 and _beyond(tensor)]
    if not names:
        return []
    text = (
        f"{', '.join(names[:5])} hold integers beyond 32 bits, which JAX wraps around while its 64-bit mode is off. "
        "jax.config.update('jax_enable_x64', True) before the model is loaded keeps them."
    )
    return [Finding("C164", "warning", names[0], text)]


def _beyond(tensor: torch.Tensor) -> bool:
    if tensor.numel() == 0:
        return False
    low, high = torch.aminmax(tensor)
    return bool(low < _LOWEST) or bool(high > _HIGHEST)
