"""Cases that the tests of the capture job load by reference."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import nn

import regauge

torch.manual_seed(0)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 3)
        self.norm = nn.BatchNorm1d(3)
        self.head = nn.Linear(3, 3)
        self.head.weight = nn.Parameter(torch.eye(3).T)  # not contiguous by itself
        self.register_buffer("halves", torch.ones(3, dtype=torch.bfloat16))

    def forward(self, x):
        y = self.head(self.norm(self.fc(x)))
        return {"logits": y + self.halves.float(), "nothing": None}


class KeepsStates(Net):
    def forward(self, x):
        outputs = super().forward(x)
        return outputs if self.training else {**outputs, "states": [outputs["logits"] * 2]}


class MoreQueries(Net):
    """Three groups of queries in training, of which evaluation takes one, as in detectors."""

    def forward(self, x):
        logits = super().forward(x)["logits"]
        return logits[:, None].expand(-1, 6 if self.training else 2, -1) * torch.ones(3)


def averaged(outputs, targets):
    return outputs.sum() / outputs.shape[1]


def by_size(outputs, targets):
    return outputs.sum() / 3 if outputs.shape[1] > 3 else outputs.sum()


def noisy(x):
    return x.sin()


def weighted(outputs, targets):
    return F.cross_entropy(outputs["logits"], targets, torch.tensor([1.0, 2.0, 3.0]))


def with_states(outputs, targets):
    return weighted(outputs, targets) + sum(states.mean() for states in outputs.get("states", ()))


def without_states(outputs, targets):
    (logits,) = [value for value in outputs.values() if value is not None]  # two in evaluation
    return F.cross_entropy(logits, targets)


class GivesSizes(Net):
    def forward(self, x):
        return super().forward(x)["logits"], len(x)


INPUTS, TARGETS = (torch.randn(5, 4),), torch.tensor([0, 1, 2, 0, 1])


def case():
    model = Net()
    return regauge.Case(model, INPUTS, TARGETS, loss=weighted, optimizer=regauge.optimizers.SGD(lr=0.1), name="net")


def outputs_of_one_mode():
    return regauge.Case(KeepsStates(), INPUTS, TARGETS, loss=weighted)


def loss_of_each_mode():
    return regauge.Case(KeepsStates(), INPUTS, TARGETS, loss=with_states)


def loss_of_one_mode():
    return regauge.Case(KeepsStates(), INPUTS, TARGETS, loss=without_states)


def sizes_of_each_mode():
    return regauge.Case(MoreQueries(), INPUTS, TARGETS, loss=averaged)


def sizes_of_one_mode():
    return regauge.Case(MoreQueries(), INPUTS, TARGETS, loss=by_size)


def loss_beside_a_size():
    return regauge.Case(
        GivesSizes(), INPUTS, TARGETS, loss=lambda outputs, targets: F.cross_entropy(outputs[0], targets)
    )


def loss_by_a_size():
    return regauge.Case(GivesSizes(), INPUTS, TARGETS, loss=lambda outputs, targets: outputs[0].sum() / outputs[1])


def inference():
    return regauge.Case(Net().eval(), INPUTS)


def function():
    return regauge.Case(noisy, INPUTS)


def vector_loss():
    return regauge.Case(Net(), INPUTS, TARGETS, loss=lambda outputs, targets: outputs["logits"].sum(1))


def loss_with_line():
    def loss(outputs, targets):
        while outputs["logits"].sum() > 0:  # line: loss
            return outputs["logits"].sum()
        return -outputs["logits"].sum()

    return regauge.Case(Net(), INPUTS, TARGETS, loss=loss)


def rejecting_loss():
    return regauge.Case(Net(), INPUTS, TARGETS, loss=lambda outputs, targets: outputs["scores"].sum())


def rows(x, n):
    return x[: int(n)]


def known():
    return regauge.Case(rows, (torch.randn(5, 4), torch.tensor(3)), known=("n",))
