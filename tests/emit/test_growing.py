"""Lists of arrays that grow from layer to layer, and lists of modules that are made alike."""

from __future__ import annotations

import ast

import pytest
import torch
import torch.nn.functional as F
from like_torch import assert_like_torch
from torch import Tensor, nn

from regauge.emit.files import EmittedClass
from regauge.emit.growing import grow_lists
from regauge.emit.lines import Body, Line
from regauge.emit.repeated_items import with_comprehensions

X = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(0))


class Dense(nn.Module):
    def __init__(self, channels: int, growth: int) -> None:
        super().__init__()
        self.norm, self.conv = nn.GroupNorm(2, channels), nn.Conv2d(channels, growth, 3, padding=1)

    def forward(self, features: list[Tensor]) -> Tensor:
        x = torch.cat(features, 1)
        return self.conv(F.relu(self.norm(x)))


class Block(nn.Module):
    def __init__(self, depth: int, channels: int, growth: int, named: bool) -> None:
        super().__init__()
        layers = [Dense(channels + n * growth, growth) for n in range(depth)]
        self.layers = nn.ModuleDict({f"layer{n + 1}": layer for n, layer in enumerate(layers)}) if named else None
        self.list = None if named else nn.ModuleList(layers)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.list if self.list is not None else self.layers.values():
            features.append(layer(features))
        return torch.cat(features, 1)


def test_a_dense_net_is_as_short_as_it_was() -> None:
    model = nn.Sequential(Block(3, 4, 2, False), nn.Conv2d(10, 6, 1), Block(5, 6, 2, False))
    source = assert_like_torch(model, (X,)).source
    assert "def __call__(self, *features):" in source
    assert "jnp.concatenate(features, axis=3)" in source
    assert "features.append(" in source
    assert source.count("class Dense(") == source.count("class Block(") == 1
    assert "class Dense2" not in source
    assert "class Block2" not in source
    assert "[Dense(features=features + 2 * i, rngs=rngs) for i in range(depth)]" in source


def test_layers_with_names_are_a_loop_over_them() -> None:
    source = assert_like_torch(Block(4, 4, 2, True), (X,)).source
    assert "for layer in (self.layers.layer1, self.layers.layer2, self.layers.layer3, self.layers.layer4):" in source


class Pair(nn.Module):
    """Takes a list of two arrays, or of three, and reads the first of them again."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1))

    def forward(self, parts: list[Tensor]) -> Tensor:
        return torch.cat(parts, 1).sum(1) * self.scale + parts[0][:, 0]


class Pairs(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Pair(), Pair()

    def forward(self, x: Tensor) -> Tensor:
        return self.first([x, x + 1]) + self.second([x, x - 1, x * 2])


class Mixed(nn.Module):
    """Mixes what a list holds by one weight; a list of one array is scaled alone."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.rand(1))

    def forward(self, parts: list[Tensor]) -> Tensor:
        return self.scale * sum((k + 1) * part.sin() for k, part in enumerate(parts)) + parts[0].amax(1, keepdim=True)


class Passing(nn.Module):
    """Only passes its list on, to a module whose parameters are its arrays."""

    def __init__(self) -> None:
        super().__init__()
        self.mixed, self.project = Mixed(), nn.Linear(8, 8)

    def forward(self, parts: list[Tensor]) -> Tensor:
        return self.project(self.mixed(parts))


class PassedOn(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Passing(), Passing()

    def forward(self, x: Tensor) -> Tensor:
        return self.first([x, x + 1]) + self.second([x, x - 1, x * 2])


def test_a_list_that_is_only_passed_on_is_passed_as_arguments() -> None:
    source = assert_like_torch(PassedOn(), (X,)).source
    assert source.count("def __call__(self, *parts):\n        return self.project(self.mixed(*parts))\n") == 2


def test_a_list_of_which_parts_are_read_stays_as_it_is() -> None:
    assert "*parts" not in assert_like_torch(Pairs(), (X,)).source


CALLS = ["a = self.f[0](x, mask)", "b = self.f[1](x, mask, a)", "c = self.f[2](x, mask, a, b)"]


@pytest.mark.parametrize(
    ("last", "grows"),
    [
        ("return jnp.concatenate((mask, a, b, c), axis=1)", True),  # x stays outside of the list
        ("return jnp.concatenate((x, mask, a, b), axis=1) + c", False),  # not all of it
        ("return jnp.concatenate((x, mask, a, b, c), axis=1) + a", False),  # and one alone
        ("return jnp.concatenate((a, b, c), axis=1)", False),  # what all layers take is not in it
    ],
)
def test_what_is_read_afterwards_decides(last: str, grows: bool) -> None:
    lines = [Line(text) for text in [*CALLS, last]]
    found = [line.text for line in grow_lists(Body(["x", "mask"], lines)).lines]
    if not grows:
        assert found == [*CALLS, last]
        return
    assert found == [
        "features = [mask]",
        "for layer in self.f:",  # f says nothing about what it holds
        "    features.append(layer(x, *features))",
        "return jnp.concatenate(features, axis=1)",
    ]


@pytest.mark.parametrize(
    ("given", "written"),
    [
        ("nnx.List([A(1), A(3), A(5)])", "nnx.List([A(1 + 2 * i) for i in range(3)])"),
        ("nnx.List([A(0, b=4), A(1, b=4), A(2, b=4)])", "nnx.List([A(i, b=4) for i in range(3)])"),
        ("nnx.List([A(1), A(3)])", "nnx.List([A(1), A(3)])"),
        ("nnx.List([A(1), A(2), A(4)])", "nnx.List([A(1), A(2), A(4)])"),
        ("nnx.Sequential(B(1), A(2), A(2), A(2))", "nnx.Sequential(B(1), *[A(2) for _ in range(3)])"),
        ("nnx.List([A(0.1), A(0.2), A(0.3)])", "nnx.List([A(0.1), A(0.2), A(0.3)])"),
        (
            "nnx.List([nnx.List([A(1), A(2), A(3)]), nnx.List([A(1), A(2), A(3)]), nnx.List([A(1), A(2), A(3)])])",
            "nnx.List([nnx.List([A(1 + i) for i in range(3)]) for _ in range(3)])",
        ),
        (
            "nnx.List([B(1, [A(), A(), A()]), B(2, [A(), A(), A()]), B(3, [A(), A(), A()])])",
            "nnx.List([B(1, [A() for _ in range(3)]), B(2, [A() for _ in range(3)]), B(3, [A() for _ in range(3)])])",
        ),
        ("f(A(2), A(True), A(2))", "f(A(2), A(True), A(2))"),
    ],
)
def test_modules_that_are_made_alike_are_a_comprehension(given: str, written: str) -> None:
    made = EmittedClass("M", "", "", [Line(f"self.x = {given}")], Body([]))
    (line,) = with_comprehensions(made).init
    assert ast.unparse(ast.parse(line.text)) == ast.unparse(ast.parse(f"self.x = {written}"))
