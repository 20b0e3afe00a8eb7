"""Weights of a layer that other code reads, changes or replaces: values of the right moment, in training too."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import jax
import pytest
import torch
from like_torch import assert_like_torch, close
from torch import Tensor, nn
from torch.func import functional_call

import regauge

torch.manual_seed(0)
X = torch.randn(6, 3)


class Net(nn.Module):
    """A linear layer and a batch norm, whose state code of the model reads before and after the call."""

    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(3, 4)
        self.norm = nn.BatchNorm1d(4)


class OldMean(Net):
    def forward(self, x: Tensor) -> Tensor:
        mean = self.norm.running_mean.clone() + 1
        return self.norm(self.linear(x)) * mean


class NewMean(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)) * self.norm.running_mean


class Both(Net):
    def forward(self, x: Tensor) -> Tensor:
        scale = self.norm.running_var * 2 + 1
        return self.norm(self.linear(x)) * scale.sqrt() + self.norm.running_mean


class OldCount(Net):
    def forward(self, x: Tensor) -> Tensor:
        count = self.norm.num_batches_tracked.clone() + 1
        return self.norm(self.linear(x)) / count


class NewCount(Net):
    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.linear(x)) * self.norm.num_batches_tracked


class InChain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.chain = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))

    def forward(self, x: Tensor) -> Tensor:
        return self.chain(x) * self.chain[1].running_mean


@pytest.mark.parametrize("made", [OldMean, NewMean, Both, OldCount, NewCount, InChain])
def test_state_of_a_norm_that_the_model_reads(made: type[nn.Module]) -> None:
    model = made()
    converted = regauge.to_jax(model, (X,), train=True)
    model.train()
    state = converted.state
    for _ in range(3):
        found, state = jax.jit(converted.apply)(converted.params, state, X.numpy())
        close(found, model(X), "output", 2e-5)
    evaluated = regauge.to_jax(model, (X,))
    close(evaluated(X.numpy()), model.eval()(X), "output in evaluation", 2e-5)


class Average(nn.Module):
    """A teacher whose weights are buffers that follow those of the student, as they do in self-supervision."""

    def __init__(self) -> None:
        super().__init__()
        self.student = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        self.teacher = nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4))
        for layer in self.teacher:
            for name, weight in list(layer.named_parameters()):
                delattr(layer, name)
                layer.register_buffer(name, weight.detach().clone())

    def forward(self, x: Tensor) -> Tensor:
        with torch.no_grad():
            for weight, average in zip(self.student.parameters(), self.teacher.buffers(), strict=True):
                average.mul_(0.9).add_(weight, alpha=0.1)
            target = self.teacher(x)
        return (self.student(x) - target).square().mean()


def test_a_teacher_that_follows_in_place() -> None:
    model = Average()
    converted = regauge.to_jax(model, (X,), train=True)
    model.train()
    state = converted.state
    for _ in range(2):
        found, state = jax.jit(converted.apply)(converted.params, state, X.numpy())
        close(found, model(X), "output", 2e-5)


class Hyper(nn.Module):
    """A layer that is called with weights which another layer computes."""

    def __init__(self, layer: nn.Module, names: tuple[str, ...], shape: tuple[int, ...]) -> None:
        super().__init__()
        self.layer, self.names, self.shape = layer, names, shape
        self.made = nn.ModuleList(nn.Linear(2, torch.Size(shape).numel()) for _ in names)

    def forward(self, x: Tensor, code: Tensor) -> Any:
        weights = {n: made(code).view(self.shape) for n, made in zip(self.names, self.made, strict=True)}
        return functional_call(self.layer, weights, (x,))


BOTH = ("weight", "bias")
HYPER: dict[str, tuple[nn.Module, tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "layer norm": (nn.LayerNorm(4), BOTH, (4,), (6, 4)),
    "layer norm, weight alone": (nn.LayerNorm(4), ("weight",), (4,), (6, 4)),
    "batch norm": (nn.BatchNorm1d(4), BOTH, (4,), (6, 4)),
    "group norm": (nn.GroupNorm(2, 4), BOTH, (4,), (6, 4, 3)),
    "linear": (nn.Linear(4, 4), ("weight",), (4, 4), (6, 4)),
    "convolution": (nn.Conv1d(4, 4, 1), ("weight",), (4, 4, 1), (6, 4, 3)),
}


@pytest.mark.parametrize("name", HYPER)
def test_a_layer_with_weights_that_are_computed(name: str) -> None:
    layer, names, shape, size = HYPER[name]
    assert_like_torch(Hyper(layer, names, shape), (torch.randn(size), torch.randn(2)))


HASHES = """
import torch, regauge
from test_borrowed_weights import InChain, X
print(regauge.to_jax(InChain(), (X,), train=True).source)
"""


@pytest.mark.slow
def test_the_order_of_sets_decides_nothing() -> None:
    found = set()
    for seed in ("1", "2"):
        environment = {**os.environ, "PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
        run = subprocess.run(
            [sys.executable, "-c", HASHES], capture_output=True, text=True, env=environment, check=True
        )
        found.add(run.stdout)
    assert len(found) == 1
