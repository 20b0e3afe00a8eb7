"""Annotations of ops.py name types that it defines or imports."""

from __future__ import annotations

import ast
import builtins
import inspect
import typing
from collections.abc import Callable, Iterable

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from jax import Array
from torch import nn

import regauge
from regauge.emit.expressions import Helpers
from regauge.emit.files import ops_text
from regauge.emit.nnx_target import NNX
from regauge.emit.target import Target, writing
from regauge.emit.torch_target import TORCH
from regauge.emit.type_aliases import written_type
from regauge.rules import aten_to_jax, lax_to_torch
from regauge.rules.aten_to_jax import max_pooling, resize_nearest
from regauge.rules.table import Rule


class Resized(nn.Module):
    def forward(self, x: torch.Tensor, grid: torch.Tensor) -> tuple[torch.Tensor, ...]:
        return (
            F.interpolate(x, size=(5, 7), mode="nearest"),
            F.interpolate(x, scale_factor=1.5, mode="bilinear"),
            F.grid_sample(x, grid, align_corners=False),
            F.max_pool2d(x, 3, 2, 1, ceil_mode=True),
            F.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False),
        )


def test_type_hints_of_copied_helpers_can_be_read() -> None:
    torch.manual_seed(0)
    inputs = (torch.randn(2, 3, 6, 6), torch.rand(2, 4, 4, 2) * 2 - 1)
    made = regauge.to_jax(Resized(), inputs)
    text = made.sources["ops"]
    assert "\nSizes = tuple[int, ...]\n" in text
    assert "\nScales = tuple[float | None, ...] | None\n" in text
    assert_defined(text)
    for mine, theirs in zip(made(*(t.numpy() for t in inputs)), Resized()(*inputs), strict=True):
        np.testing.assert_allclose(mine, theirs.numpy(), rtol=1e-5, atol=1e-5)


def test_a_name_that_means_two_types_is_either() -> None:
    helpers = Helpers()
    helpers.add(resize_nearest.resize_nearest)  # a size for each axis
    helpers.add(max_pooling.max_pool2d)  # or one for all
    text = ops_text(helpers) or ""
    assert "\nSizes = tuple[int, ...] | int\n" in text
    assert_defined(text)


def by_family() -> Iterable[tuple[Target, str, list[Rule]]]:
    for target, families in ((NNX, aten_to_jax.FAMILIES), (TORCH, lax_to_torch.FAMILIES)):
        for family in families:
            yield target, family.__name__.split(".", 2)[-1], list(family.TABLE)


@pytest.mark.parametrize(("target", "rules"), [pytest.param(t, rules, id=name) for t, name, rules in by_family()])
def test_every_rule_names_known_types(target: Target, rules: list[Rule]) -> None:
    helpers = Helpers()
    for rule in rules:
        helpers.add(inspect.unwrap(rule.fn))
    with writing(target):
        assert_defined(ops_text(helpers) or "")


def assert_defined(text: str) -> None:
    space: dict[str, object] = {"__name__": "ops"}
    exec(compile(text, "ops.py", "exec"), space)
    for fn in space.values():
        if inspect.isfunction(fn) and fn.__module__ == "ops":
            typing.get_type_hints(fn)
    for annotation in annotations_of_variables(text):
        assert {n.id for n in ast.walk(annotation) if isinstance(n, ast.Name)} <= {*space, *dir(builtins)}


def annotations_of_variables(text: str) -> list[ast.expr]:
    return [node.annotation for node in ast.walk(ast.parse(text)) if isinstance(node, ast.AnnAssign)]


def test_types_are_written_as_people_write_them() -> None:
    kinds = (
        "tuple[float | None, ...] | None",
        "float | Callable[[Array], Array]",
        "Literal['a', 1]",
        "dict[str, tuple[int, str]]",
        "Any",
    )
    names = {"Callable": Callable, "Array": Array, "Literal": typing.Literal, "Any": typing.Any}
    assert [written_type(eval(kind, dict(names))) for kind in kinds] == list(kinds)
