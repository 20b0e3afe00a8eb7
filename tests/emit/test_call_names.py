"""Names and order of what module calls take and give are those of the original's forward."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from like_torch import assert_like_torch
from torch import nn

import regauge


class Cross(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.query, self.key = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, states: Any, memory: Any, mask: Any = None, bias: Any = None, **rest: Any) -> Any:
        mask = 1 - mask
        scores = self.query(memory) * mask + bias
        return scores @ self.key(states).T, scores


class Layer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.cross = Cross()

    def forward(self, hidden: Any, angles: Any, context: Any, keep: Any) -> Any:
        return self.cross(hidden, context, mask=keep, bias=angles[0] - angles[1], flag=True)


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = Layer()

    def forward(self, x: Any, keep: Any, context: Any) -> Any:
        cos, sin = torch.cos(x), torch.sin(x)
        outputs = self.layer(x, (cos, sin), context, keep)
        return outputs[1].sum() * outputs[0]


INPUTS = (torch.linspace(-1, 1, 12).reshape(3, 4), torch.ones(3, 4), torch.sin(torch.arange(12.0)).reshape(3, 4))


@pytest.fixture(scope="module")
def source() -> str:
    return regauge.to_jax(Net(), INPUTS).source


def test_arguments_are_named_and_ordered_as_in_forward(source: str) -> None:
    assert "def __call__(self, states, memory, mask, bias):" in source
    assert "self.query(memory)" in source
    assert "self.key(states)" in source
    assert "def __call__(self, hidden, context, keep, cos, sin):" in source  # what a container holds comes last
    assert "self.cross(hidden, context, keep, cos - sin)" in source


def test_results_have_the_names_and_the_order_of_forward(source: str) -> None:
    assert "return x, scores\n" in source
    assert "cross, scores = self.cross(" in source
    assert "layer, scores = self.layer(" in source
    assert "return scores.sum() * layer" in source


def test_it_is_the_same_function() -> None:
    assert_like_torch(Net(), INPUTS)
