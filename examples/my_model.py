"""A model of one's own, made a case: a small transformer that reads ECG-like signals and names their rhythm.

    regauge compare examples/my_model.py:case --quick

Everything above `case` is an ordinary PyTorch file; only the last function knows regauge.
"""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

RHYTHMS = 4
LENGTH = 256  # samples of one signal


class Patches(nn.Module):
    """Cuts a signal into overlapping patches: (batch, 1, length) to (batch, patches, width)."""

    def __init__(self, width: int, size: int = 16) -> None:
        super().__init__()
        self.conv = nn.Conv1d(1, width, size, stride=size // 2, padding=size // 4)
        self.norm = nn.BatchNorm1d(width)

    def forward(self, signal: Tensor) -> Tensor:
        return F.gelu(self.norm(self.conv(signal))).transpose(1, 2)


class Attention(nn.Module):
    """Multi-head self-attention over patches."""

    def __init__(self, width: int, heads: int) -> None:
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(width, 3 * width)
        self.out = nn.Linear(width, width)

    def forward(self, x: Tensor) -> Tensor:
        batch, patches, width = x.shape
        q, k, v = self.qkv(x).reshape(batch, patches, 3, self.heads, width // self.heads).permute(2, 0, 3, 1, 4)
        y = F.scaled_dot_product_attention(q, k, v)
        return self.out(y.transpose(1, 2).reshape(batch, patches, width))


class Layer(nn.Module):
    """A pre-norm transformer layer."""

    def __init__(self, width: int, heads: int, dropout: float) -> None:
        super().__init__()
        self.norm1 = nn.LayerNorm(width)
        self.attention = Attention(width, heads)
        self.norm2 = nn.LayerNorm(width)
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), nn.GELU(), nn.Linear(4 * width, width))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.dropout(self.attention(self.norm1(x)))
        return x + self.dropout(self.mlp(self.norm2(x)))


class RhythmNet(nn.Module):
    """(batch, 1, length) float32 signals to (batch, rhythms) scores."""

    def __init__(self, width: int = 64, heads: int = 4, layers: int = 2, dropout: float = 0.1) -> None:
        super().__init__()
        self.patches = Patches(width)
        self.position = nn.Parameter(0.02 * torch.randn(1, LENGTH // 8, width))
        self.layers = nn.ModuleList(Layer(width, heads, dropout) for _ in range(layers))
        self.norm = nn.LayerNorm(width)
        self.head = nn.Linear(width, RHYTHMS)

    def forward(self, signal: Tensor) -> Tensor:
        x = self.patches(signal) + self.position
        for layer in self.layers:
            x = layer(x)
        return self.head(self.norm(x).mean(dim=1))


def signals(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Synthetic signals: each rhythm has a beat of its own under noise. (count, 1, LENGTH) float32, (count,) int64."""
    rhythm = torch.arange(count) % RHYTHMS
    time = torch.linspace(0, 2 * math.pi, LENGTH)
    phase = 2 * math.pi * torch.rand(count, 1, generator=generator)
    beat = torch.sin((3 + 2 * rhythm[:, None]) * time + phase).pow(7)
    return (beat + 0.3 * torch.randn(count, LENGTH, generator=generator)).unsqueeze(1), rhythm


def case() -> regauge.Case:
    """What regauge needs to know: the model, a batch, and how it is trained."""
    torch.manual_seed(0)
    model = RhythmNet()
    x, rhythm = signals(32, torch.Generator().manual_seed(1))
    return regauge.Case(
        model,
        inputs=(x,),
        targets=rhythm,
        loss=F.cross_entropy,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.05),
    )
