"""A second head that gives an output in training alone, under losses that take it."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

Outputs = Tensor | tuple[Tensor, Tensor]


class Auxiliary(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.aux = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Outputs:
        if self.training:
            return self.fc(x), self.aux(x)
        return self.fc(x)


def of_both_modes(outputs: Outputs, targets: Tensor) -> Tensor:
    if isinstance(outputs, tuple):
        return F.cross_entropy(outputs[0], targets) + 0.4 * F.cross_entropy(outputs[1], targets)
    return F.cross_entropy(outputs, targets)


def of_training(outputs: Outputs, targets: Tensor) -> Tensor:
    return F.cross_entropy(outputs[0], targets) + 0.4 * F.cross_entropy(outputs[1], targets)


def case_of(loss: object) -> regauge.Case:
    torch.manual_seed(0)
    model = Auxiliary()
    inputs, targets = (torch.randn(4, 4),), torch.tensor([0, 1, 2, 0])
    return regauge.Case(model, inputs, targets, loss=loss, optimizer=torch.optim.SGD(model.parameters(), 0.1))


def both_modes() -> regauge.Case:
    return case_of(of_both_modes)


def training_only() -> regauge.Case:
    return case_of(of_training)
