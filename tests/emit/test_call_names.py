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


class Quantizer(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.codes = nn.Parameter(torch.linspace(-1, 1, 20).reshape(5, 4))

    def forward(self, z: Any) -> Any:
        flat = z.permute(0, 2, 3, 1).reshape(-1, 4)
        index = torch.cdist(flat, self.codes).argmin(1)
        quantized = self.codes[index].view(z.shape[0], z.shape[2], z.shape[3], 4).permute(0, 3, 1, 2)
        loss = nn.functional.mse_loss(quantized, z)
        quantized = z + (quantized - z).detach()
        return quantized, loss, index


class Autoencoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoder, self.decoder = nn.Conv2d(3, 4, 3), nn.Conv2d(4, 3, 3)
        self.quantizer = Quantizer()

    def forward(self, x: Any) -> Any:
        quantized, loss, index = self.quantizer(self.encoder(x))
        return self.decoder(quantized), loss, index


def test_a_call_takes_and_gives_images_as_in_forward() -> None:
    torch.manual_seed(0)
    source = assert_like_torch(Autoencoder(), (torch.randn(2, 3, 6, 5),)).source
    assert "def __call__(self, z):" in source  # once, not in two orders of axes
    assert "return quantized, loss, index\n" in source
    assert "quantized, loss, index = self.quantizer(" in source


class OneLine(nn.Module):
    def forward(self, x: Any) -> Any:
        # fmt: off
        low = x.sin(); high = low.cos() + low; total = high.sum(0) * high  # noqa: E702
        # fmt: on
        _, best = total.max(1)
        return total * low, best


def test_statements_that_share_a_line_lend_each_other_no_names() -> None:
    source = assert_like_torch(OneLine(), (torch.linspace(-1, 1, 12).reshape(3, 4),)).source
    assert "total" not in source  # which one of them it is, the line does not say


def test_results_that_nothing_reads_are_not_written() -> None:
    source = assert_like_torch(OneLine(), (torch.linspace(-1, 1, 12).reshape(3, 4),)).source
    assert "best = " in source
    assert "_, best" not in source
    assert "take_along_axis" not in source
