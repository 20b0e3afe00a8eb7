"""A model that does something else in training than in evaluation, and one that ties and shares its weights."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class StochasticDepth(nn.Module):
    """Skips its branch for some samples in training."""

    def __init__(self, rate: float) -> None:
        super().__init__()
        self.rate = rate

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x
        keep = torch.rand(x.shape[0], 1, device=x.device) >= self.rate
        return x * keep / (1 - self.rate)


class Branches(nn.Module):
    """x: float32[batch, 8]  ->  float32[batch, 8]"""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(8, 8)
        self.drop = StochasticDepth(0.25)

    def forward(self, x: Tensor) -> Tensor:
        return x + self.drop(self.inner(x))


class Tied(nn.Module):
    """tokens: int64[batch, time]  ->  scores: float32[batch, time, 11]; one table at both ends, one layer run twice."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 6)
        self.layer = nn.Linear(6, 6)
        self.head = nn.Linear(6, 11, bias=False)
        self.head.weight = self.embed.weight
        self.register_buffer("scale", torch.tensor(0.5))
        self.register_buffer("steps", torch.zeros((), dtype=torch.long), persistent=False)

    def forward(self, tokens: Tensor) -> Tensor:
        if self.training:
            self.steps += 1
        x = self.layer(torch.tanh(self.layer(self.embed(tokens)))) * self.scale
        return self.head(x)
