"""A torch side of a check whose model has a weight without axes."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import regauge
from regauge.run.array_files import save_arrays
from regauge.run.evaluation import InputSets
from regauge.run.protocol import flatten_tree
from regauge.run.torch_evaluate import TorchEvaluator
from regauge.run.torch_subject import subject_of
from regauge.run.torch_tensors import derivatives, is_tensor


class Scaled(nn.Module):
    """One weight for all, and an input without axes."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))

    def forward(self, x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        assert shift.shape == ()
        return (self.scale * x + shift).exp()


class Growing(Scaled):
    """Every call in training doubles what the next one returns."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("level", torch.ones(()))

    def forward(self, x: torch.Tensor, shift: torch.Tensor) -> torch.Tensor:
        level = self.level.clone()
        self.level.mul_(2)
        return level * super().forward(x, shift)


def derivative_of(model: nn.Module, mode: str, directory: Path) -> tuple[float, float]:
    """The numerical derivative along a direction, and that of the gradient."""
    inputs = (torch.linspace(-1, 1, 6), torch.tensor(0.25))
    subject = subject_of(regauge.Case(model, inputs, loss=lambda outputs, _: outputs.sum()))
    skeleton, arrays = flatten_tree(inputs, is_tensor, "inputs")
    save_arrays(directory / "reference.safetensors", {name: leaf.numpy() for name, leaf in arrays.items()})
    files = {"reference": directory / "reference.safetensors"}
    sets = InputSets({"inputs": skeleton, "targets": None, "files": files})
    task = {"mode": mode, "input": "reference", "draws": 1, "steps": [1e-3]}
    _, found = TorchEvaluator(subject, sets, False, directory).derivative(task)
    (direction,) = found["directions"]
    return direction["numeric"][0], direction["slope"]


def test_the_derivative_by_a_weight_without_axes(tmp_path: Path) -> None:
    numeric, slope = derivative_of(Scaled(), "eval", tmp_path)
    assert numeric == pytest.approx(slope, rel=1e-2)
    assert slope != 0


def test_all_losses_of_a_derivative_are_those_of_one_state(tmp_path: Path) -> None:
    numeric, slope = derivative_of(Growing(), "train", tmp_path)
    assert numeric == pytest.approx(slope, rel=1e-2)


class Again(torch.autograd.Function):
    """A weight that is no argument gets its gradient in the backward itself."""

    @staticmethod
    def forward(ctx, x, layer):
        ctx.layer, ctx.x = layer, x.detach()
        with torch.no_grad():
            return layer(x)

    @staticmethod
    def backward(ctx, gradient):
        x = ctx.x.requires_grad_()
        with torch.enable_grad():
            ctx.layer(x).backward(gradient)
        return x.grad, None


def test_gradients_that_a_backward_gives_by_itself_count() -> None:
    torch.manual_seed(0)
    layer, x = nn.Linear(3, 2, bias=False), torch.randn(4, 3, requires_grad=True)
    found = derivatives((Again.apply(x, layer) * layer.weight.sum()).sum(), [x, layer.weight])
    expected = torch.autograd.grad((layer(x) * layer.weight.sum()).sum(), [x, layer.weight])
    torch.testing.assert_close(found, list(expected))
    assert x.grad is layer.weight.grad is None
    assert derivatives(x.sum(), [x, layer.weight])[1] is None
