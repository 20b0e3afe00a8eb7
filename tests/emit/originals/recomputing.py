"""Blocks with dropout that PyTorch computes again for the gradient, in both of its forms."""

from __future__ import annotations

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

import regauge


class Block(nn.Module):
    def __init__(self):
        super().__init__()
        self.up = nn.Linear(8, 32)
        self.down = nn.Linear(32, 8)
        self.drop = nn.Dropout(0.2)

    def forward(self, x):
        return x + self.drop(self.down(torch.tanh(self.up(x))))


class Net(nn.Module):
    def __init__(self, reentrant):
        super().__init__()
        self.stem = nn.Linear(8, 8)
        self.blocks = nn.ModuleList([Block() for _ in range(2)])
        self.head = nn.Linear(8, 1)
        self.reentrant = reentrant

    def forward(self, x):
        x = self.stem(x)
        for block in self.blocks:
            x = checkpoint(block, x, use_reentrant=self.reentrant)
        return self.head(x)


def _case(reentrant):
    torch.manual_seed(0)
    model = Net(reentrant)
    loss = nn.functional.mse_loss
    optimizer = torch.optim.Adam(model.parameters(), lr=1e-2)
    return regauge.Case(model, inputs=(torch.randn(6, 8),), targets=torch.randn(6, 1), loss=loss, optimizer=optimizer)


def case():
    return _case(False)


def reentrant_case():
    return _case(True)
