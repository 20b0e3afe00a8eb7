"""A class that gets one sequence or two, as attention does, is one class with a default, not two."""

from __future__ import annotations

import re

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn
from torch.export import Dim

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.unify import unify

DIM, HEADS = 8, 2


class Attention(nn.Module):
    """As people write it: `context` stands for the sequence itself where there is none."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.to_q = nn.Linear(DIM, DIM, bias=False)
        self.to_k = nn.Linear(width, DIM, bias=False)
        self.to_v = nn.Linear(width, DIM, bias=False)
        self.to_out = nn.Linear(DIM, DIM)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        context = x if context is None else context
        batch, length, _ = x.shape
        q = self.to_q(x).view(batch, length, HEADS, DIM // HEADS)
        k = self.to_k(context).view(batch, context.shape[1], HEADS, DIM // HEADS)
        v = self.to_v(context).view(batch, context.shape[1], HEADS, DIM // HEADS)
        scores = torch.einsum("bqhd,bkhd->bhqk", q, k) * (DIM // HEADS) ** -0.5
        out = torch.einsum("bhqk,bkhd->bqhd", scores.softmax(-1), v)
        return self.to_out(out.reshape(batch, length, DIM))


class Decoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attention = Attention(DIM)
        self.cross_attention = Attention(6)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.self_attention(x)
        return x + self.cross_attention(x, context)


class OfThree(nn.Module):
    """Attention whose caller passes one sequence as query, key and value."""

    def __init__(self) -> None:
        super().__init__()
        self.projections = nn.ModuleList([nn.Linear(DIM, DIM, bias=False) for _ in range(3)])

    def forward(self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor) -> Tensor:
        pairs = zip(self.projections, (query, key, value), strict=True)
        q, k, v = [p(x).view(x.shape[0], -1, HEADS, DIM // HEADS).transpose(1, 2) for p, x in pairs]
        scores = (q @ k.transpose(-2, -1)).masked_fill(mask == 0, -1e9)
        return (scores.softmax(-1) @ v).transpose(1, 2).flatten(2)


class DecoderOfThree(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attn = OfThree()
        self.src_attn = OfThree()

    def forward(self, x: Tensor, memory: Tensor, src_mask: Tensor, tgt_mask: Tensor) -> Tensor:
        x = x + self.self_attn(x, x, x, tgt_mask)
        return x + self.src_attn(x, memory, memory, src_mask)


def inputs(length: int, others: int) -> tuple[Tensor, Tensor]:
    return torch.randn(2, length, DIM), torch.randn(2, others, 6)


def test_self_attention_and_cross_attention_are_one_class() -> None:
    torch.manual_seed(0)
    model = Decoder().eval()
    free = {0: Dim.AUTO, 1: Dim.AUTO}
    converted = assert_like_torch(model, inputs(5, 3), dynamic={"x": free, "context": free})
    assert re.findall(r"class (\w*Attention\w*)", converted.source) == ["Attention"]
    assert "def __call__(self, x, context=None):\n        if context is None:\n" in converted.source
    assert "self.self_attention(x)" in converted.source
    for case in (inputs(4, 7), inputs(6, 6), inputs(1, 2)):
        found = converted(*(value.numpy() for value in case))
        np.testing.assert_allclose(found, model(*case).detach().numpy(), rtol=1e-5, atol=1e-6)


class Normed(Attention):
    """What stands for the context is normalized, and a context is not."""

    def __init__(self, width: int) -> None:
        super().__init__(width)
        self.norm = nn.LayerNorm(DIM)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        x = self.norm(x)
        context = x if context is None else context
        keys = self.to_k(context)
        return self.to_out((self.to_q(x) @ keys.transpose(1, 2)).softmax(-1) @ self.to_v(context))


class NormedDecoder(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.self_attention = Normed(DIM)
        self.cross_attention = Normed(DIM)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        x = x + self.self_attention(x)
        return x + self.cross_attention(x, context)


def test_a_default_that_was_changed_before_is_another_value() -> None:
    torch.manual_seed(0)
    assert_like_torch(NormedDecoder().eval(), (torch.randn(2, 5, DIM), torch.randn(2, 3, DIM)))


def test_one_sequence_as_query_key_and_value() -> None:
    torch.manual_seed(0)
    case = (torch.randn(2, 5, DIM), torch.randn(2, 3, DIM), torch.ones(2, 1, 1, 3), torch.ones(5, 5).tril())
    converted = assert_like_torch(DecoderOfThree(), case)
    assert re.findall(r"class (OfThree\w*)", converted.source) == ["OfThree"]
    assert "key=None" in converted.source


def emitted(
    name: str, parameters: list[str], body: list[str], init: str = "self.k = nnx.Linear(8, 8, rngs=rngs)"
) -> EmittedClass:
    return EmittedClass(
        name, "layer", "net.py:3", [Line(init)], Body(parameters, [Line(text) for text in body]), "net.Attention"
    )


def joined(*classes: EmittedClass) -> list[EmittedClass]:
    held = [Line(f"self.layer{n} = {made.name}(rngs=rngs)") for n, made in enumerate(classes)]
    return unify([*classes, EmittedClass("Net", "", "net.py:20", held, Body(["x"], [Line("return x")]), "net.Net")])


SELF = ["batch, time = x.shape[:2]", "k = self.k(x).reshape(batch, time, 2, 4)", "return k + x"]
CROSS = [
    "batch = x.shape[0]",
    "time = y.shape[1]",
    "k = self.k(y).reshape(batch, time, 2, 4)",
    "return k + x",
]


def test_the_default_comes_before_the_sizes() -> None:
    for classes in (
        (emitted("Attention", ["x"], SELF), emitted("Attention2", ["x", "y"], CROSS)),
        (emitted("Attention", ["x", "y"], CROSS), emitted("Attention2", ["x"], SELF)),
    ):
        made, net = joined(*classes)
        assert [line.text for line in made.body.lines] == ["if y is None:", "    y = x", *CROSS]
        assert made.body.parameters == ["x", "y=None"]
        assert [line.text for line in net.init] == [f"self.layer{n} = Attention(rngs=rngs)" for n in (0, 1)]


def test_each_class_keeps_its_constants() -> None:
    wide = [line.replace("2, 4", "4, 2") for line in SELF]
    made, net = joined(emitted("Attention", ["x"], wide), emitted("Attention2", ["x", "y"], CROSS))
    assert "k = self.k(y).reshape(batch, time, self.size, self.size_2)" in [line.text for line in made.body.lines]
    assert [line.text for line in net.init] == [
        "self.layer0 = Attention(size=4, size_2=2, rngs=rngs)",
        "self.layer1 = Attention(size=2, size_2=4, rngs=rngs)",
    ]


ANEW = "time = time + 1"
APART = {
    "one statement more": (SELF, [*CROSS[:2], "y = y + 1", *CROSS[2:]]),
    "another operator": (SELF, [*CROSS[:3], "return k - x"]),
    "a size given anew": ([SELF[0], ANEW, *SELF[1:]], [*CROSS[:2], ANEW, *CROSS[2:]]),
    "the default given anew": ([SELF[0], "x = x + 1", *SELF[1:]], [*CROSS[:2], "x = x + 1", *CROSS[2:]]),
    "a function with an argument of its name": (
        [SELF[0], "h = map(lambda x: x * x, k)", *SELF[1:]],
        [*CROSS[:2], "h = map(lambda x: x * y, k)", *CROSS[2:]],
    ),
    "an argument given anew": ([SELF[0], "x = x + 1", *SELF[1:]], [*CROSS[:2], "y = x + 1", *CROSS[2:]]),
}


@pytest.mark.parametrize("name", APART)
def test_other_code_stays_apart(name: str) -> None:
    few, more = APART[name]
    made = joined(emitted("Attention", ["x"], few), emitted("Attention2", ["x", "y"], more))
    assert [cls.name for cls in made] == ["Attention", "Attention2", "Net"]


def test_another_constructor_stays_apart() -> None:
    other = emitted("Attention2", ["x", "y"], CROSS, "self.k = nnx.Linear(8, 8, use_bias=False, rngs=rngs)")
    made = joined(emitted("Attention", ["x"], SELF), other)
    assert [cls.name for cls in made] == ["Attention", "Attention2", "Net"]
