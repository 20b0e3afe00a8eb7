"""Names of sizes are no names of what the code calls its arguments: `forward(self, batch)` is common."""

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
