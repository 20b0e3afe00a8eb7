"""Cases that must be refused, each with a clear answer: what a person may well write by mistake."""

from __future__ import annotations

import os
import signal
import time

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

torch.manual_seed(0)
NUMBER = 3
a_module = nn.Linear(4, 2)


def linear(**changes: object) -> regauge.Case:
    x, targets = torch.randn(5, 4), torch.tensor([0, 1, 0, 1, 1])
    return regauge.Case(nn.Linear(4, 2), (x,), **({"targets": targets, "loss": F.cross_entropy} | changes))  # type: ignore[arg-type]


def raising() -> regauge.Case:
    raise FileNotFoundError("weights.bin")


def wrong_width() -> regauge.Case:
    return regauge.Case(nn.Linear(4, 2), inputs=(torch.randn(5, 3),))


def wrong_name() -> regauge.Case:
    return regauge.Case(nn.Linear(4, 2), inputs={"picture": torch.randn(5, 4)})


@torch.library.custom_op("regauge_test::fold", mutates_args=())
def fold(x: Tensor) -> Tensor:
    return x.flip(0) + x


@fold.register_fake
def _(x: Tensor) -> Tensor:
    return torch.empty_like(x)


class TwoGaps(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        y = torch.poisson(x.exp())
        z = fold(x)
        return torch.poisson((y + z).exp())


def unsupported() -> regauge.Case:
    return regauge.Case(TwoGaps(), (torch.randn(5, 4),))


class Branches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        for i in range(3):
            if x.sum() > 0:
                break
            x = x + i
        return x * i


def branching() -> regauge.Case:
    return regauge.Case(Branches(), (torch.randn(5, 4),))


def nan_weight() -> regauge.Case:
    model = nn.Linear(4, 2)
    with torch.no_grad():
        model.weight[0, 0] = float("nan")
    return regauge.Case(model, (torch.randn(5, 4),))


class OfNegativeNumbers(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.log(-x.abs() - 1)


def nan_output() -> regauge.Case:
    return regauge.Case(OfNegativeNumbers(), (torch.randn(5, 4),))


def lbfgs() -> regauge.Case:
    model = nn.Linear(4, 2)
    x, targets = torch.randn(5, 4), torch.tensor([0, 1, 0, 1, 1])
    return regauge.Case(model, (x,), targets, F.cross_entropy, torch.optim.LBFGS(model.parameters()))


def folded_loss(outputs: Tensor, targets: Tensor) -> Tensor:
    return F.cross_entropy(fold(outputs), targets)


def untranslatable_loss() -> regauge.Case:
    return linear(loss=folded_loss)


def unknown_class() -> regauge.Case:
    return linear(targets=torch.tensor([0, 1, 7, 1, 1]))


class Narrow(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)

    def forward(self, x: Tensor) -> Tensor:
        y = x.flatten(1)
        return self.fc(y)


def wrong_width_inside() -> regauge.Case:
    return regauge.Case(Narrow(), (torch.randn(5, 3),))


def vector_loss() -> regauge.Case:
    return linear(loss=lambda outputs, targets: outputs.sum(dim=1))


def crashing() -> regauge.Case:
    print("about to crash", flush=True)
    os.kill(os.getpid(), signal.SIGSEGV)
    return linear()


def killed() -> regauge.Case:
    print("allocating 4 TB", flush=True)
    os.kill(os.getpid(), signal.SIGKILL)  # what the kernel does when memory is out
    return linear()


def leaving() -> regauge.Case:
    print("goodbye", flush=True)
    os._exit(3)


def hanging() -> regauge.Case:
    print("waiting for a lock", flush=True)
    time.sleep(3600)
    return linear()


def full_disk() -> regauge.Case:
    def fsync(_file: int) -> None:
        raise OSError(28, "No space left on device")

    os.fsync = fsync  # the worker cannot store its reply
    return linear()
