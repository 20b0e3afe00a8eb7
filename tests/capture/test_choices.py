"""The attributes by which a module's own code chooses what it does."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn

from regauge.capture.choices import settings
from regauge.capture.torch_export import capture_module
from regauge.ir.serial import graph_from_json, graph_to_json


class Base(nn.Module):
    mode = "mean"

    def pooled(self, x: Tensor) -> Tensor:
        return x.mean(0) if self.mode == "mean" else x.sum(0)


class Choosing(Base):
    def __init__(self, shift: int = 0) -> None:
        super().__init__()
        self.linear = nn.Linear(4, 4)
        self.width, self.shift, self.causal, self.unread = 4, shift, True, True
        self.rate, self.limit = 0.5, None
        if self.unread:  # a constructor's choice is no choice of the call
            self.width = 4

    def forward(self, x: Tensor) -> Tensor:
        x = self.masked(self.linear(x), causal=self.causal)
        if self.training or self.shift > 0:
            x = x.roll(self.shift, 0)
        if self.limit is not None:
            x = x.clamp(max=self.limit)
        return self.pooled(x) * self.width * self.rate

    def masked(self, x: Tensor, causal: bool) -> Tensor:
        return x.tril() if causal else x


def test_conditions_come_first_and_truth_values_count() -> None:
    found = settings(Choosing(2))
    assert dict(found) == {"shift": 2, "limit": None, "mode": "mean", "causal": True}
    assert [name for name, _ in found].index("causal") == 3


class Failing(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.causal = True

    @property
    def kind(self) -> str:
        raise RuntimeError("no kind yet")

    def forward(self, x: Tensor) -> Tensor:
        return x.tril() if self.causal else x

    def described(self, x: Tensor) -> Tensor:
        return x if self.kind == "none" else -x


def test_properties_are_not_asked() -> None:
    assert settings(Failing()) == (("causal", True),)
    assert capture_module(Failing(), (torch.zeros(3, 3),), train=False).graph.nodes


def test_layers_of_torch_have_none() -> None:
    assert settings(nn.MultiheadAttention(4, 2)) == ()


def test_a_class_without_a_file_has_none() -> None:
    space: dict[str, Any] = {"nn": nn}
    exec("class Written(nn.Module):\n    def forward(self, x):\n        return x if self.training else -x", space)
    assert settings(space["Written"]()) == ()


class Holding(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Choosing(0), Choosing(1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return self.first(x), self.second(x)


def test_a_captured_graph_has_them_also_from_a_file() -> None:
    graph = capture_module(Holding(), (torch.zeros(3, 4),), train=False).graph
    for kept in (graph, graph_from_json(graph_to_json(graph))):
        shifts = {call.key: dict(call.settings).get("shift") for call in kept.calls}
        assert [shift for key, shift in shifts.items() if key.endswith("first")] == [0]
        assert [shift for key, shift in shifts.items() if key.endswith("second")] == [1]
