"""Classes of one origin that differ in parts that one has and another has not are one class with optional parts."""

from __future__ import annotations

import ast
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from comparing_jax import assert_same
from flax import nnx
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from benchmarks import originals
from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.unify import unify

CONV = "self.conv = nnx.Conv(8, 8, kernel_size=(3, 3), padding=1, rngs=rngs)"
NORM = "self.norm = BatchNorm(8, epsilon=1e-05)"
SHORTCUT = "self.shortcut = nnx.Conv(8, 8, kernel_size=(1, 1), padding='VALID', rngs=rngs)"
ABSENT = "self.shortcut is None"


def emitted(name: str, init: list[str], body: list[str], parameters: tuple[str, ...] = ("x",)) -> EmittedClass:
    lines = [Line(text) for text in body]
    return EmittedClass(name, "layer", "net.py:3", [Line(t) for t in init], Body(list(parameters), lines), "net.Block")


def joined(*classes: EmittedClass) -> list[EmittedClass]:
    held = [Line(f"self.layer{n} = {made.name}(rngs=rngs)") for n, made in enumerate(classes)]
    root = EmittedClass("Net", "", "net.py:20", held, Body(["x"], [Line("return x")]), "net.Net")
    return unify([*classes, root])


def written(made: EmittedClass) -> tuple[list[str], list[str]]:
    return [line.text for line in made.init], [line.text for line in made.body.lines]


def decided(body: list[str], test: str, holds: bool) -> list[str]:
    """The statements of a body whose conditions `test` and `not test` are known."""

    class Decide(ast.NodeTransformer):
        def visit_IfExp(self, node: ast.IfExp) -> Any:
            self.generic_visit(node)
            if ast.unparse(node.test) == test:
                return node.body if holds else node.orelse
            return node

        def visit_If(self, node: ast.If) -> Any:
            self.generic_visit(node)
            if ast.unparse(node.test) == test.replace(" is ", " is not "):
                return [] if holds else node.body
            return node

    tree = Decide().visit(ast.parse("\n".join(body)))
    return [ast.unparse(statement) for statement in tree.body]


RESIDUAL = ["y = self.norm(self.conv(x))", "return jax.nn.relu(y + x)"]
PAIRS = {
    "a value": (RESIDUAL, ["y = self.norm(self.conv(x))", "return jax.nn.relu(y + self.shortcut(x))"]),
    "a statement": (RESIDUAL, ["y = self.norm(self.conv(x))", "x = self.shortcut(x)", "return jax.nn.relu(y + x)"]),
    "two statements": (
        ["y = self.norm(self.conv(x))", "return y"],
        ["x = self.shortcut(x)", "x = x * x", "y = self.norm(self.conv(x))", "return y"],
    ),
}


@pytest.mark.parametrize("name", PAIRS)
def test_the_joined_body_is_each_of_the_two(name: str) -> None:
    without, with_it = PAIRS[name]
    block, net = joined(emitted("Block", [CONV, NORM], without), emitted("Block2", [CONV, NORM, SHORTCUT], with_it))
    init, body = written(block)
    assert block.arguments == ("shortcut",)
    assert init[2].startswith("self.shortcut = nnx.Conv(8, 8,")
    assert init[2].endswith(" if shortcut else None")
    assert decided(body, ABSENT, True) == without
    assert decided(body, ABSENT, False) == with_it
    assert written(net)[0] == [
        "self.layer0 = Block(shortcut=False, rngs=rngs)",
        "self.layer1 = Block(shortcut=True, rngs=rngs)",
    ]


def test_a_name_for_the_optional_value() -> None:
    """`residual` stands where the other class reads `x`."""
    with_it = ["y = self.norm(self.conv(x))", "residual = self.shortcut(x)", "return jax.nn.relu(y + residual)"]
    for classes in (
        [emitted("Block", [CONV, NORM], RESIDUAL), emitted("Block2", [CONV, NORM, SHORTCUT], with_it)],
        [emitted("Block", [CONV, NORM, SHORTCUT], with_it), emitted("Block2", [CONV, NORM], RESIDUAL)],
    ):
        block, _ = joined(*classes)
        assert block.name == "Block"
        assert written(block)[1] == [
            "y = self.norm(self.conv(x))",
            "residual = x if self.shortcut is None else self.shortcut(x)",
            "return jax.nn.relu(y + residual)",
        ]


def test_a_name_is_no_value_that_has_changed_since() -> None:
    without = ["y = self.conv(x)", "x = self.norm(y)", "return x + y"]
    with_it = ["residual = self.shortcut(x)", "y = self.conv(x)", "x = self.norm(y)", "return residual + y"]
    made = joined(emitted("Block", [CONV, NORM], without), emitted("Block2", [CONV, NORM, SHORTCUT], with_it))
    assert [cls.name for cls in made] == ["Block", "Block2", "Net"]


def test_an_operator_of_one_class_is_a_flag() -> None:
    block, net = joined(
        emitted("Block", [CONV, NORM], ["x = self.conv(x)", "x = self.norm(x)", "return jax.nn.relu(x)"]),
        emitted("Block2", [CONV, NORM], ["x = self.conv(x)", "return self.norm(x)"]),
    )
    init, body = written(block)
    assert init[0] == "self.relu = relu"
    assert body[-1] == "return jax.nn.relu(x) if self.relu else x"
    assert written(net)[0][1] == "self.layer1 = Block(relu=False, rngs=rngs)"


def test_a_flag_of_classes_that_hold_nothing() -> None:
    block, net = joined(
        emitted("Block", ["pass"], ["x = jnp.tanh(x)", "y = x * x", "return y + x"]),
        emitted("Block2", ["pass"], ["x = jnp.tanh(x)", "y = x * x", "return jax.nn.relu(y) + x"]),
    )
    init, body = written(block)
    assert init == ["self.relu = relu"]
    assert body[-1] == "return (jax.nn.relu(y) if self.relu else y) + x"
    assert written(net)[0] == [f"self.layer{n} = Block(relu={bool(n)}, rngs=rngs)" for n in (0, 1)]


def test_an_argument_of_one_class_is_optional() -> None:
    block, net = joined(
        emitted("Block", [CONV, NORM], ["x = self.conv(x)", "y = self.norm(x)", "return y * y"]),
        emitted(
            "Block2",
            [CONV, NORM],
            ["x = self.conv(x)", "y = self.norm(x)", "y = y + mask", "return y * y"],
            ("x", "mask"),
        ),
    )
    assert block.body.parameters == ["x", "mask=None"]
    assert written(block)[1][2:4] == ["if mask is not None:", "    y = y + mask"]
    assert block.arguments == ()
    assert written(net)[0] == ["self.layer0 = Block(rngs=rngs)", "self.layer1 = Block(rngs=rngs)"]


def test_an_argument_that_the_other_class_computes_is_no_condition() -> None:
    without = ["x = self.conv(x)", "mask = x > 0", "y = self.norm(x)", "return y * mask"]
    with_it = ["x = self.conv(x)", "y = self.norm(x)", "y = y + mask", "return y * mask"]
    made = joined(emitted("Block", [CONV, NORM], without), emitted("Block2", [CONV, NORM], with_it, ("x", "mask")))
    assert [cls.name for cls in made] == ["Block", "Block2", "Net"]


def test_options_at_their_default_need_no_condition() -> None:
    strided = CONV.replace("padding", "strides=2, padding")
    block, net = joined(emitted("Block", [CONV, NORM], RESIDUAL), emitted("Block2", [strided, NORM], RESIDUAL))
    assert block.arguments == ("strides",)
    assert written(net)[0][0] == "self.layer0 = Block(strides=1, rngs=rngs)"


def test_a_size_that_only_the_optional_part_has_says_that_it_is_there() -> None:
    def with_rate(name: str, rate: float) -> EmittedClass:
        init = [CONV, NORM, f"self.dropout = nnx.Dropout({rate}, rngs=rngs)"]
        return emitted(name, init, ["x = self.conv(x)", "x = self.dropout(x)", "return self.norm(x)"])

    without = emitted("Block", [CONV, NORM], ["x = self.conv(x)", "return self.norm(x)"])
    block, net = joined(without, with_rate("Block2", 0.1), with_rate("Block3", 0.2))
    assert block.arguments == ("rate=None",)
    assert written(block)[0][2] == "self.dropout = nnx.Dropout(rate, rngs=rngs) if rate is not None else None"
    assert [text.partition(" = ")[2] for text in written(net)[0]] == [
        "Block(rngs=rngs)", "Block(rate=0.1, rngs=rngs)", "Block(rate=0.2, rngs=rngs)"
    ]  # fmt: skip


def test_names_of_the_whole_model_do_not_keep_classes_apart() -> None:
    first = emitted("Block", [CONV, NORM], ["time = x.shape[1]", "return self.conv(x).reshape(time, 8)"])
    other = emitted("Block2", [CONV, NORM], ["time_2 = x.shape[1]", "return self.conv(x).reshape(time_2, 8)"])
    block, _ = joined(first, other)
    assert written(block)[1] == written(first)[1]
    apart = emitted("Block2", [CONV, NORM], ["time, time_2 = x.shape", "return self.conv(x).reshape(time_2, time)"])
    assert len(joined(first, apart)) == 3


def test_what_is_shared_stands_before_what_holds_it() -> None:
    shortcut = EmittedClass("Shortcut", "s", "net.py:9", [Line(CONV)], Body(["x"], [Line("return x")]), "net.Shortcut")
    held = [Line("self.a = Block(rngs=rngs)"), Line("self.b = Block2(rngs=rngs)")]
    made = unify(
        [
            emitted("Block", [CONV, NORM], RESIDUAL),
            shortcut,
            emitted("Block2", [CONV, NORM, "self.shortcut = Shortcut(rngs=rngs)"], PAIRS["a value"][1]),
            EmittedClass("Net", "", "net.py:20", held, Body(["x"], [Line("return x")]), "net.Net"),
        ]
    )
    assert [cls.name for cls in made] == ["Shortcut", "Block", "Net"]


def classes(source: str, prefix: str) -> list[str]:
    return [n.name for n in ast.parse(source).body if isinstance(n, ast.ClassDef) and n.name.startswith(prefix)]


@pytest.mark.parametrize("train", [False, True])
def test_resnet_is_the_same_function_with_one_class_of_blocks(train: bool) -> None:
    torch.manual_seed(0)
    converted = assert_like_torch(originals.ResNet(), (torch.randn(2, 3, 32, 32),), train=train)
    assert classes(converted.source, "Block") == ["Block"]


class Stack(nn.Module):
    """Blocks with and without a projection, with and without stochastic depth, six of them equal."""

    class Block(nn.Module):
        def __init__(self, inputs: int, width: int, rate: float) -> None:
            super().__init__()
            self.linear = nn.Linear(inputs, width)
            self.norm = nn.LayerNorm(width)
            self.dropout = nn.Dropout(rate) if rate else nn.Identity()
            self.project = nn.Linear(inputs, width) if inputs != width else None

        def forward(self, x: Tensor) -> Tensor:
            residual = x if self.project is None else self.project(x)
            return residual + self.dropout(F.gelu(self.norm(self.linear(x))))

    def __init__(self) -> None:
        super().__init__()
        widths = [(4, 8, 0.0), (8, 8, 0.0), (8, 8, 0.0), (8, 16, 0.0), (16, 16, 0.0), (16, 16, 0.0), (16, 16, 0.0)]
        self.blocks = nn.ModuleList([self.Block(*width) for width in widths])

    def forward(self, x: Tensor) -> Tensor:
        for block in self.blocks:
            x = block(x)
        return x


def test_equal_blocks_are_stacked_and_others_are_not() -> None:
    torch.manual_seed(0)
    x = torch.randn(3, 4)
    loop = assert_like_torch(Stack(), (x,))
    assert classes(loop.source, "Block") == ["Block"]
    model = Stack().eval()
    scan = regauge.to_jax(model, (x,), layers="scan")
    assert classes(scan.source, "Block") == ["Block"]
    assert "nnx.vmap(lambda rngs: Block(in_features=16, features=16, project=False, rngs=rngs))" in scan.source
    np.testing.assert_allclose(scan(x.numpy()), model(x).detach().numpy(), rtol=1e-5, atol=1e-6)


class Residual(nnx.Module):
    def __init__(self, inputs: int, features: int, *, rngs: nnx.Rngs) -> None:
        self.linear = nnx.Linear(inputs, features, rngs=rngs)
        self.norm = nnx.LayerNorm(features, rngs=rngs)
        self.project = nnx.Linear(inputs, features, rngs=rngs) if inputs != features else None

    def __call__(self, x: jax.Array) -> jax.Array:
        y = nnx.relu(self.norm(self.linear(x)))
        return y + (x if self.project is None else self.project(x))


class Residuals(nnx.Module):
    def __init__(self, *, rngs: nnx.Rngs) -> None:
        self.first = Residual(8, 8, rngs=rngs)
        self.second = Residual(8, 16, rngs=rngs)
        self.third = Residual(16, 16, rngs=rngs)

    def __call__(self, x: jax.Array) -> jax.Array:
        return self.third(self.second(self.first(x)))


def test_from_jax_too() -> None:
    source = assert_same(Residuals(rngs=nnx.Rngs(0)), (jnp.linspace(-1, 1, 24).reshape(3, 8),)).source
    assert classes(source, "Residual") == ["Residual", "Residuals"]
    assert "self.project = nn.Linear(in_features, features) if project else None" in source
