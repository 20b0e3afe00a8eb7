"""Embeddings that divide the gradient of a row by how often it occurs, as layers: no layer of Flax does."""

from __future__ import annotations

import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn


class Words(nn.Module):
    def __init__(self, **options: bool | int) -> None:
        super().__init__()
        self.words = nn.Embedding(4, 3, **options)

    def forward(self, ids: Tensor) -> Tensor:
        return self.words(ids).sin()


@pytest.mark.parametrize("train", [True, False])
@pytest.mark.parametrize("options", [{}, {"padding_idx": 1}], ids=str)
def test_rows_that_occur_often_get_their_share(options: dict[str, int], train: bool) -> None:
    torch.manual_seed(0)
    ids = torch.tensor([[1, 1, 1, 2], [0, 1, 2, 3]])
    assert_like_torch(Words(scale_grad_by_freq=True, **options), (ids,), train=train)
