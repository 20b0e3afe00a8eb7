"""Classes that the original's own attributes tell apart are one class, which is told the attribute."""

from __future__ import annotations

import ast
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.unify import unify

INIT = ["self.a = nnx.Linear(4, 4, rngs=rngs)", "self.b = nnx.Linear(4, 4, rngs=rngs)"]


def emitted(name: str, body: list[str], init: list[str] = INIT, **settings: Any) -> EmittedClass:
    lines = [Line(text) for text in init]
    body_lines = Body(["x"], [Line(text) for text in body])
    return EmittedClass(name, "layer", "net.py:3", lines, body_lines, "net.Block", settings=settings)


def joined(*made: EmittedClass) -> list[EmittedClass]:
    held = [Line(f"self.layer{n} = {cls.name}(rngs=rngs)") for n, cls in enumerate(made)]
    root = EmittedClass("Net", "", "net.py:20", held, Body(["x"], [Line("return x")]), "net.Net")
    return unify([*made, root])


def texts(lines: list[Line]) -> list[str]:
    return [line.text for line in lines]


COMMON = [
    "z = self.a(x)",
    "z = z * z",
    "z = self.b(z)",
    "z = jnp.tanh(z)",
    "y = z - jnp.exp(z)",
    "y = y / z",
    "return y",
]


def test_both_ways_have_statements_of_their_own() -> None:
    causal = [*COMMON[:3], "z = jnp.cumsum(z, axis=1)", "z = z + x", *COMMON[3:]]
    both = [*COMMON[:3], "z = jnp.flip(z, axis=1)", *COMMON[3:]]
    block, net = joined(emitted("Block", both, causal=False), emitted("Block2", causal, causal=True))
    assert texts(block.body.lines)[3:8] == [
        "if self.causal:",
        "    z = jnp.cumsum(z, axis=1)",
        "    z = z + x",
        "else:",
        "    z = jnp.flip(z, axis=1)",
    ]
    assert texts(block.init)[0] == "self.causal = causal"
    assert texts(net.init) == [f"self.layer{n} = Block(causal={bool(n)}, rngs=rngs)" for n in (0, 1)]


@pytest.mark.parametrize("name", ["deterministic", "use_running_average", "sow"])
def test_no_attribute_is_one_that_the_mode_sets(name: str) -> None:
    """`model.eval()` sets `deterministic` wherever a module has it."""
    rolled = [*COMMON[:3], "z = jnp.roll(z, 2, axis=1)", *COMMON[3:]]
    block, _ = joined(emitted("Block", COMMON, **{name: False}), emitted("Block2", rolled, **{name: True}))
    assert texts(block.body.lines)[3] == f"if self.{name}_2:"


def test_without_a_setting_they_stay_apart() -> None:
    causal = [*COMMON[:3], "z = jnp.cumsum(z, axis=1)", "z = z + x", *COMMON[3:]]
    both = [*COMMON[:3], "z = jnp.flip(z, axis=1)", *COMMON[3:]]
    made = joined(emitted("Block", both, causal=True), emitted("Block2", causal, causal=True))
    assert [cls.name for cls in made] == ["Block", "Block2", "Net"]


@pytest.mark.parametrize(
    ("without", "with_it", "test"),
    [
        (0, 2, "if self.shift:"),
        (True, False, "if not self.shift:"),
        ("none", "roll", "if self.shift == 'roll':"),
    ],
)
def test_a_number_a_truth_value_and_a_text(without: Any, with_it: Any, test: str) -> None:
    rolled = [*COMMON[:3], "z = jnp.roll(z, 2, axis=1)", *COMMON[3:]]
    block, net = joined(emitted("Block", COMMON, shift=without), emitted("Block2", rolled, shift=with_it))
    assert texts(block.body.lines)[3:5] == [test, "    z = jnp.roll(z, 2, axis=1)"]
    assert texts(net.init)[1] == f"self.layer1 = Block(shift={with_it!r}, rngs=rngs)"


def test_a_number_that_is_one_of_two() -> None:
    padded = [*COMMON[:3], "z = jnp.pad(z, 1)", *COMMON[3:]]
    block, _ = joined(emitted("Block", COMMON, stride=1), emitted("Block2", padded, stride=2))
    assert texts(block.body.lines)[3:5] == ["if self.stride == 2:", "    z = jnp.pad(z, 1)"]


def test_a_value_inside_an_expression_stands_before_it() -> None:
    plain = [*COMMON[:4], "y = z.reshape(4, -1)", *COMMON[5:]]
    rolled = [*COMMON[:4], "y = jnp.roll(z, 2).reshape(4, -1)", *COMMON[5:]]
    reads_after = [[line.replace("/ z", "/ (x + z)") for line in body] for body in (plain, rolled)]
    block, _ = joined(*(emitted(f"Block{n}", body, shift=n) for n, body in enumerate(reads_after)))
    assert "y = (jnp.roll(z, 2) if self.shift else z).reshape(4, -1)" in texts(block.body.lines)  # z is read again
    once = [[line.replace("/ z", "/ x") for line in body] for body in (plain, rolled)]
    block, _ = joined(*(emitted(f"Block{n}", body, shift=n) for n, body in enumerate(once)))
    assert texts(block.body.lines)[4:7] == ["if self.shift:", "    z = jnp.roll(z, 2)", "y = z.reshape(4, -1)"]


@pytest.mark.parametrize(("without", "with_it"), [(True, False), ("none", "tanh"), (False, True)])
def test_a_sub_module_that_goes_with_a_setting(without: Any, with_it: Any) -> None:
    """It is there where the setting says so, whatever the setting is; formulas of both ways stand under it."""
    held = [*INIT, "self.gate = nnx.Linear(4, 4, rngs=rngs)"]
    plain = [*COMMON[:3], "z = jnp.flip(z)", *COMMON[3:]]
    gated = [*COMMON[:3], "z = jnp.cumsum(z)", "z = self.gate(z)", *COMMON[3:]]
    block, net = joined(emitted("Block", plain, kind=without), emitted("Block2", gated, held, kind=with_it))
    assert len(block.arguments) in (1, 2)
    for number, line in enumerate(texts(net.init)):
        given = dict(part.split("=") for part in line.partition("(")[2].rstrip(")").split(", "))
        test = next(text for text in texts(block.init) if text.startswith("self.gate")).partition(" if ")[2]
        space = {name: ast.literal_eval(value) for name, value in given.items() if name != "rngs"}
        assert bool(eval(test.removesuffix(" else None"), space)) == bool(number)


def test_what_draws_is_not_moved() -> None:
    """Two dropouts in one expression: the order in which they take their keys stays."""
    init = [*INIT, "self.drop = nnx.Dropout(0.5, rngs=rngs)"]
    plain = [*COMMON[:4], "y = self.drop(x) + z", *COMMON[5:-2], "return y"]
    more = [*COMMON[:4], "y = self.drop(x) + self.drop(z)", *COMMON[5:-2], "return y"]
    block, _ = joined(emitted("Block", plain, init, twice=False), emitted("Block2", more, init, twice=True))
    assert "y = self.drop(x) + (self.drop(z) if self.twice else z)" in texts(block.body.lines)


def test_an_argument_that_only_one_passes_is_none_for_the_other() -> None:
    attention = EmittedClass(
        "Attention", "layer.attn", "net.py:1", [Line("pass")], Body(["x", "mask=None"], [Line("return x")]), "net.A"
    )
    init = [*INIT, "self.attn = Attention(rngs=rngs)"]
    plain = [*COMMON[:4], "y = self.attn(z)", *COMMON[5:]]
    masked = [*COMMON[:4], "mask = jnp.tri(4)", "mask = mask * 2", "y = self.attn(z, mask)", *COMMON[5:]]
    made = joined(attention, emitted("Block", plain, init, causal=False), emitted("Block2", masked, init, causal=True))
    block = next(cls for cls in made if cls.name == "Block")
    assert texts(block.body.lines)[4:10] == [
        "if self.causal:", "    mask = jnp.tri(4)", "    mask = mask * 2", "else:", "    mask = None",
        "y = self.attn(z, mask)",
    ]  # fmt: skip
    needed = replace(attention, body=Body(["x", "mask"], attention.body.lines))
    made = joined(needed, emitted("Block", plain, init, causal=False), emitted("Block2", masked, init, causal=True))
    lines = texts(next(cls for cls in made if cls.name == "Block").body.lines)
    assert "    mask = None" not in lines


def test_an_optional_part_and_a_setting_in_one_class() -> None:
    """The first of the layers drops nothing, and every second one shifts."""
    dropping = [*INIT, "self.drop = Drop(rngs=rngs)"]
    dropped = [line.replace("y / z", "self.drop(y) / z") for line in COMMON]
    rolled = [*dropped[:3], "z = jnp.roll(z, 2, axis=1)", *dropped[3:]]
    block, net = joined(
        emitted("Block", COMMON, shift=0),
        emitted("Block2", dropped, dropping, shift=0),
        emitted("Block3", rolled, dropping, shift=2),
    )
    assert texts(block.init)[-1] == "self.drop = Drop(rngs=rngs) if drop else None"
    assert "y = (y if self.drop is None else self.drop(y)) / z" in texts(block.body.lines)
    assert "if self.shift:" in texts(block.body.lines)
    assert texts(net.init) == [
        "self.layer0 = Block(shift=0, drop=False, rngs=rngs)",
        "self.layer1 = Block(shift=0, drop=True, rngs=rngs)",
        "self.layer2 = Block(shift=2, drop=True, rngs=rngs)",
    ]


def test_sizes_are_read_from_the_arguments_of_the_call() -> None:
    def with_size(name: str, size: int, wide: int) -> EmittedClass:
        made = emitted(name, [f"y = x.reshape({size}, -1)", "x = self.a(x)", f"return y * {wide} + x"])
        made.shapes["x"] = (None, size, wide)
        return made

    block, net = joined(with_size("Block", 8, 4), with_size("Block2", 16, 5))
    assert texts(block.body.lines) == [
        "y = x.reshape(x.shape[1], -1)", "x = self.a(x)", "return y * self.size + x"  # x is another one by then
    ]  # fmt: skip
    assert texts(net.init)[1] == "self.layer1 = Block(size=5, rngs=rngs)"


@pytest.mark.parametrize("text", ["jax.vmap(lambda x: x.reshape({}))(x)", "[x.reshape({}) for x in x]"])
def test_sizes_are_not_read_from_what_has_the_name_inside(text: str) -> None:
    def with_size(name: str, size: int) -> EmittedClass:
        made = emitted(name, [f"y = {text.format(size)}", "return self.a(y)"])
        made.shapes["x"] = (None, size)
        return made

    block, _ = joined(with_size("Block", 8), with_size("Block2", 16))
    assert texts(block.body.lines)[0] == f"y = {text.format('self.size')}"


def test_arguments_have_the_names_of_the_originals_attributes() -> None:
    def with_heads(name: str, heads: int) -> EmittedClass:
        made = emitted(name, [f"x = x.reshape(-1, {heads})", "return self.a(x)"])
        made.values = {"depth": 2, "num_heads": heads}
        return made

    block, net = joined(with_heads("Block", 4), with_heads("Block2", 8))
    assert texts(block.body.lines)[0] == "x = x.reshape(-1, self.num_heads)"
    assert texts(net.init)[1] == "self.layer1 = Block(num_heads=8, rngs=rngs)"


def test_an_argument_of_a_constructor_that_one_leaves_out() -> None:
    """What a class of the file has by default, the classes that hold it have by default too."""
    lines = [Line("self.gate = nnx.Linear(4, ratio, rngs=rngs) if ratio is not None else None")]
    body = Body(["x"], [Line("return x if self.gate is None else self.gate(x)")])
    inner = EmittedClass("Inner", "layer.inner", "net.py:1", lines, body, "net.I", arguments=("ratio=None",))
    with_it, without = ([*INIT, f"self.inner = Inner({given}rngs=rngs)"] for given in ("ratio=2, ", ""))
    made = joined(inner, emitted("Block", COMMON, with_it), emitted("Block2", COMMON, without))
    block, net = made[-2:]
    assert block.arguments == ("ratio=None",)
    assert texts(block.init)[-1] == "self.inner = Inner(ratio=ratio, rngs=rngs)"
    assert texts(net.init)[1:] == ["self.layer1 = Block(ratio=2, rngs=rngs)", "self.layer2 = Block(rngs=rngs)"]


class Shifting(nn.Module):
    """Blocks of Swin's kind: every second one shifts, and none where the sequence is one window."""

    class Block(nn.Module):
        def __init__(self, width: int, shift: int, causal: bool) -> None:
            super().__init__()
            self.shift, self.causal = shift, causal
            self.norm = nn.LayerNorm(width)
            self.query = nn.Linear(width, width)
            self.key = nn.Linear(width, width, bias=False)  # the gradient of a bias is zero by itself
            self.value = nn.Linear(width, width)
            self.out = nn.Linear(width, width)

        def forward(self, x: Tensor) -> Tensor:
            batch, length, width = x.shape
            if length <= 4:
                self.shift = 0
            h = self.norm(x)
            if self.shift > 0:
                h = torch.roll(h, -self.shift, dims=1)
            h = h.reshape(batch * (length // 4), 4, width)
            scores = self.query(h) @ self.key(h).transpose(1, 2) / width**0.5
            if self.causal:
                scores = scores.masked_fill(torch.ones(4, 4).tril() == 0, float("-inf"))
            else:
                scores = torch.tanh(scores)
            h = (scores.softmax(-1) @ self.value(h)).reshape(batch, length, width)
            if self.shift > 0:
                h = torch.roll(h, self.shift, dims=1)
            return x + self.out(h)

    def __init__(self, ways: list[tuple[int, bool]]) -> None:
        super().__init__()
        self.blocks = nn.ModuleList([self.Block(6, *way) for way in ways])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def classes(source: str, prefix: str) -> list[str]:
    return [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name.startswith(prefix)]


@pytest.mark.parametrize("train", [False, True])
def test_shifted_blocks_are_one_class(train: bool) -> None:
    torch.manual_seed(0)
    converted = assert_like_torch(Shifting([(0, False), (2, False)]), (torch.randn(2, 8, 6),), train=train)
    assert classes(converted.source, "Block") == ["Block"]
    assert converted.source.count("if self.shift:") == 2


def test_causal_blocks_are_one_class() -> None:
    torch.manual_seed(0)
    converted = assert_like_torch(Shifting([(0, False), (0, True)]), (torch.randn(2, 8, 6),))
    assert classes(converted.source, "Block") == ["Block"]
    assert "if self.causal:" in converted.source


def test_a_setting_that_the_call_changed() -> None:
    """With one window no block shifts, whatever the constructor was told."""
    torch.manual_seed(0)
    converted = assert_like_torch(Shifting([(0, True), (2, False)]), (torch.randn(2, 4, 6),))
    assert "shift" not in converted.source


def test_stacked_layers_keep_their_settings() -> None:
    torch.manual_seed(0)
    model, x = Shifting([(0, False)] * 3 + [(2, False)] * 3).eval(), torch.randn(2, 8, 6)
    converted = regauge.to_jax(model, (x,), layers="scan")
    assert classes(converted.source, "Block") == ["Block"]
    np.testing.assert_allclose(converted(x.numpy()), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)
