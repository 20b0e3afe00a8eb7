"""What one layer makes and all others are passed: one class, whose calls give back what they got."""

from __future__ import annotations

import ast

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn
from torch.export import Dim

import regauge
from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.loops import roll_loops
from regauge.emit.unify import unify

DIM, HEADS, FARTHEST = 8, 2, 4


class Attention(nn.Module):
    """With a bias by distance, that of another layer, or none."""

    def __init__(self, has_bias: bool) -> None:
        super().__init__()
        self.has_bias = has_bias
        self.query, self.key, self.value = (nn.Linear(DIM, DIM, bias=False) for _ in range(3))
        self.out = nn.Linear(DIM, DIM)
        if has_bias:
            self.distances = nn.Embedding(2 * FARTHEST + 1, HEADS)

    def forward(self, x: Tensor, *, context: Tensor | None = None, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        if context is None:
            context = x
        batch, length, _ = x.shape
        q = self.query(x).view(batch, length, HEADS, -1).transpose(1, 2)
        k = self.key(context).view(batch, context.shape[1], HEADS, -1).transpose(1, 2)
        v = self.value(context).view(batch, context.shape[1], HEADS, -1).transpose(1, 2)
        if bias is None:
            if self.has_bias:
                places = torch.arange(length)
                distance = (places[None] - places[:, None]).clamp(-FARTHEST, FARTHEST) + FARTHEST
                bias = self.distances(distance).permute(2, 0, 1)[None]
            else:
                bias = torch.zeros(1, HEADS, length, context.shape[1])
        weights = (q @ k.transpose(-1, -2) + bias).softmax(-1)
        return self.out((weights @ v).transpose(1, 2).reshape(batch, length, DIM)), bias


class Encoder(nn.Module):
    def __init__(self, has_bias: bool) -> None:
        super().__init__()
        self.norm = nn.LayerNorm(DIM)
        self.attention = Attention(has_bias)

    def forward(self, x: Tensor, bias: Tensor | None = None) -> tuple[Tensor, Tensor]:
        found, bias = self.attention(self.norm(x), bias=bias)
        return x + found, bias


class Decoder(nn.Module):
    def __init__(self, has_bias: bool) -> None:
        super().__init__()
        self.attention = Attention(has_bias)
        self.cross = Attention(False)

    def forward(
        self, x: Tensor, context: Tensor, bias: Tensor | None = None, cross_bias: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor]:
        found, bias = self.attention(x, bias=bias)
        x = x + found
        found, cross_bias = self.cross(x, context=context, bias=cross_bias)
        return x + found, bias, cross_bias


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.encoders = nn.ModuleList([Encoder(number == 0) for number in range(4)])
        self.decoders = nn.ModuleList([Decoder(number == 0) for number in range(2)])

    def forward(self, x: Tensor, y: Tensor) -> Tensor:
        bias = None
        for encoder in self.encoders:
            x, bias = encoder(x, bias)
        bias = cross_bias = None
        for decoder in self.decoders:
            y, bias, cross_bias = decoder(y, x, bias, cross_bias)
        return y


def test_one_class_makes_it_or_is_passed_it() -> None:
    torch.manual_seed(0)
    model, inputs = Net(), (torch.randn(2, 6, DIM), torch.randn(2, 5, DIM))
    batch = Dim("batch")
    sizes = {"x": {0: batch, 1: Dim("inputs")}, "y": {0: batch, 1: Dim("length")}}
    converted = assert_like_torch(model, inputs, dynamic=sizes)
    source = converted.source
    names = [node.name for node in ast.parse(source).body if isinstance(node, ast.ClassDef)]
    assert [name for name in names if not name.startswith("LayerNorm")] == ["Attention", "Encoder", "Decoder", "Net"]
    assert "def __call__(self, x, *, context=None, bias=None):" in source
    assert "        if bias is None:\n            if self.has_bias:\n" in source
    assert "found, bias = self.attention(self.norm(x), bias=bias)" in source
    assert "        x, bias = self.encoders[0](x)\n        for encoder in self.encoders[1:]:\n" in source
    assert "            x, bias = encoder(x, bias)\n" in source
    others = torch.randn(3, 4, DIM), torch.randn(3, 7, DIM)
    found = converted(*(tensor.numpy() for tensor in others))
    np.testing.assert_allclose(found, model(*others).detach().numpy(), rtol=1e-5, atol=1e-5)


class Given(nn.Module):
    """Gives back what it was passed, which no other module of its type makes."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor, scale: Tensor) -> tuple[Tensor, Tensor]:
        return self.layer(x) * scale, scale


class Chain(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = Given(), Given()

    def forward(self, x: Tensor) -> Tensor:
        x, scale = self.first(x, x.exp())
        return self.second(x.tanh(), scale)[0]


def test_what_the_caller_made_is_not_given_back() -> None:
    source = assert_like_torch(Chain(), (torch.randn(3, DIM),)).source
    assert "return self.layer(x) * scale\n" in source


# texts ----------------------------------------------------------------------------------------------------------------

INIT = [f"self.{name} = nnx.Linear(4, 4, rngs=rngs)" for name in "abc"]
MADE = ["z = self.a(x)", "bias = self.b(z)", "y = z + bias", "y = self.c(y)", "y = jnp.tanh(y) * y", "return y, bias"]
PASSED = [MADE[0], *MADE[2:]]


def emitted(name: str, body: list[str], parameters: tuple[str, ...], init: list[str] = INIT) -> EmittedClass:
    made = Body(list(parameters), [Line(text) for text in body])
    return EmittedClass(name, "layer", "net.py:3", [Line(text) for text in init], made, "net.Block")


def joined(*made: EmittedClass) -> list[EmittedClass]:
    held = [Line(f"self.layer{n} = {cls.name}(rngs=rngs)") for n, cls in enumerate(made)]
    root = EmittedClass("Net", "", "net.py:20", held, Body(["x"], [Line("return x")]), "net.Net")
    return unify([*made, root])


def texts(made: EmittedClass) -> list[str]:
    return [line.text for line in made.body.lines]


@pytest.mark.parametrize("parameters", [("x", "bias"), ("x", "*", "bias")])
def test_an_argument_is_made_where_it_is_not_passed(parameters: tuple[str, ...]) -> None:
    other = [INIT[0], INIT[2]]
    block, net = joined(emitted("Block", MADE, ("x",)), emitted("Block2", PASSED, parameters, other))
    assert block.body.parameters == [*parameters[:-1], "bias=None"]
    assert texts(block) == [MADE[0], "if bias is None:", f"    {MADE[1]}", *MADE[2:]]
    assert [line.text for line in block.init][1] == f"{INIT[1]} if b else None"
    assert [line.text for line in net.init] == [
        "self.layer0 = Block(b=True, rngs=rngs)",
        "self.layer1 = Block(b=False, rngs=rngs)",
    ]


def test_what_is_made_has_the_name_of_the_argument() -> None:
    renamed = [line.replace("bias", "bias_2") for line in MADE]
    block, _ = joined(emitted("Block", renamed, ("x",)), emitted("Block2", PASSED, ("x", "bias")))
    assert texts(block) == [MADE[0], "if bias is None:", f"    {MADE[1]}", *MADE[2:]]


@pytest.mark.parametrize(("given", "names"), [("bias=None", ["Block"]), ("bias", ["Block", "Block2"])])
def test_an_argument_is_passed_on_where_the_part_makes_it_too(given: str, names: list[str]) -> None:
    part = EmittedClass(
        "Part", "layer.part", "net.py:1", [Line("pass")], Body(["x", "*", given], [Line("return x, bias")]), "net.P"
    )
    init = [*INIT, "self.part = Part(rngs=rngs)"]
    rest = ["y = self.a(y)", "y = self.b(y)", "return y, bias"]
    without = ["y, bias = self.part(x)", *rest]
    with_it = ["y, bias = self.part(x, bias=bias)", *rest]
    made = joined(part, emitted("Block", without, ("x",), init), emitted("Block2", with_it, ("x", "bias"), init))
    assert [cls.name for cls in made if cls.name.startswith("Block")] == names
    if names == ["Block"]:
        block = next(cls for cls in made if cls.name == "Block")
        assert texts(block) == with_it
        assert block.body.parameters == ["x", "bias=None"]


def test_an_argument_that_has_changed_is_not_what_was_passed() -> None:
    """`bias` of its own would reach the part, which makes another one where it gets none."""
    part = EmittedClass(
        "Part", "layer.part", "net.py:1", [Line("pass")], Body(["x", "*", "bias=None"], [Line("return x")]), "net.P"
    )
    init = [*INIT, "self.part = Part(rngs=rngs)"]
    rest = ["y = self.a(y)", "y = self.b(y)", "return y, bias"]
    own = ["bias = self.c(x)", "y = self.part(x)", *rest]
    with_it = ["y = self.part(x, bias=bias)", *rest]
    made = joined(part, emitted("Block", own, ("x",), init), emitted("Block2", with_it, ("x", "bias"), init))
    assert [cls.name for cls in made] == ["Part", "Block", "Block2", "Net"]


def test_an_argument_that_both_take_is_passed_on_by_the_one_that_does() -> None:
    """It need not be None for the other one."""
    part = EmittedClass(
        "Part", "layer.part", "net.py:1", [Line("pass")], Body(["x", "*", "bias=None"], [Line("return x")]), "net.P"
    )
    init = [*INIT, "self.part = Part(rngs=rngs)"]
    rest = ["y = self.a(y)", "y = self.b(y)", "y = self.c(y)", "return y if bias is None else y + bias"]
    plain = emitted("Block", ["y = self.part(x)", *rest], ("x", "*", "bias=None"), init)
    more = ["y = self.part(x, bias=bias)", rest[0], "y = jnp.flip(y)", *rest[1:]]
    passing = emitted("Block2", more, ("x", "*", "bias=None"), init)
    plain.settings, passing.settings = {"passes": False}, {"passes": True}
    made = joined(part, plain, passing)
    assert "self.part(x)" in "".join(text for cls in made for text in texts(cls))


# loops ----------------------------------------------------------------------------------------------------------------


def rolled(*lines: str) -> list[str]:
    return [line.text for line in roll_loops(Body(["x"], [Line(text) for text in lines])).lines]


def test_a_loop_over_the_layers_behind_the_first() -> None:
    calls = [f"x, bias = self.blocks[{n}](x, bias=bias)" for n in range(4)]
    assert rolled("x, bias = self.blocks[0](x)", *calls[1:], "return x") == [
        "x, bias = self.blocks[0](x)",
        "for block in self.blocks[1:]:",
        "    x, bias = block(x, bias=bias)",
        "return x",
    ]
    assert rolled(*calls, "return x")[0] == "for block in self.blocks:"


@pytest.mark.parametrize(
    "lines",
    [
        # one that is not in the loop stands behind it in the list, wherever it is called
        ["y = self.blocks[3](x)", "x = self.blocks[1](x)", "x = self.blocks[2](x)", "return x + y"],
        ["x, y = self.blocks[0](x, z)", "x, y = self.blocks[1](x, y)", "return x"],
        ["x, y = self.blocks[1](x, y)", "x, y = self.blocks[3](x, y)", "return x"],
        ["x, y = self.blocks[0](x, y)", "y, x = self.blocks[1](x, y)", "return x"],
    ],
)
def test_calls_that_are_no_loop(lines: list[str]) -> None:
    assert rolled(*lines) == lines


def test_scanned_layers_carry_one_value() -> None:
    """The layers behind the first are one scan, which is passed what the first made."""
    torch.manual_seed(0)

    class Encoders(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.first = Encoder(True)
            self.encoders = nn.ModuleList([Encoder(False) for _ in range(4)])

        def forward(self, x: Tensor) -> Tensor:
            x, bias = self.first(x)
            for encoder in self.encoders:
                x, bias = encoder(x, bias)
            return x

    model, x = Encoders(), torch.randn(2, 6, DIM)
    converted = regauge.to_jax(model, (x,), layers="scan")
    assert "@nnx.scan" in converted.source
    np.testing.assert_allclose(converted(x.numpy()), model(x).detach().numpy(), rtol=1e-5, atol=1e-5)
