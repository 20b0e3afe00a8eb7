"""The torch side of a check: derivatives of models with state, of weights without axes, of a backward of its own."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from torch import nn

import regauge
from regauge.run.array_files import save_arrays
from regauge.run.evaluation import InputSets
from regauge.run.protocol import flatten_tree
from regauge.run.torch_arithmetic import perturb_gradients, perturbed
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


class Centred(nn.Module):
    """Outputs that read the average which the call writes: a new buffer in the place of the old one, or in place."""

    centre: torch.Tensor

    def __init__(self, replaces: bool) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.tensor(0.5))
        self.register_buffer("centre", torch.zeros(()))
        self.replaces = replaces

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = (self.scale * x - self.centre).exp()
        moved = 0.5 * self.centre + 0.5 * y.detach().mean()
        if self.replaces:
            self.centre = moved
        else:
            self.centre.data.copy_(moved)
        return y


def evaluator(model: nn.Module, inputs: tuple[torch.Tensor, ...], tmp_path: Path) -> TorchEvaluator:
    subject = subject_of(regauge.Case(model, inputs, loss=lambda outputs, _: outputs.sum()))
    skeleton, arrays = flatten_tree(inputs, is_tensor, "inputs")
    save_arrays(tmp_path / "reference.safetensors", {name: leaf.numpy() for name, leaf in arrays.items()})
    files = {"reference": tmp_path / "reference.safetensors"}
    sets = InputSets({"inputs": skeleton, "targets": None, "files": files})
    return TorchEvaluator(subject, sets, False, tmp_path)


def test_the_derivative_by_a_weight_without_axes(tmp_path: Path) -> None:
    task = {"mode": "eval", "input": "reference", "draws": 1, "steps": [1e-3]}
    inputs = (torch.linspace(-1, 1, 6), torch.tensor(0.25))
    _, found = evaluator(Scaled(), inputs, tmp_path).derivative(task)
    (direction,) = found["directions"]
    assert direction["numeric"][0] == pytest.approx(direction["slope"], rel=1e-2)
    assert direction["slope"] != 0


@pytest.mark.parametrize("replaces", [True, False], ids=["replaced", "in place"])
def test_every_loss_of_a_derivative_has_the_state_that_the_model_came_with(replaces: bool, tmp_path: Path) -> None:
    model = Centred(replaces)
    task = {"mode": "train", "input": "reference", "draws": 1, "steps": [1e-3]}
    _, found = evaluator(model, (torch.linspace(-1, 1, 6),), tmp_path).derivative(task)
    (direction,) = found["directions"]
    assert direction["numeric"][0] == pytest.approx(direction["slope"], rel=1e-2)
    assert model.centre.item() == 0


def test_a_weight_without_axes_is_moved_by_one_unit_in_its_last_place() -> None:
    model = Scaled()
    with perturbed(model, 3):
        assert abs(model.scale.item() - 0.5) == 0.5 * torch.finfo(torch.float32).eps


def test_what_comes_back_to_the_outputs_is_moved_by_one_unit_in_its_last_place() -> None:
    bias = torch.zeros(3, requires_grad=True)
    y = bias + torch.ones(4, 3)
    outputs = {"y": y, "again": (y, torch.arange(2))}
    given = torch.linspace(0.5, 1.5, 12).reshape(4, 3)
    perturb_gradients(outputs, 5)
    (moved,) = torch.autograd.grad((y * given).sum(), [y], retain_graph=True)
    unit = torch.finfo(torch.float32).eps
    assert set(((moved.double() / given.double() - 1) / unit).round().flatten().tolist()) == {-1.0, 1.0}
    (by_bias,) = torch.autograd.grad((y * given).sum(), [bias])
    torch.testing.assert_close(by_bias, moved.sum(0))


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
