"""Integers of 64 bits under both settings of JAX: the same numbers, or it is refused or said what differs."""

from __future__ import annotations

from collections.abc import Callable

import jax
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge
from regauge.errors import UnsupportedOps

FAR = 2**40
COUNTS = torch.arange(4)


class Computes(nn.Module):
    """A function as a model, with a table of integers that it may read."""

    def __init__(self, function: Callable[..., Tensor], table: Tensor | None = None) -> None:
        super().__init__()
        self.function = function
        self.register_buffer("table", table)

    def forward(self, x: Tensor) -> Tensor:
        return self.function(x) if self.table is None else self.function(x, self.table)


def codes(model: nn.Module, x: Tensor) -> set[str]:
    return {finding.code for finding in regauge.to_jax(model, (x,)).findings}


REFUSED = {
    "product": lambda x: x * 3_000_000_000,
    "comparison": lambda x: x < FAR,
    "bound": lambda x: x.clamp(max=FAR),
    "masked": lambda x: x.masked_fill(x > 2, torch.iinfo(torch.int64).max),
    "filled": lambda x: x.new_full((3,), FAR),
}


@pytest.mark.parametrize("name", REFUSED)
def test_numbers_that_int32_does_not_hold_are_refused_with_the_line(name: str) -> None:
    with pytest.raises(UnsupportedOps) as refused:
        regauge.to_jax(Computes(REFUSED[name]), (COUNTS,))
    (gap,) = refused.value.details
    assert "a number beyond 32 bits" in gap
    assert "torch.iinfo(torch.int32).max" in gap
    assert "test_widths.py:" in gap


def test_all_of_them_are_refused_at_once() -> None:
    with pytest.raises(UnsupportedOps) as refused:
        regauge.to_jax(Computes(lambda x: (x * FAR).clamp(max=FAR) + x.new_full((4,), FAR)), (COUNTS,))
    assert len(refused.value.details) == 3


def test_a_tensor_in_the_source_that_int32_does_not_hold() -> None:
    with pytest.raises(UnsupportedOps, match="holds numbers beyond 32 bits") as refused:
        regauge.to_jax(Computes(lambda x: x + torch.tensor([FAR])), (COUNTS,))
    assert str(FAR) in refused.value.received
    assert "64-bit mode" in refused.value.why


WRITTEN = {"tensor": lambda x: x + torch.tensor([FAR])}


@pytest.mark.parametrize("name", REFUSED | WRITTEN)
def test_in_the_64_bit_mode_they_are_what_they_are(name: str) -> None:
    function = (REFUSED | WRITTEN)[name]
    with jax.enable_x64(True):
        converted = regauge.to_jax(Computes(function), (COUNTS,))
        found, expected = np.asarray(converted(COUNTS.numpy())), function(COUNTS).numpy()
    assert found.dtype == expected.dtype
    np.testing.assert_array_equal(found, expected)


def test_tables_and_inputs_that_int32_does_not_hold_are_named() -> None:
    table = Computes(lambda x, table: (x + table) % 7, torch.tensor([1, FAR, 3, 4]))
    assert "C164" in codes(table, COUNTS)
    (finding,) = (f for f in regauge.to_jax(Computes(lambda x: x % 7), (COUNTS - FAR,)).findings if f.code == "C164")
    assert finding.text.startswith("inputs.0 ")
    assert "jax_enable_x64" in finding.text
    assert "C164" not in codes(Computes(lambda x, table: x + table, COUNTS), COUNTS)


@pytest.mark.parametrize(
    ("function", "x", "expected"),
    [
        (lambda x: x.argmax(-1), torch.randn(3, 4), {"R121"}),
        (lambda x: (x > 0).any(-1), torch.randn(3, 4), set()),
        (lambda x: (x * x).float(), COUNTS, {"R122"}),
        (lambda x: (x + 1).float(), COUNTS, set()),
        (lambda x: (x.double() / 3).float(), torch.randn(3, 4), {"R120"}),
        (lambda x: x / 3, torch.randn(3, 4).double(), {"R120"}),
        (lambda x: x.to(torch.int32) * 3, COUNTS, set()),
    ],
    ids=["results", "booleans", "products", "sums", "float64 inside", "float64", "int32"],
)
def test_what_is_narrower_in_jax_is_said(function: Callable[..., Tensor], x: Tensor, expected: set[str]) -> None:
    assert {code for code in codes(Computes(function), x) if code.startswith("R")} == expected


@pytest.mark.parametrize("wide", [False, True])
def test_integers_and_booleans_under_both_settings(wide: bool) -> None:
    """Values of int32's range are the same; only int64 is narrower, and only where JAX has none."""

    def several(x: Tensor) -> dict[str, Tensor]:
        return {
            "divided": x // 3,
            "true division": x / 3,
            "remainder": x % 3,
            "bytes": x.to(torch.uint8) - 10,
            "shorts": x.to(torch.int16) * 30000,
            "sum of booleans": (x > 0).sum(),
            "two booleans": (x > 0) + (x < 2),
            "sum of bytes": x.to(torch.int8).sum(),
            "running": x.to(torch.int32).cumsum(0),
            "shifted": x << 3,
            "inverted": ~x,
        }

    x = torch.arange(-4, 5)
    with jax.enable_x64(wide):
        found = regauge.to_jax(Computes(several), (x,))(x.numpy())
        for name, expected in several(x).items():
            dtype = str(expected.dtype).removeprefix("torch.")
            assert str(found[name].dtype) == (dtype if wide else dtype.replace("int64", "int32")), name
            np.testing.assert_allclose(np.asarray(found[name]), expected.numpy(), rtol=1e-6, err_msg=name)
