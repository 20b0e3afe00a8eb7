"""Operators that only a person has (`torch.library`), with the rules that they write for them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from torch import Tensor, nn

import regauge
from regauge.emit.expressions import Helpers
from regauge.emit.files import ops_text
from regauge.errors import BadCase, EmitError, UnsupportedOps
from regauge.rules import custom


@torch.library.custom_op("regauge_tests::soft_clip", mutates_args=())
def soft_clip(x: Tensor, scale: float) -> Tensor:
    return scale * torch.tanh(x / scale)


@soft_clip.register_fake
def _soft_clip_shape(x: Tensor, scale: float) -> Tensor:
    return torch.empty_like(x)


class Clipped(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.fc = nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        return soft_clip(self.fc(x), 2.0)


def softened(x, scale):
    """Travels along with the rule that calls it."""
    return jnp.tanh(x / scale)


@pytest.fixture(autouse=True)
def _no_rules_left() -> Iterator[None]:
    yield
    custom._OWN.clear()


def test_an_operator_without_a_rule_is_refused() -> None:
    with pytest.raises(UnsupportedOps, match=r"regauge_tests\.soft_clip\.default") as refused:
        regauge.to_jax(Clipped(), (torch.randn(3, 4),))
    assert refused.value.next.startswith('write @regauge.rule("regauge_tests::soft_clip")')
    assert "docs/unsupported.md" in refused.value.next


def test_a_rule_of_ones_own_is_used_and_differentiated() -> None:
    @regauge.rule("regauge_tests::soft_clip")
    def own_soft_clip(x, scale: float):
        return scale * softened(x, scale)

    torch.manual_seed(0)
    model, x = Clipped(), torch.randn(3, 4)
    converted = regauge.to_jax(model, (x,))
    assert "2.0 * ops.softened(self.fc(x), 2.0)" in converted.source
    assert "def softened(x, scale):" in converted.sources["ops"]
    assert np.allclose(converted(x.numpy()), model(x).detach(), rtol=1e-5, atol=1e-6)
    moved = jax.grad(lambda x: converted.apply(converted.params, converted.state, x)[0].sum())(jnp.asarray(x.numpy()))
    inner = model.fc(x)
    expected = (1 / torch.cosh(inner / 2) ** 2) @ model.fc.weight
    assert np.allclose(moved, expected.detach(), rtol=1e-4, atol=1e-5)


def test_it_wins_over_a_rule_of_regauge() -> None:
    @regauge.rule("aten::relu")
    def own_relu(self):
        return jnp.where(self > 0, self, 0)

    source = regauge.to_jax(nn.ReLU(), (torch.randn(3),)).source
    assert "jnp.where(input > 0" in source


def test_two_functions_of_one_name_are_refused() -> None:
    def first() -> Any:
        def helper(x):
            return x + 1

        return helper

    def second() -> Any:
        def helper(x):
            return x + 2

        return helper

    helpers = Helpers()
    helpers.add(first())
    helpers.add(second())
    with pytest.raises(EmitError, match="two functions are called helper"):
        ops_text(helpers)


def test_families_of_rules_may_bring_the_same_helper() -> None:
    """Both kinds of pooling with padding in ceiling mode compute it by a helper of one text."""

    class Pools(nn.Module):
        def forward(self, x):
            average = nn.functional.avg_pool2d(x, 3, 2, 1, ceil_mode=True, count_include_pad=False)
            return nn.functional.max_pool2d(x, 3, 2, 1, ceil_mode=True) + average

    x = torch.randn(2, 3, 9, 9)
    converted = regauge.to_jax(Pools(), (x,))
    np.testing.assert_allclose(converted(jnp.asarray(x.numpy())), Pools()(x).numpy(), rtol=1e-6)


@pytest.mark.parametrize("name", ["soft_clip", "mylib.soft_clip", "mylib::", "my lib::op"])
def test_what_is_no_operator_is_refused(name: str) -> None:
    with pytest.raises(BadCase, match="for an operator of torch"):
        regauge.rule(name)


def test_a_file_of_rules_that_raises_is_named_with_its_line(tmp_path) -> None:
    path = tmp_path / "my_rules.py"
    with pytest.raises(BadCase, match="no such file of rules"):
        custom.load_rules(path)
    path.write_text("import regauge\nregauge.rule('x')\n", encoding="utf-8")
    with pytest.raises(BadCase, match=r"my_rules\.py raised BadCase"):
        custom.load_rules(path)
