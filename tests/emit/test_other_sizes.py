"""Calls of a converted model with sizes that it was not captured with: open ones pass, others warn."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge


class Positions(nn.Module):
    """Adds the position that follows those in a cache, whose length it reads."""

    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Parameter(torch.randn(32, 4, generator=torch.Generator().manual_seed(0)))

    def forward(self, x: Tensor, cache: dict[str, Tensor]) -> Tensor:
        return x + cache["keys"].sum(1) + self.table[cache["keys"].shape[1]]


def inputs(batch: int, length: int) -> tuple[Tensor, dict[str, Tensor]]:
    return torch.ones(batch, 4), {"keys": torch.zeros(batch, length, 4)}


def as_arrays(x: Tensor, cache: dict[str, Tensor]) -> tuple[Any, Any]:
    return x.numpy(), {"keys": cache["keys"].numpy()}


def test_a_size_that_the_code_holds_as_a_number_warns_once_a_trace() -> None:
    converted = regauge.to_jax(Positions(), inputs(2, 7))
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        for _ in range(2):
            converted(*as_arrays(*inputs(2, 8)))
    (text,) = [str(warning.message) for warning in caught]
    assert "cache['keys'] has shape [2, 8, 4], and the model was converted for [batch, 7, 4]" in text
    assert "dynamic=" in text


def test_another_number_of_axes_warns() -> None:
    converted = regauge.to_jax(nn.Linear(4, 3), (torch.ones(2, 4),))
    with pytest.warns(UserWarning, match=r"input has shape \[5, 2, 4\]"):
        converted(np.ones((5, 2, 4), np.float32))


def test_the_pure_function_warns_too() -> None:
    converted = regauge.to_jax(Positions(), inputs(2, 7))
    with pytest.warns(UserWarning, match="sizes that are not symbolic"):
        converted.apply(converted.params, converted.state, *as_arrays(*inputs(2, 3)))


def test_open_sizes_pass() -> None:
    model = Positions()
    dynamic = {"x": {0: torch.export.Dim.AUTO}, "cache": {"keys": {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}}}
    converted = regauge.to_jax(model, inputs(2, 7), dynamic=dynamic)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch, length in ((2, 7), (3, 9), (5, 2)):
            given = inputs(batch, length)
            np.testing.assert_allclose(converted(*as_arrays(*given)), model(*given).detach(), atol=1e-6)
