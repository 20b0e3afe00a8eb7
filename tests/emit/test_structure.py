"""How models are put together: shared parts, containers, inputs and outputs of every kind; values and gradients."""

from __future__ import annotations

import dataclasses
from collections import OrderedDict

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge

X = torch.linspace(-1, 1, 20).reshape(5, 4)
Y = torch.sin(torch.arange(20.0)).reshape(5, 4)  # not even around its mean, where batch norm would meet a kink


class Shared(nn.Module):
    """One layer under two names and called three times, one weight in two layers, containers in containers."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Embedding(11, 4)
        self.first = nn.Linear(4, 4)
        self.second = self.first
        self.head = nn.Linear(4, 11, bias=False)
        self.head.weight = self.embed.weight
        deepest = nn.ModuleDict({"x": nn.Linear(4, 4), "y-z": nn.Linear(4, 4)})
        self.deep = nn.ModuleDict({"a": nn.ModuleList([nn.Linear(4, 4), nn.ModuleList([nn.Linear(4, 4), deepest])])})
        self.scales = nn.ParameterList([nn.Parameter(torch.full((4,), 0.5 + i)) for i in range(3)])
        self.shifts = nn.ParameterDict({"s": nn.Parameter(torch.ones(4)), "t": nn.Parameter(torch.arange(4.0))})

    def forward(self, i: Tensor) -> Tensor:
        x = self.embed(i)
        x = self.second(torch.relu(self.first(self.first(x))))
        x = self.deep["a"][0](x)
        inner = self.deep["a"][1]
        x = x + inner[0](x) * inner[1]["x"](x) + inner[1]["y-z"](x)
        for scale in self.scales:
            x = x * scale
        return self.head(x + self.shifts["s"] * self.shifts["t"])


class Siamese(nn.Module):
    """A network that is called twice, and a part of it once more by itself."""

    def __init__(self) -> None:
        super().__init__()
        self.encode = nn.Sequential(nn.Linear(4, 6), nn.BatchNorm1d(6), nn.ReLU())
        self.head = nn.Linear(6, 2)

    def forward(self, a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        return self.head(self.encode(a)) - self.head(self.encode(b)), self.encode[0](a + b)


@dataclasses.dataclass
class Result:
    logits: Tensor
    hidden: Tensor
    loss: Tensor | None = None


class GivesDataclass(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor) -> Result:
        hidden = torch.tanh(x)
        return Result(self.layer(hidden), hidden)


class GivesDict(GivesDataclass):
    def forward(self, x: Tensor):  # type: ignore[override]
        hidden = torch.tanh(x)
        return OrderedDict(logits=self.layer(hidden), aux=[hidden, (hidden * 2, None)], count=3)


class GivesSizes(GivesDataclass):
    def forward(self, x: Tensor):  # type: ignore[override]
        return self.layer(x), len(x), {"twice": 2 * x.shape[0], "features": x.shape[1]}


class TakesTrees(nn.Module):
    """Numbers, None, switches and containers among the inputs."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x, times, extra=None, shift=True, pair=None):
        y = self.layer(x) * times
        if extra is not None:
            y = y + extra
        return y + pair[0] * pair[1]["k"] if shift else y


class Complex(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.real = nn.Parameter(torch.linspace(-1, 1, 12).reshape(4, 3))
        self.imaginary = nn.Parameter(torch.linspace(2, 1, 12).reshape(4, 3))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        z = torch.fft.fft(x) @ torch.complex(self.real, self.imaginary)
        z = z * torch.exp(1j * z.angle()) + z.conj() * 0.5
        return torch.view_as_real(z).sum(-1), z.abs(), torch.fft.ifft(z).real


class Einsum(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.linspace(-1, 1, 24).reshape(4, 2, 3))

    def forward(self, x: Tensor, y: Tensor):
        q = torch.einsum("bi,ihd->bhd", x, self.weight)
        k = torch.einsum("b i, i h d -> b h d", y, self.weight)
        a = torch.einsum("bhd,chd->hbc", q, k).softmax(-1)
        return (
            torch.einsum("hbc,chd->bhd", a, k),
            torch.einsum("ii->", x[:4] @ y[:4].T),
            torch.einsum("...i,...i", x, y),
        )


class Linalg(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Parameter(torch.sin(torch.arange(16.0)).reshape(4, 4) + 4 * torch.eye(4))

    def forward(self, x: Tensor):
        s = self.a @ self.a.T + torch.eye(4)
        q, r = torch.linalg.qr(self.a)
        return (
            torch.linalg.cholesky(s),
            torch.linalg.solve(s, x.T),
            torch.linalg.inv(self.a),
            torch.linalg.slogdet(s)[1],
            torch.linalg.eigvalsh(s),
            q @ r,
            torch.linalg.svdvals(self.a),
            torch.linalg.matrix_exp(self.a * 0.1),
        )


class Collects(nn.Module):
    """Lists, dicts and functions of Python on the way."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.ModuleList(nn.Linear(4, 4) for _ in range(3))

    def forward(self, x: Tensor):
        kept, features = [], {}
        for number, layer in enumerate(self.layers):
            x = torch.relu(layer(x)) + number
            kept.append(x)
            features[f"f{number}"] = x.mean()

        def mixed(*parts: Tensor) -> Tensor:
            return sum(parts) / len(parts)

        return mixed(*kept), torch.stack(list(features.values())), {"features": features}


class OneParts(nn.Module):
    """Splits into one part."""

    def forward(self, x: Tensor):
        (a,) = torch.split(x, 4, dim=1)
        (b,) = x[:, :1].unbind(1)
        (c,) = x.chunk(1)
        (d,) = torch.split(x, [4], dim=1)
        (e,) = torch.meshgrid(x[0], indexing="ij")
        return a * 2 + c + d + e, b, torch.tensor_split(x, 1)[0] * 3


class Places(nn.Module):
    """x: float32[batch, 4], rows: bool[batch], values: float32[number of True, 4]: rows are written in place."""

    def __init__(self) -> None:
        super().__init__()
        self.embed = nn.Linear(4, 4)

    def forward(self, x: Tensor, rows: Tensor, values: Tensor):
        y = self.embed(x)
        y[rows] = values
        y[:, 0][rows] = values[:, 1] * 2
        y[rows, 2] = values[:, 3]
        return y


CASES = {
    "shared": (Shared, (torch.arange(15).reshape(5, 3) % 11,)),
    "siamese": (Siamese, (Y, Y.flip(0) * 2)),
    "dataclass": (GivesDataclass, (X,)),
    "dict": (GivesDict, (X,)),
    "trees": (TakesTrees, (X, 3, None, True, (torch.ones(3), {"k": X[:, :3]}))),
    "trees, other switch": (TakesTrees, (X, 2, X[:, :3], False)),
    "complex": (Complex, (X,)),
    "einsum": (Einsum, (X, X.flip(0))),
    "linalg": (Linalg, (X,)),
    "collects": (Collects, (X,)),
    "one part": (OneParts, (X,)),
    "rows by a mask": (Places, (X, torch.arange(len(X)) % 2 == 1, X[: len(X) // 2] * 3)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    make, inputs = CASES[name]
    torch.manual_seed(0)
    assert_like_torch(make(), inputs)


@pytest.mark.parametrize("name", ["siamese", "shared"])
def test_values_and_gradients_in_training(name):
    make, inputs = CASES[name]
    torch.manual_seed(0)
    assert_like_torch(make(), inputs, train=True, tolerance=1e-4)


def test_sizes_are_numbers_for_every_batch() -> None:
    converted = assert_like_torch(GivesSizes(), (X,))
    assert "batch = x.shape[0]" in converted.source
    _, batch, sizes = converted(X[:3].numpy())
    assert (batch, sizes) == (3, {"twice": 6, "features": 4})


class Keywords(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 3)

    def forward(self, x: Tensor, *, scale: Tensor | float, mask: Tensor | None = None, power: int = 2) -> Tensor:
        y = self.layer(x) * scale
        if mask is not None:
            y = torch.where(mask[:, None], y, 0.0)
        return y**power


@pytest.mark.parametrize(
    "given",
    [
        {"x": X, "scale": torch.tensor(2.0), "mask": torch.tensor([True, False, True, True, False]), "power": 3},
        {"x": X, "scale": 0.5},
    ],
    ids=["all", "some"],
)
def test_arguments_by_keyword_only(given):
    torch.manual_seed(0)
    model = Keywords().eval()
    converted = regauge.to_jax(model, (), given)
    arrays = {name: value.numpy() if isinstance(value, Tensor) else value for name, value in given.items()}
    assert np.allclose(converted(**arrays), model(**given).detach().numpy(), atol=1e-6)


class Listed(nn.Module):
    """Layers in a list of any name, beside a mask."""

    def __init__(self, name: str) -> None:
        super().__init__()
        self.name = name
        setattr(self, name, nn.ModuleList(nn.Linear(4, 4) for _ in range(2)))

    def forward(self, x: Tensor, mask: Tensor) -> Tensor:
        for layer in getattr(self, self.name):
            x = layer(x)
        return x * mask


@pytest.mark.parametrize("layers", ["unroll", "scan"])
@pytest.mark.parametrize(
    ("name", "variable"), [("masks", "mask_module"), ("selfs", "layer"), ("ins", "layer"), ("lambdas", "layer")]
)
def test_the_variable_of_a_loop_hides_no_other_name(name, variable, layers):
    converted = assert_like_torch(Listed(name), (torch.randn(3, 4), torch.randn(3, 4)), layers=layers)
    if layers == "unroll":
        assert f"for {variable} in self.{name}:" in converted.source
