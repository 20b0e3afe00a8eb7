"""The original of a pair: PyTorch alone."""

import torch
from torch import nn

import regauge


class Scorer(nn.Module):
    def __init__(self):
        super().__init__()
        self.a = nn.Linear(4, 8)
        self.norm = nn.LayerNorm(8)
        self.b = nn.Linear(8, 3)

    def forward(self, x):
        return self.b(nn.functional.gelu(self.norm(self.a(x))))


def case():
    torch.manual_seed(0)
    model = Scorer()
    return regauge.Case(
        model,
        inputs=(torch.randn(6, 4),),
        targets=torch.randn(6, 3),
        loss=lambda outputs, targets: ((outputs - targets) ** 2).mean(),
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-2),
    )
