"""Modules that read their arguments in another order in training than in evaluation."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge


class Parts(nn.Module):
    """Arguments that have no names of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)

    def forward(self, *parts: Tensor) -> Tensor:
        if self.training:
            return parts[2].exp() * parts[0] - self.layer(parts[1])
        return self.layer(parts[1]) + parts[0] * parts[2].exp()


class Passes(nn.Module):
    """Gives a module arguments of which one is made otherwise in training."""

    def __init__(self) -> None:
        super().__init__()
        self.parts = Parts()

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        first = x.sin() if self.training else x.cos()
        return self.parts(first, y * 2, y.tanh())


@pytest.mark.parametrize("train", [True, False])
def test_both_modes_take_the_same_arguments(train: bool) -> None:
    torch.manual_seed(0)
    model, inputs = Passes(), (torch.randn(3, 4), torch.randn(3, 4))
    converted = regauge.to_jax(model, inputs, train=True)
    if not train:
        converted.module.eval()
    found = converted.module(*(tensor.numpy() for tensor in inputs))
    np.testing.assert_allclose(found, model.train(train)(*inputs).detach().numpy(), rtol=1e-5, atol=1e-6)
