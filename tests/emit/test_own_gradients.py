"""`torch.autograd.Function` with its own backward: gradients are those of its author, not those of the forward."""

from __future__ import annotations

import re

import jax
import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

import regauge
from regauge.errors import CaptureError, UnsupportedOps

X = torch.linspace(-1, 1, 20).reshape(5, 4)


class PassRound(Function):
    """Straight through."""

    @staticmethod
    def forward(ctx, x):
        return torch.round(x)

    @staticmethod
    def backward(ctx, gradient):
        return gradient


class LeakyClamp(Function):
    """`setup_context`, attributes of the context, arguments without a gradient."""

    @staticmethod
    def forward(x, low, high):
        return x.clamp(low, high)

    @staticmethod
    def setup_context(ctx, inputs, output):
        x, low, high = inputs
        ctx.save_for_backward(x)
        ctx.low, ctx.high = low, high

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        inside = (x >= ctx.low) & (x <= ctx.high)
        return torch.where(inside, g, 0.1 * g), None, None


class Scaled(Function):
    """Two tensors and two results; saves what it computed on the way; a gradient that is summed to its tensor."""

    @staticmethod
    def forward(ctx, x, w):
        s = torch.sigmoid(x)
        y = s * w
        ctx.save_for_backward(s, w, y)
        return y, s.sum(-1)

    @staticmethod
    @once_differentiable
    def backward(ctx, g, sums):
        s, w, y = ctx.saved_tensors
        by_x = by_w = None
        if ctx.needs_input_grad[0]:
            by_x = 2 * g * w * s * (1 - s) + sums[..., None] * 0.5
        if ctx.needs_input_grad[1]:
            by_w = g * s + 0 * y
        return by_x, by_w


class Largest(Function):
    """A result of integers, and one that is marked as not differentiable."""

    @staticmethod
    def forward(ctx, x):
        place = x.argmax(-1)
        half = x.detach() * 0.5
        ctx.mark_non_differentiable(place, half)
        ctx.save_for_backward(place)
        ctx.width = x.shape[-1]
        return x.max(-1).values, place, half

    @staticmethod
    def backward(ctx, g, _, __):
        (place,) = ctx.saved_tensors
        return nn.functional.one_hot(place, ctx.width) * g[..., None] * 3


class Square(Function):
    """Complex numbers, whose gradient JAX conjugates; it is three times what it should be."""

    @staticmethod
    def forward(ctx, z):
        ctx.save_for_backward(z)
        return z * z

    @staticmethod
    def backward(ctx, g):
        (z,) = ctx.saved_tensors
        return 6 * g * z.conj()


class Reads(Function):
    """A tensor that is no argument."""

    table = torch.tensor([1.0, 2.0, 3.0, 4.0])

    @staticmethod
    def forward(ctx, x):
        return x * Reads.table + torch.arange(x.shape[-1])

    @staticmethod
    def backward(ctx, g):
        return g / Reads.table


class Decides(Function):
    """A backward that has no single graph."""

    @staticmethod
    def forward(ctx, x):
        ctx.save_for_backward(x)
        return x * 2

    @staticmethod
    def backward(ctx, g):
        (x,) = ctx.saved_tensors
        return g if x.sum() > 0 else -g


class Applies(nn.Module):
    def __init__(self, function) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.function = function

    def forward(self, x: Tensor):
        return self.function(self.layer(x))


class Weighted(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1.0]))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return Scaled.apply(x, self.weight)


CASES = {
    "straight through": lambda x: PassRound.apply(3 * x) + PassRound.apply(x),
    "setup_context": lambda x: LeakyClamp.apply(LeakyClamp.apply(x, -0.2, 0.3) * 2, -0.5, 0.4),
    "other results": lambda x: Largest.apply(x),
    "complex": lambda x: torch.view_as_real(Square.apply(torch.complex(x, x.flip(0)))),
    "a tensor from outside": lambda x: Reads.apply(x),
    "sizes": lambda x: LeakyClamp.apply(x[:2], -1.0, 1.0).sum() + LeakyClamp.apply(x, -1.0, 1.0),
}


@pytest.mark.parametrize("train", [False, True])
@pytest.mark.parametrize("name", CASES)
def test_gradients_are_those_of_the_author(name, train):
    torch.manual_seed(0)
    assert_like_torch(Applies(CASES[name]), (X,), train=train)


def test_several_tensors_and_results():
    assert_like_torch(Weighted(), (X,))


class Softplus(Function):
    """Called like a function of the rules, with a gradient that depends on the layer."""

    @staticmethod
    def forward(ctx, x, factor):
        ctx.factor = factor
        return nn.functional.softplus(x)

    @staticmethod
    def backward(ctx, g):
        return g * ctx.factor, None


class Layer(nn.Module):
    def __init__(self, factor: float) -> None:
        super().__init__()
        self.layer = nn.Linear(4, 4)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        return Softplus.apply(self.layer(x), self.factor) + nn.functional.softplus(x)


def test_layers_that_differ_in_their_gradient_alone_stay_different():
    torch.manual_seed(0)
    assert_like_torch(nn.Sequential(Layer(0.5), Layer(2.0)), (X,))


def own(converted) -> str:
    ops = converted.sources["ops"]
    return re.sub(r"(?<=test_own_gradients.py):\d+", "", ops[ops.index("@jax.custom_vjp") :]).strip()


def test_the_function_reads_as_it_was_written():
    converted = regauge.to_jax(Applies(lambda x: PassRound.apply(x)), (X,))
    assert "return ops.pass_round(self.layer(x))" in converted.source
    assert own(converted) == (
        "@jax.custom_vjp\n"
        "def pass_round(x):  # test_own_gradients.py\n"
        "    return jnp.round(x)\n\n\n"
        "def pass_round_forward(x):\n"
        "    return pass_round(x), None\n\n\n"
        "def pass_round_backward(_, gradient):\n"
        "    return (gradient,)\n\n\n"
        "pass_round.defvjp(pass_round_forward, pass_round_backward)"
    )


def test_what_is_saved_keeps_its_name():
    text = own(regauge.to_jax(Weighted(), (X,)))
    assert "def scaled_backward(saved, gradients):\n    w, s, y = saved\n    g, sums = gradients\n" in text


def test_one_function_serves_several_sizes():
    assert own(regauge.to_jax(Applies(CASES["sizes"]), (X,))).count("@jax.custom_vjp") == 1


def test_a_backward_that_decides_on_values_is_refused_in_training():
    model = Applies(lambda x: Decides.apply(x))
    with pytest.raises(CaptureError, match=r"the backward of Decides \(GuardOnDataDependentSymNode") as caught:
        regauge.to_jax(model, (X,), train=True)
    assert caught.value.code == "C135"
    assert caught.value.where.startswith("test_own_gradients.py:")
    found = regauge.to_jax(model, (X,)).findings
    assert any(finding.code == "C135" and "use outputs only" in finding.text for finding in found)


class InPlace(Function):
    @staticmethod
    def forward(ctx, x):
        ctx.mark_dirty(x)
        return x.mul_(2)

    @staticmethod
    def backward(ctx, g):
        return g * 2


def test_a_function_that_changes_its_input_is_refused_in_training():
    with pytest.raises(CaptureError, match="it changes its inputs in place"):
        regauge.to_jax(Applies(lambda x: InPlace.apply(x * 1)), (X,), train=True)


class Drops(Function):
    """A mask that the derivative uses again."""

    @staticmethod
    def forward(ctx, x, rate):
        mask = (1 - torch.empty_like(x).bernoulli_(1 - rate)).to(torch.bool)
        ctx.scale = 1 / (1 - rate)
        ctx.save_for_backward(mask)
        return x.masked_fill(mask, 0) * ctx.scale

    @staticmethod
    def backward(ctx, g):
        (mask,) = ctx.saved_tensors
        return g.masked_fill(mask, 0) * ctx.scale, None


class Draws(Function):
    """Draws with probabilities that it computes, and has a gradient of its own by them."""

    @staticmethod
    def forward(ctx, x):
        p = torch.sigmoid(x)
        ctx.save_for_backward(p)
        return torch.bernoulli(p)

    @staticmethod
    def backward(ctx, g):
        (p,) = ctx.saved_tensors
        return g * p


class DrawsBackward(Function):
    @staticmethod
    def forward(ctx, x):
        return x * 2

    @staticmethod
    def backward(ctx, g):
        return g * torch.rand_like(g)


class Random(nn.Module):
    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        return Drops.apply(x, 0.25), Draws.apply(x)


def test_what_a_function_draws_is_drawn_before_it():
    x = np.linspace(0.5, 1.5, 4000, dtype=np.float32).reshape(1000, 4)
    converted = regauge.to_jax(Random(), (torch.from_numpy(x),), train=True)

    def total(x, key):
        (dropped, drawn), _ = converted.apply(converted.params, converted.state, x, rng=key)
        return dropped.sum() + 3 * drawn.sum(), (dropped, drawn)

    slopes, (dropped, drawn) = jax.jit(jax.grad(total, has_aux=True))(x, jax.random.key(1))
    p = 1 / (1 + np.exp(-x))
    mask = np.asarray(dropped) != 0
    np.testing.assert_allclose(dropped, np.where(mask, x / 0.75, 0), rtol=1e-6)
    np.testing.assert_allclose(slopes, mask / 0.75 + 3 * p, rtol=1e-5)
    assert set(np.unique(drawn)) == {0, 1}
    # five standard errors of the mean
    assert abs(mask.mean() - 0.75) < 5 * np.sqrt(0.75 * 0.25 / x.size)
    assert abs((np.asarray(drawn) - p).mean()) < 5 * np.sqrt((p * (1 - p)).mean() / x.size)
    _, (others, _) = jax.jit(jax.grad(total, has_aux=True))(x, jax.random.key(2))
    assert not np.array_equal(others, dropped)


def test_what_a_derivative_draws_is_a_limit():
    with pytest.raises(UnsupportedOps, match=r"aten\.rand_like\.default"):
        regauge.to_jax(Applies(lambda x: DrawsBackward.apply(x)), (X,), train=True)
