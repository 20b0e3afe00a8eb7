"""The model that is in use, in PyTorch."""

import torch
from shared import batch, weights
from torch import nn

import regauge


class Classifier(nn.Module):
    """Scores of ten classes for vectors of 32 numbers."""

    def __init__(self):
        super().__init__()
        self.first = nn.Linear(32, 64)
        self.norm = nn.LayerNorm(64)
        self.second = nn.Linear(64, 10)

    def forward(self, x):
        return self.second(nn.functional.gelu(self.norm(self.first(x))))


def case() -> regauge.Case:
    model = Classifier()
    model.load_state_dict({name: torch.from_numpy(array) for name, array in weights().items()})
    x, labels = batch()
    return regauge.Case(
        model,
        inputs=(torch.from_numpy(x),),
        targets=torch.from_numpy(labels),
        loss=nn.functional.cross_entropy,
        optimizer=torch.optim.AdamW(model.parameters(), lr=1e-3, weight_decay=0.01),
    )
