"""A network with everything that an optimizer may treat differently: fixed, unused and grouped parameters."""

from __future__ import annotations

import torch
from torch import Tensor, nn

import regauge
from regauge import optimizers


class Tagger(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 8)
        self.norm = nn.LayerNorm(8)
        self.inner = nn.Linear(8, 16)
        self.side = nn.Linear(8, 8)  # read by the model, of no influence on the loss
        self.head = nn.Linear(16, 4)
        self.embed.weight.requires_grad = False

    def forward(self, tokens: Tensor) -> tuple[Tensor, Tensor]:
        x = self.norm(self.embed(tokens)).mean(1)
        return self.head(torch.tanh(self.inner(x))), torch.tanh(self.side(x))


def loss(outputs: tuple[Tensor, Tensor], targets: Tensor) -> Tensor:
    return ((outputs[0] - targets) ** 2).mean()


def tagger() -> Tagger:
    torch.manual_seed(0)
    return Tagger()


def case_of(model: Tagger, optimizer: object) -> regauge.Case:
    tokens = torch.arange(24).reshape(6, 4) % 11
    return regauge.Case(model, (tokens,), targets=torch.randn(6, 4), loss=loss, optimizer=optimizer)


def spec() -> regauge.Case:
    no_decay = optimizers.Group(("*.bias", "norm.*", "embed.*"), {"weight_decay": 0.0})
    schedule = optimizers.WarmupCosine(3, 20)
    made = optimizers.AdamW(lr=1e-2, weight_decay=0.1, clip_norm=0.05, schedule=schedule, groups=(no_decay,))
    return case_of(tagger(), made)


class Chosen(nn.Module):
    """With a text among its inputs, which is a constant of the conversion."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(3, 2)

    def forward(self, x: Tensor, mode: str = "relu") -> Tensor:
        return torch.relu(self.inner(x)) if mode == "relu" else self.inner(x)


def with_text() -> regauge.Case:
    torch.manual_seed(0)
    inputs = {"x": torch.randn(4, 3), "mode": "relu"}
    optimizer = optimizers.SGD(lr=0.1)
    return regauge.Case(Chosen(), inputs, targets=torch.randn(4, 2), loss=nn.functional.mse_loss, optimizer=optimizer)


def with_scheduler() -> regauge.Case:
    model = tagger()
    groups = [
        {"params": [model.inner.weight, model.side.weight], "lr": 1e-2, "weight_decay": 0.1},
        {"params": [model.inner.bias, model.head.weight, model.norm.weight, model.embed.weight]},
    ]
    made = torch.optim.RMSprop(groups, lr=1e-3, momentum=0.9)
    return case_of(model, (made, torch.optim.lr_scheduler.StepLR(made, 5)))


def refused() -> regauge.Case:
    model = tagger()
    made = torch.optim.ASGD(model.parameters())
    return case_of(model, (made, torch.optim.lr_scheduler.ReduceLROnPlateau(made)))
