"""Fourier transforms."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.fourier")


@TABLE.rule("lax.fft")
def fft(x: Tensor, fft_type: str, fft_lengths: tuple[int, ...]) -> Tensor:
    """fft(x, *, fft_type, fft_lengths)"""
    rank = len(fft_lengths)
    axes = tuple(range(-rank, 0))
    if any(isinstance(size, int) and size == 0 for size in x.shape):
        return nothing(x, fft_type=fft_type, fft_lengths=fft_lengths)
    if fft_type == "FFT":
        return torch.fft.fft(x) if rank == 1 else torch.fft.fftn(x, dim=axes)
    if fft_type == "IFFT":
        return torch.fft.ifft(x) if rank == 1 else torch.fft.ifftn(x, dim=axes)
    if fft_type == "RFFT":
        return torch.fft.rfft(x) if rank == 1 else torch.fft.rfftn(x, dim=axes)
    if rank == 1:
        return torch.fft.irfft(x, fft_lengths[0])
    return torch.fft.irfftn(x, fft_lengths, dim=axes)


def nothing(x: Tensor, fft_type: str, fft_lengths: tuple[int, ...]) -> Tensor:
    """The transform of an array without elements, which torch refuses for some layouts."""
    last = {"RFFT": fft_lengths[-1] // 2 + 1, "IRFFT": fft_lengths[-1]}.get(fft_type, x.shape[-1])
    y = x.sum() * x.new_zeros(*x.shape[:-1], last)
    if fft_type == "IRFFT":
        return y.real
    return y if y.is_complex() else torch.complex(y, y)
