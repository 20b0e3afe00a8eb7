"""Sizes in code: formulas, and names, which are none of the arguments' (`forward(self, batch)` is common)."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch
from comparing_jax import assert_same
from like_torch import assert_like_torch
from torch import Tensor, nn

X, Y = np.ones((4, 3), np.float32), np.ones(5, np.float32)


class OfDict(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(3, 2)

    def forward(self, batch: dict[str, Tensor], sequence: tuple[Tensor, ...] = ()) -> tuple[Tensor, ...]:
        x = batch["x"]
        return self.fc(x) + x.new_zeros(x.shape[0], 1), batch["y"] * 2, *(item * 2 for item in sequence)


def test_a_batch_of_torch_that_is_a_dict():
    tensors = {"x": torch.from_numpy(X), "y": torch.from_numpy(Y)}
    made = assert_like_torch(OfDict(), (tensors,))
    assert made({"x": jnp.ones((6, 3)), "y": jnp.ones(7)})[0].shape == (6, 2)
    assert_like_torch(OfDict(), (tensors, (torch.ones(2, 4),)))


def test_a_batch_of_jax():
    def of_array(params, batch):
        return batch @ params["w"] + jnp.zeros((batch.shape[0], 1))

    def of_dict(params, batch):
        return batch["x"] @ params["w"] + jnp.zeros((batch["x"].shape[0], 1)) + batch["y"].sum()

    params = {"w": jnp.ones((3, 2))}
    assert "batch: float32[batch_size, 3]" in assert_same((of_array, params), (X,)).source
    assert_same((of_dict, params), ({"x": X, "y": Y},))


class Countdown(nn.Module):
    """Numbers to and from a size less one, of which rules take differences."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        n = x.shape[0]
        return x * torch.arange(n - 1, -1, -1.0), torch.arange(n - 1, 2 * n - 1, 0.5)


def test_a_rule_computes_with_a_difference_of_sizes():
    made = assert_like_torch(Countdown(), (torch.ones(6),))
    for found, expected in zip(made(jnp.ones(9)), Countdown()(torch.ones(9)), strict=True):
        np.testing.assert_array_equal(found, expected.numpy())


class Filled(nn.Module):
    """Numbers that are computed from a size: floats stay floats, for the dtype that they promote to."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        n = x.shape[0]
        return torch.full((2,), 2 * n - 1.0), torch.full((2,), n - 1), x.int() * (n / 4), x * (n - 1)


def test_numbers_computed_from_a_size_keep_their_kind():
    made = assert_like_torch(Filled(), (torch.ones(6),))
    for found, expected in zip(made(jnp.ones(9)), Filled()(torch.ones(9)), strict=True):
        np.testing.assert_array_equal(found, expected.numpy())
        assert jnp.issubdtype(found.dtype, jnp.floating) == expected.is_floating_point()
