"""Numbers that Python makes of sizes, `int(n / 2)` and the like, stay sizes where they are the same for every size."""

from __future__ import annotations

import itertools
import math
from functools import partial

import numpy as np
import torch
from comparing import assert_captures
from torch import Tensor, nn
from torch.export import Dim

from regauge.capture.torch_export import capture_module
from regauge.ir.graph import Sym


def codes(captured):
    return [finding.code for finding in captured.graph.findings]


def ids(batch: int, length: int) -> tuple[Tensor]:
    return (torch.arange(batch * length).reshape(batch, length),)


class Numbers(nn.Module):
    """Sizes of tokens, as Python's numbers: each in a line of its own."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        batch, length = x.shape
        zeros = x.new_zeros
        return (
            zeros(int(batch / 2)),
            zeros(int(batch * length / 3)),
            zeros(int(length / batch)),
            zeros(int(batch)),
            zeros(int(0.75 * length)),
            zeros(int(length // 2.0)),
            zeros(int(np.ceil(length / 2))),
            zeros(round(length / 2)),
            zeros(round(length / 3) + round(length * 1.5)),
            zeros(math.trunc(length / 4)),
            x.reshape(int(np.prod(x.shape))),
            zeros(tuple(map(int, x.shape))),
            zeros(x.shape.numel() + len(x)),
            zeros(divmod(length, 3)),
            zeros(abs(batch - length)),
            zeros(batch) * float(length),
            x / float(len(x)) + np.sqrt(length),
            x / math.sqrt(length / 2),
            torch.linspace(-1, 1, length) + torch.linspace(0, batch - 0.5, steps=length, dtype=torch.float64),
            torch.as_tensor([batch, length]) * torch.as_tensor(x.shape),
        )


def test_numbers_of_sizes_stay_symbolic():
    captured = assert_captures(Numbers(), ids(4, 8), train=False, others=(ids(7, 5), ids(2, 9), ids(5, 17), ids(9, 3)))
    assert [symbol.name for symbol in captured.graph.symbols] == ["batch", "sequence"]
    assert codes(captured) == []


def windows(x: Tensor, size: int) -> Tensor:
    batch, height, width, channels = x.shape
    x = x.view(batch, height // size, size, width // size, size, channels)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(-1, size, size, channels)


def windows_back(parts: Tensor, size: int, height: int, width: int) -> Tensor:
    batch = int(parts.shape[0] / (height * width / size / size))
    x = parts.view(batch, height // size, width // size, size, size, -1)
    return x.permute(0, 1, 3, 2, 4, 5).contiguous().view(batch, height, width, -1)


class Shifted(nn.Module):
    """Windows of an image, as Swin makes them, and back to an image by the number of windows."""

    def __init__(self) -> None:
        super().__init__()
        self.mix = nn.Linear(7 * 7 * 2, 7 * 7 * 2)

    def forward(self, x: Tensor) -> Tensor:
        height, width = x.shape[1:3]
        assert height % 7 == 0, "whole windows only"
        assert width % 7 == 0, "whole windows only"
        parts = windows(x.roll((-3, -3), (1, 2)), 7)
        return windows_back(self.mix(parts.flatten(1)), 7, height, width).roll((3, 3), (1, 2))


def test_the_batch_of_windows_stays_symbolic():
    x = torch.randn(3, 14, 21, 2)
    captured = assert_captures(Shifted(), (x,), train=True, others=((x[:2],), (torch.randn(5, 14, 21, 2),)))
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 14, 21, 2)
    assert codes(captured) == []


def test_image_sizes_of_windows_are_fixed_before_the_batch():
    asked = {"x": dict.fromkeys(range(3), Dim.AUTO)}
    captured = capture_module(Shifted(), (torch.randn(3, 14, 21, 2),), train=False, dynamic=asked)
    assert captured.graph.inputs[0].spec.shape[0] == Sym("batch")
    assert all("test_size_numbers.py:" in finding.text for finding in captured.graph.findings)


def test_calls_in_closures_and_comprehensions():
    class Nested(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            def half(size: int) -> int:
                return int(size / 2)

            return torch.cat([x[: half(size)] for size in x.shape for _ in range(int(x.shape[1]))])

    captured = assert_captures(Nested(), (torch.rand(4, 3),), train=False, others=((torch.rand(7, 3),),))
    assert captured.graph.inputs[0].spec.shape == (Sym("batch"), 3)


def test_a_name_that_is_not_python_s_keeps_its_meaning():
    class Own(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            int = partial(min, 3)
            return x[: int(x.shape[0])] * float(x.shape[0])

    assert_captures(Own(), (torch.rand(4, 3),), train=False, others=((torch.rand(7, 3),), (torch.rand(2, 3),)))


def test_a_number_that_python_needs_stays_one():
    class Table(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            factors = [1.0, 2.0, 3.0, 4.0]
            return x * factors[int(x.shape[0] / 2)]

    captured = assert_captures(Table(), (torch.rand(4, 3),), train=False)
    assert codes(captured) == ["C110"]
    assert "test_size_numbers.py:" in captured.graph.findings[0].text


def test_code_that_wants_a_number_of_python_gets_one():
    class Strict(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            half = int(x.shape[0] / 2)
            if not isinstance(half, int):
                raise TypeError("half is a number")
            return x[:half] * 2

    captured = assert_captures(Strict(), (torch.rand(4, 3),), train=False)
    assert captured.graph.inputs[0].spec.shape == (4, 3)
    assert "test_size_numbers.py:" in captured.graph.findings[0].text


def test_quotients_of_large_sizes_are_those_of_floats():
    """For sizes up to the largest that `capture.whole_quotients` speaks of."""
    sizes = [2**32 - k for k in range(1, 40)] + [2**31 + k for k in (-1, 0, 1)]
    for a, b in itertools.product(sizes, [1, 2, 3, 5, 7, 49, 2**16 - 1, *sizes[:5]]):
        assert int(a / b) == a // b
        assert math.ceil(a / b) == (a + b - 1) // b
        assert round(a / b) == (2 * a + b - 1 + a // b % 2) // (2 * b)
        for c in (2, 7, 49.0):
            assert int(a / b / c) == a // (b * int(c))
