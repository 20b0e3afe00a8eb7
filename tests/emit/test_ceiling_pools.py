"""Pooling whose windows reach beyond the image (`ceil_mode`), written with what Flax has."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

X = torch.randn(3, 3, 9, 8, generator=torch.Generator().manual_seed(0))


class Pooled(nn.Module):
    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3, padding=1), pool

    def forward(self, x: Tensor) -> Tensor:
        y = self.conv(x)
        return self.pool(y) * y.sum()


@pytest.mark.parametrize(
    ("pool", "written"),
    [
        (nn.MaxPool2d(3, 2, ceil_mode=True), "nnx.max_pool(y, (3, 3), (2, 2), ((0, 0), (0, 1)))"),
        (nn.MaxPool2d(3, 2, padding=1, ceil_mode=True), "nnx.max_pool(y, (3, 3), (2, 2), ((1, 1), (1, 2)))"),
        (nn.MaxPool2d((3, 2), 2, ceil_mode=True), "nnx.max_pool(y, (3, 2), (2, 2))"),  # which reaches the end
        (nn.MaxPool2d(2), "nnx.max_pool(y, (2, 2), (2, 2))"),
        (nn.AvgPool2d((3, 2), 2, ceil_mode=True), "nnx.avg_pool(y, (3, 2), (2, 2))"),
        (nn.AvgPool2d(2, ceil_mode=True), "nnx.avg_pool(y, (2, 2), (2, 2), ((0, 1), (0, 0)), count_include_pad=False)"),
        (
            nn.AvgPool2d(3, 2, 1, ceil_mode=True, count_include_pad=False),
            "nnx.avg_pool(y, (3, 3), (2, 2), ((1, 1), (1, 2)), count_include_pad=False)",
        ),
        (nn.AvgPool2d(3, (2, 1), 1, ceil_mode=True), "nnx.avg_pool(y, (3, 3), (2, 1), ((1, 1), (1, 1)))"),
        (nn.AvgPool2d(3, 2, 1, ceil_mode=True), "ops.avg_pool("),  # counts the padding before, not what lies beyond
        (nn.AvgPool2d((9, 8), ceil_mode=True), "y.mean(axis=(1, 2), keepdims=True)"),
        (nn.Sequential(nn.AvgPool2d(64, ceil_mode=True), nn.Flatten()), "y.mean(axis=(1, 2))"),
        (nn.AvgPool2d(64, ceil_mode=True, divisor_override=5), "ops.avg_pool("),
        (nn.Sequential(nn.AvgPool2d(64, ceil_mode=True, divisor_override=5), nn.Flatten()), "ops.avg_pool("),
        (nn.Sequential(nn.AvgPool2d((9, 2), ceil_mode=True), nn.Flatten()), "nnx.avg_pool(y, (9, 2), (9, 2))"),
    ],
    ids=str,
)
def test_the_call_of_flax(pool: nn.Module, written: str) -> None:
    assert written in assert_like_torch(Pooled(pool), (X,)).source


class Halved(nn.Module):
    """Of images of any odd or even size: torch.export asks which."""

    def __init__(self, pool: nn.Module) -> None:
        super().__init__()
        self.conv, self.pool = nn.Conv2d(3, 4, 3, padding=1), pool

    def forward(self, x: Tensor) -> Tensor:
        return self.pool(self.conv(x)).mean((2, 3))


@pytest.mark.parametrize("pool", [nn.MaxPool2d(3, 2, 1, ceil_mode=True), nn.AvgPool2d(2, ceil_mode=True)], ids=str)
def test_sizes_that_are_symbolic(pool: nn.Module) -> None:
    half, columns = torch.export.Dim("half", min=3), torch.export.Dim("columns", min=3)
    model = Halved(pool)
    made = assert_like_torch(model, (X,), dynamic={"x": {2: 2 * half - 1, 3: 2 * columns}})
    assert "ops.pool_padding((2 * x_size_2_part - 1, 2 * x_size_3_part), " in made.source
    larger = torch.randn(2, 3, 13, 12)
    np.testing.assert_allclose(made(larger.numpy()), model(larger).detach().numpy(), rtol=1e-5, atol=1e-6)
