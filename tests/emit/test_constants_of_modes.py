"""Tensors that a model makes or keeps for itself, which training and evaluation do not share."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge

X = torch.randn(3, 4, generator=torch.Generator().manual_seed(0))


class Base(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 2)
        self.stride, self.other = torch.tensor([4.0, 8.0]), torch.tensor([16.0, 32.0])


class Kept(Base):
    """As detectors keep their strides, without a buffer."""

    def forward(self, x: Tensor) -> Tensor:
        y = self.fc(x)
        return y if self.training else y * self.stride


class KeptInBoth(Base):
    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * (self.other if self.training else self.stride)


class Made(Base):
    """Both captures call their constant by its number, the first."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return self.fc(x) * torch.tensor([1.0, 2.0])
        return self.fc(x) * torch.tensor([4.0, 8.0]) + 1


class MadeAlike(Base):
    """The same operators in both modes."""

    def forward(self, x: Tensor) -> Tensor:
        c = torch.tensor([1.0, torch.nan]) if self.training else torch.tensor([2.0, torch.nan])
        return self.fc(x) * c.nan_to_num(3.0) * torch.tensor([1.0, torch.nan]).nan_to_num(5.0)


class Long(nn.Module):
    """Too long for the source: kept beside the weights."""

    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 99)
        self.p, self.q = torch.rand(99), torch.rand(99)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(x) * (self.p if self.training else self.q + 1)


@pytest.mark.parametrize("case", [Kept, KeptInBoth, Made, MadeAlike, Long])
def test_each_mode_has_its_own(case: type[nn.Module], tmp_path) -> None:
    torch.manual_seed(0)
    model = case()
    converted = regauge.to_jax(model, (X,), train=True)
    for train in (True, False):
        model.train(train)
        (converted.module.train if train else converted.module.eval)()
        np.testing.assert_allclose(converted.module(X.numpy()), model(X).detach().numpy(), rtol=1e-5, atol=1e-6)
    converted.save(tmp_path / "folder")
