"""`nn.AdaptiveLogSoftmaxWithLoss`: clusters for all rows have the values and gradients of those for some."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import nn


class Words(nn.Module):
    def __init__(self, head_bias: bool) -> None:
        super().__init__()
        self.words = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 12], div_value=2.0, head_bias=head_bias)

    def forward(self, x: Any, target: Any) -> Any:
        output, loss = self.words(x, target)
        return output, loss, self.words.log_prob(x), self.words.predict(x)


@pytest.mark.parametrize("target", [[0, 4, 5, 11, 12, 19], [1, 2, 3, 1, 2, 3], [13, 14, 19, 12, 13, 14]])
def test_all_clusters_for_all_rows(target: list[int]) -> None:
    torch.manual_seed(0)
    model, x = Words(head_bias=target[0] == 0), torch.randn(6, 8) * 3
    made = assert_like_torch(model, (x, torch.tensor(target)))
    assert "C220" in {finding.code for finding in made.findings}
    found_all = made(jnp.asarray(x[:2]), jnp.array([7, 3]))
    for found, expected in zip(found_all, model(x[:2], torch.tensor([7, 3])), strict=True):
        np.testing.assert_allclose(found, expected.detach().numpy(), rtol=1e-5, atol=1e-5)


class Word(nn.Module):
    """Its second cluster has a layer of no features, 8 // 4**2."""

    def __init__(self) -> None:
        super().__init__()
        self.words = nn.AdaptiveLogSoftmaxWithLoss(8, 20, [5, 12])

    def forward(self, x: Any, target: Any) -> Any:
        return self.words(x, target).output


@pytest.mark.filterwarnings("ignore:Initializing zero-element tensors")
def test_one_row_without_a_batch() -> None:
    torch.manual_seed(0)
    assert_like_torch(Word(), (torch.randn(8), torch.tensor(9)))
