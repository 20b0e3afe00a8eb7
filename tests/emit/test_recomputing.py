"""Functions whose backward runs their forward again, with weights that are no arguments: captured by their forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn
from torch.autograd import Function

import regauge
from regauge.errors import CaptureError

X = torch.linspace(-1, 1, 24).reshape(3, 8)


class Again(Function):
    """Checkpointing by hand, as many libraries write it: the weights are given, and are read by the layer itself."""

    factor = 1.0

    @staticmethod
    def forward(ctx: Any, layer: nn.Module, count: int, *tensors: Tensor) -> Tensor:
        ctx.layer, ctx.inputs, ctx.weights = layer, tensors[:count], tensors[count:]
        with torch.no_grad():
            return layer(*ctx.inputs)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        inputs = [tensor.detach().requires_grad_() for tensor in ctx.inputs]
        with torch.enable_grad():
            output = ctx.layer(*inputs)
        return None, None, *torch.autograd.grad(output, (*inputs, *ctx.weights), gradient * Again.factor)


class Reversed(Function):
    """Layers that are undone in the backward, which gives weights their gradients by itself."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, layers: nn.ModuleList) -> Tensor:
        first, second = x.chunk(2, -1)
        with torch.no_grad():
            for layer in layers:
                first, second = second, first + layer(second)
        ctx.layers = layers
        ctx.save_for_backward(first.detach(), second.detach())
        return torch.cat([first, second], -1)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, ...]:
        first, second = ctx.saved_tensors
        to_first, to_second = gradient.chunk(2, -1)
        for layer in reversed(ctx.layers):
            with torch.enable_grad():
                kept = first.detach().requires_grad_()
                added = layer(kept)
                added.backward(to_second)
            first, second = second - added.detach(), first
            to_first, to_second = to_second, to_first + kept.grad
        return torch.cat([to_first, to_second], -1), None


class Checkpointed(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(8, 8), nn.Tanh()) for _ in range(2)])

    def forward(self, x: Tensor) -> Tensor:
        for layer in self.layers:
            x = Again.apply(layer, 1, x, *layer.parameters())
        return x


class Reversible(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList([nn.Sequential(nn.Linear(4, 4), nn.Dropout(0.0), nn.Tanh()) for _ in range(3)])
        self.norm = nn.LayerNorm(8)

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(Reversed.apply(x, self.layers))


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("model", [Checkpointed, Reversible], ids=lambda model: model.__name__)
def test_gradients_of_weights_too(model: type[nn.Module], train: bool) -> None:
    torch.manual_seed(0)
    assert_like_torch(model(), (X,), train=train)


def test_it_is_said_that_nothing_is_computed_again() -> None:
    findings = regauge.to_jax(Checkpointed(), (X,)).findings
    assert [finding.text.partition(":")[0] for finding in findings if finding.code == "C173"] == [
        "Again runs its forward again for its gradient"
    ]


def test_a_gradient_that_is_not_that_of_the_forward_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Again, "factor", 0.5)
    with pytest.raises(CaptureError, match="is not that of its forward") as caught:
        regauge.to_jax(Checkpointed(), (X,), train=True)
    assert caught.value.code == "C135"


def test_the_model_keeps_its_gradients() -> None:
    model = Checkpointed()
    weight = model.layers[0][0].weight
    weight.grad = torch.ones_like(weight)
    regauge.to_jax(model, (X,))
    assert torch.equal(weight.grad, torch.ones_like(weight))
    assert all(parameter.grad is None for parameter in model.layers[1].parameters())
