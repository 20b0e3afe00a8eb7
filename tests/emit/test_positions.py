"""Masks of positions: written as triangles and new axes, and only where they are that."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge


class Masked(nn.Module):
    """x: float32[batch, time], padding: int64[rows, time]  ->  float32[batch, 1, time, time], -1 where masked."""

    def __init__(self, kind: str) -> None:
        super().__init__()
        self.kind = kind

    def forward(self, x: Tensor, padding: Tensor) -> Tensor:
        batch, time = x.shape
        rows = torch.arange(batch)[:, None, None, None]
        queries, keys = torch.arange(time)[None, None, :, None], torch.arange(time)[None, None, None, :]
        everywhere = queries.new_ones((), dtype=torch.bool)
        if self.kind == "causal":
            everywhere = everywhere & (keys <= queries)
        elif self.kind == "strict":
            everywhere = everywhere & (keys < queries)
        elif self.kind == "all":
            everywhere = everywhere & (queries >= 0)
        elif self.kind == "some":
            everywhere = everywhere & (queries >= 2)
        elif self.kind == "across":
            everywhere = everywhere & (queries <= keys)
        scores = x[:, None, :, None] * x[:, None, None, :]
        return torch.where(everywhere & padding.bool()[rows, keys], scores, -1.0)


@pytest.mark.parametrize("kind", ["causal", "strict", "all", "some", "across"])
def test_masks_are_what_they_were(kind: str) -> None:
    torch.manual_seed(0)
    model = Masked(kind).eval()
    converted = regauge.to_jax(model, (torch.randn(3, 5), torch.randint(0, 2, (3, 5))))
    assert ("jnp.tril(" in converted.source) == (kind == "causal")
    assert re.search(r"padding\.astype\(bool\)\[:(batch)?, None, None(, :5)?\]", converted.source)
    for batch, time in ((3, 5), (2, 5), (4, 5)):
        given = torch.randn(batch, time), torch.randint(0, 2, (batch, time))
        np.testing.assert_array_equal(converted(*(x.numpy() for x in given)), model(*given).numpy())


class Corner(nn.Module):
    """The rows of a table that belong to the first positions, read one by one."""

    def forward(self, table: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
        positions = torch.arange(x.shape[1])
        return table[positions] + x.sum(0)[:, None], table[positions[:, None], positions[None]]


def test_reading_fewer_positions_than_there_are_cuts() -> None:
    table, x = torch.randn(9, 9), torch.randn(2, 4)
    converted = regauge.to_jax(Corner().eval(), (table, x))
    for found, expected in zip(converted(table.numpy(), x.numpy()), Corner()(table, x), strict=True):
        np.testing.assert_allclose(found, expected.numpy(), rtol=1e-6)
