"""A person's classes that are called like the classes that emitted files bring along."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class BatchNorm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.BatchNorm2d(features)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.norm(x)) * self.gain


class LayerNorm(nn.Module):
    def __init__(self, features: int) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(features)
        self.gain = nn.Parameter(torch.ones(1))

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(x) * self.gain


class SameNames(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3)
        self.first = BatchNorm(4)
        self.second = BatchNorm(4)
        self.last = LayerNorm(6)

    def forward(self, images: Tensor) -> Tensor:
        return self.last(self.second(self.first(self.conv(images))))
