"""Control flow: values and gradients are torch's, and the code is what a person would write."""

from __future__ import annotations

import flows
import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import UnsupportedOps

# Samples are such that both ways of a branch are taken by some.
X = torch.linspace(-1, 1, 20).reshape(5, 4)
CASES = {
    "cond": (flows.Gate, (X.abs(),)),
    "cond, other way": (flows.Gate, (-X.abs(),)),
    "cond in modules": (flows.Gates, (X.abs(),)),
    "modules as branches": (flows.Modules, (X,)),
    "scan": (flows.Recurrence, (torch.linspace(-1, 1, 72).reshape(3, 6, 4),)),
    "while_loop": (flows.Iterations, (X,)),
    "map": (flows.Rows, (X, X[:, :1] * 2, torch.linspace(-1, 1, 6).reshape(2, 3))),
    "associative_scan": (flows.Linear, (X.abs(), X)),
    "nested": (flows.Nested, (X,)),
    "writes": (flows.Writes, (X.abs(),)),
}


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients(name):
    make, inputs = CASES[name]
    torch.manual_seed(0)
    assert_like_torch(make(), inputs)


def test_both_ways_of_one_conversion():
    torch.manual_seed(0)
    model = flows.Gate()
    converted = regauge.to_jax(model, (X,))
    for sign in (1, -1):
        x = sign * (X.abs() + 0.1)
        assert np.allclose(converted(x.numpy()), model(x).detach().numpy(), atol=1e-6)


def test_other_sizes():
    torch.manual_seed(0)
    model = flows.Recurrence()
    converted = regauge.to_jax(model, (torch.randn(3, 6, 4),))
    for batch in (2, 7):
        x = torch.randn(batch, 6, 4)
        for found, expected in zip(converted(x.numpy()), model(x), strict=True):
            assert np.allclose(found, expected.detach().numpy(), atol=1e-5)


def body_of(converted: object) -> str:
    source = converted.source  # type: ignore[attr-defined]
    return source[source.index("def __call__") : source.index("def load")].strip()


def test_a_branch_reads_as_it_was_written():
    assert body_of(regauge.to_jax(flows.Gate(), (X,))) == (
        "def __call__(self, x):  # [batch, 4]\n"
        "        def positive(x):\n"
        "            return jnp.sin(self.layer(x)) * self.scale[...]\n"
        "\n"
        "        return jax.lax.cond(x.sum() > 0, positive, lambda x: x, x)"
    )


def test_a_scan_reads_as_it_was_written():
    text = body_of(regauge.to_jax(flows.Steps(), (X,)))
    assert "        def step(h, row):\n            def up(h):\n" in text
    assert "            h = jax.lax.cond(row.sum() > 0, up, down, h)  # [4]\n            return h, h + row\n" in text
    assert text.endswith("h, ys = jax.lax.scan(step, jnp.zeros_like(bias), x)\n        return h, ys")


def test_a_carry_is_unpacked_into_its_keys():
    text = body_of(regauge.to_jax(flows.Recurrence(), (torch.randn(3, 6, 4),)))
    assert "def step(carry, x):\n            h, c = carry\n" in text
    assert "reverse=True)" in text


def test_modules_as_branches_are_named_alone():
    assert "jax.lax.cond(x.mean() > 10, self.a, self.b, x)" in body_of(regauge.to_jax(flows.Modules(), (X,)))


def test_a_loop_of_integers_is_the_loop_of_jax():
    n = torch.tensor([5]).squeeze()
    converted = regauge.to_jax(flows.Counts(), (n,))
    assert "jax.lax.while_loop(more, halve, " in converted.source
    assert [int(converted(np.int32(value))) for value in (1, 2, 9, 1000)] == [0, 1, 3, 9]


@pytest.mark.parametrize("steps", [1, 63, 64, 65, 200])
def test_the_gradient_of_a_loop_at_each_number_of_steps(steps):
    torch.manual_seed(0)
    assert_like_torch(flows.Iterations(steps), (X,))


def test_a_loop_without_a_step_has_the_gradient_of_what_it_is_given():
    """torch 2.13 gives the gradient of one step here, which its loop does not make."""
    converted = regauge.to_jax(flows.Iterations(0), (X,))
    gradient = jax.grad(lambda x: converted.apply(converted.params, converted.state, x)[0][0].sum())(X.numpy())
    assert np.array_equal(gradient, np.ones((5, 4)))


def test_layers_in_functions_are_those_of_the_module():
    converted = regauge.to_jax(flows.Gate(), (X,))
    assert "self.layer = nnx.Linear(4, 4, rngs=rngs)" in converted.source
    assert {entry.source for entry in converted._conversion.weight_map.entries} == {
        "layer.weight",
        "layer.bias",
        "scale",
    }


def scaled(factor):
    def branch(x):
        y = x * factor
        return y + x

    return branch


def test_branches_of_one_name_are_two_functions():
    def forward(x):
        return torch.cond(x.sum() > 0, scaled(2.0), scaled(3.0), (x,))

    converted = regauge.to_jax(forward, (X,))
    for x in (X.abs(), -X.abs()):
        assert np.allclose(converted(x.numpy()), forward(x).numpy(), atol=1e-6)


class Mode(nn.Module):
    """A function that asks for the mode."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cond(x.sum() > 0, lambda x: x * (2 if self.training else 3), lambda x: -x, (x,))


def test_functions_that_ask_for_the_mode():
    converted = regauge.to_jax(Mode(), (X,), train=True)
    x = X.abs().numpy()
    assert np.allclose(converted(x), 2 * x)
    converted.module.eval()
    assert np.allclose(converted.module(jnp.asarray(x)), 3 * x)


class Halves(nn.Module):
    """float64 and integers in the functions."""

    def forward(self, x: Tensor, k: Tensor) -> Tensor:
        def one(x, k):
            return (x.double() * 0.1).float() + k

        def other(x, k):
            return x * torch.tensor([1.0, 2.0, 3.0, 4.0]) - k.float()

        return torch.cond(k.sum() > 2, one, other, (x, k))


def test_dtypes_and_constants_inside():
    converted = regauge.to_jax(Halves(), (X, torch.arange(4)))
    for k in (torch.arange(4), torch.zeros(4, dtype=torch.int64)):
        found = converted(X.numpy(), k.numpy())
        assert np.allclose(found, Halves()(X, k).numpy(), atol=1e-6)
        assert found.dtype == jnp.float32


class Noise(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return flows.map(lambda row: row + torch.randn_like(row), x)


def test_gaps_inside_are_listed():
    with pytest.raises(UnsupportedOps) as caught:
        regauge.to_jax(Noise(), (X,))
    assert any("aten.randn_like.default" in line and "random key" in line for line in caught.value.details)


def test_gradients_through_jit_and_vmap():
    torch.manual_seed(0)
    converted = regauge.to_jax(flows.Steps(), (X,))
    x = jnp.asarray(torch.stack([X, -X]).numpy())
    whole = jax.vmap(lambda one: converted.apply(converted.params, converted.state, one)[0][0])(x)
    for row, one in zip(whole, x, strict=True):
        assert np.allclose(row, converted(one)[0], atol=1e-6)
