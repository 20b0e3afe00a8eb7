"""Autocast regions and models in half precision: dtypes are torch's, values as near as the precision lets them be."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import CaptureError

X = torch.linspace(-1, 1, 20).reshape(5, 4)
# One unit in the last place of bfloat16 is 0.8 %, of float16 0.1 %; a few operators follow each other.
HALF = {torch.bfloat16: 3e-2, torch.float16: 4e-3}


class Region(nn.Module):
    """Operators that cast down, that cast up, that take the widest, and that take what they get."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.dtype = dtype
        self.linear = nn.Linear(4, 4)
        self.norm = nn.LayerNorm(4)

    def forward(self, x: Tensor):
        with torch.autocast("cpu", dtype=self.dtype):
            y = self.linear(x)
            products = torch.einsum("ij,kj->ik", x, x) + x @ x.T
            widest = torch.cat([y, x])
            attention = F.scaled_dot_product_attention(x[None], x[None], x[None])
            with torch.autocast("cpu", enabled=False):
                outside = self.linear(x + 1)
            rest = F.gelu(y), y * x, F.mse_loss(y, x), self.norm(y)
        return self.linear(y.float()), products, widest, attention, outside, *rest


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_a_region_casts_what_torch_casts(dtype):
    torch.manual_seed(0)
    assert_like_torch(Region(dtype), (X,), tolerance=HALF[dtype])


class Decorated(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 4))

    @torch.autocast("cpu", dtype=torch.bfloat16)
    def forward(self, x: Tensor) -> Tensor:
        return x + self.net(x)


def test_layers_inside_are_layers_with_a_dtype():
    torch.manual_seed(0)
    converted = assert_like_torch(Decorated(), (X,), tolerance=HALF[torch.bfloat16])
    assert "nnx.Linear(4, 8, dtype=jnp.bfloat16, rngs=rngs)" in converted.source
    assert "class Linear" not in converted.source


class Images(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Conv2d(1, 4, 3, padding=1)
        self.second = nn.Conv2d(4, 2, 3, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.second(F.relu(self.first(x)))


def test_convolutions_inside():
    torch.manual_seed(0)
    assert_like_torch(Images(), (torch.randn(2, 1, 6, 6),), tolerance=HALF[torch.bfloat16])


class Recurrent(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.lstm = nn.LSTM(4, 3)

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.lstm(x)[0]


def test_recurrent_layers_inside_are_refused():
    with pytest.raises(CaptureError, match=r"aten.lstm.input runs inside torch.autocast") as caught:
        regauge.to_jax(Recurrent(), (torch.randn(3, 2, 4),))
    assert caught.value.code == "C132"


class Wide(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3).double()

    def forward(self, x: Tensor) -> Tensor:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            return self.layer(x.double()).float()


def test_float64_inside_stays_float64():
    assert "bfloat16" not in regauge.to_jax(Wide(), (X,)).source


class Half(nn.Module):
    """A model whose weights are in half precision."""

    def __init__(self, dtype: torch.dtype) -> None:
        super().__init__()
        self.net = nn.Sequential(nn.Linear(4, 8), nn.LayerNorm(8), nn.GELU(), nn.Linear(8, 4))
        self.conv = nn.Conv2d(1, 2, 3, padding=1)
        self.to(dtype)
        self.dtype = dtype

    def forward(self, x: Tensor):
        x = x.to(self.dtype)
        return self.net(x), self.conv(x[None, None])[0].float(), torch.softmax(x, -1), x.sum(), x.float().mean()


@pytest.mark.parametrize("dtype", HALF, ids=str)
def test_models_in_half_precision(dtype):
    torch.manual_seed(0)
    assert_like_torch(Half(dtype), (X,), tolerance=HALF[dtype])
