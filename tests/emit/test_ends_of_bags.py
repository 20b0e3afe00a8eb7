"""`nn.EmbeddingBag(include_last_offset=True)` whose last offset is before the end of the indices.

Sums alone: torch 2.13 divides the mean of the last bag by all that follow its start, and its maximum reads beyond it.
"""

from __future__ import annotations

import numpy as np
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn


class Bags(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.bag = nn.EmbeddingBag(5, 3, mode="sum", include_last_offset=True)

    def forward(self, indices: Tensor, offsets: Tensor) -> Tensor:
        return self.bag(indices, offsets)


def test_indices_behind_the_last_offset_are_in_no_bag() -> None:
    torch.manual_seed(0)
    model = Bags()
    indices = torch.tensor([1, 2, 3, 0, 1])
    converted = assert_like_torch(model, (indices, torch.tensor([0, 2, 3])))
    for offsets in ([0, 2, 5], [0, 1, 1], [0, 4, 4]):
        expected = model(indices, torch.tensor(offsets)).detach()
        np.testing.assert_allclose(converted(indices.numpy(), np.array(offsets)), expected, atol=1e-6)
