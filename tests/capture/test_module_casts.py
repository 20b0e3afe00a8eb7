"""Casts and moves of modules in forward: nothing where they change nothing, refused where they do."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from comparing import assert_captures
from torch import Tensor, nn

from regauge.capture.torch_export import capture_module
from regauge.errors import CaptureError

X = torch.linspace(-1, 1, 12).reshape(4, 3)


class Casts(nn.Module):
    def __init__(self, cast: Callable[[nn.Module, Tensor], nn.Module]) -> None:
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
        self.cast = cast

    def forward(self, x: Tensor) -> Tensor:
        self.layers = self.cast(self.layers, x)
        return self.layers(x)


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize(
    "cast",
    [
        lambda module, x: module.to(torch.float32),
        lambda module, x: module.to(x.device),
        lambda module, x: module.to(x),
        lambda module, x: module.float().cpu(),
        lambda module, x: module.to(memory_format=torch.channels_last),
    ],
    ids=["dtype", "device", "like a tensor", "by name", "memory format"],
)
def test_casts_to_what_is_there_are_nothing(cast: Callable[[nn.Module, Tensor], nn.Module], train: bool) -> None:
    torch.manual_seed(0)
    captured = assert_captures(Casts(cast), (X,), train=train)
    assert not [node.op for node in captured.graph.nodes if node.op.startswith("aten.to.")]


class CastsForAWhile(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(3, 4)

    def forward(self, x: Tensor) -> Tensor:
        y = self.layer.to(torch.bfloat16)(x.to(torch.bfloat16))
        self.layer.to(torch.float32)
        return y


def test_a_cast_that_changes_a_module_is_refused() -> None:
    with pytest.raises(CaptureError, match="casts or moves its module Linear in forward") as caught:
        capture_module(CastsForAWhile(), (X,), train=False)
    assert caught.value.code == "C175"
    assert caught.value.where is not None
    assert "test_module_casts.py" in caught.value.where
    assert "where it is used" in caught.value.next
