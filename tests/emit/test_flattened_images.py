"""Flattening of what a convolution gives, whose image axes are the middle ones in JAX."""

from __future__ import annotations

import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn


class Flattened(nn.Module):
    def __init__(self, start: int, end: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 8, 4, 4)
        self.start, self.end = start, end

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).flatten(self.start, self.end) * 2


@pytest.mark.parametrize("size", [4, 8])
@pytest.mark.parametrize(("start", "end"), [(-2, -1), (2, 3), (1, -1), (-3, -2), (0, -1), (1, 2), (3, 3)])
def test_axes_are_those_of_torch(start: int, end: int, size: int) -> None:
    x = torch.randn(2, 3, size, size, generator=torch.Generator().manual_seed(0))
    assert_like_torch(Flattened(start, end), (x,))
