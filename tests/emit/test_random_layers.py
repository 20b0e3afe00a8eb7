"""Layers that draw: rate, scale and shape of what they drop, gradients through the same draw, silence in evaluation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

import regauge

RATE = 0.3
SHAPE = (40, 30, 5, 4)  # samples, channels, height, width


class StochasticDepth(nn.Module):
    """Whole branches are dropped for some samples, and the others are scaled up."""

    def __init__(self) -> None:
        super().__init__()
        self.branch = nn.Conv2d(30, 30, 1)

    def forward(self, x: Tensor) -> Tensor:
        if not self.training:
            return x + self.branch(x)
        kept = torch.empty((x.shape[0], 1, 1, 1), dtype=x.dtype).bernoulli_(1 - RATE)
        return x + self.branch(x) * kept / (1 - RATE)


class Functional(nn.Module):
    """The functions instead of the layers, switched by the mode."""

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        return (
            F.dropout2d(x, RATE, self.training),
            F.rrelu(x, 0.1, 0.4, self.training),
            F.alpha_dropout(x, RATE, self.training),
        )


class Noisy(nn.Module):
    """Gaussian noise in training only."""

    def forward(self, x: Tensor) -> Tensor:
        return x + 0.1 * torch.randn_like(x) if self.training else x


# name: how it is made, the shape of its input, and along which axes all elements share one draw
CASES: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...], tuple[int, ...]]] = {
    "dropout": (lambda: nn.Dropout(RATE), SHAPE, ()),
    "dropout 1d": (lambda: nn.Dropout1d(RATE), SHAPE[:3], (2,)),
    "dropout 2d": (lambda: nn.Dropout2d(RATE), SHAPE, (2, 3)),
    "dropout 3d": (lambda: nn.Dropout3d(RATE), (*SHAPE, 2), (2, 3, 4)),
    "alpha dropout": (lambda: nn.AlphaDropout(RATE), SHAPE, ()),
    "feature alpha dropout": (lambda: nn.FeatureAlphaDropout(RATE), SHAPE, (2, 3)),
}


def pair(make: Callable[[], nn.Module], shape: tuple[int, ...]) -> tuple[nn.Module, Any, Tensor]:
    torch.manual_seed(0)
    model, x = make(), torch.rand(shape) + 0.5
    return model, regauge.to_jax(model, (x,), train=True), x


def evaluated(converted: Any, x: Tensor) -> Any:
    converted.module.eval()
    return converted.module(jnp.asarray(x.numpy()))


@pytest.mark.parametrize("name", CASES)
def test_what_is_dropped(name: str) -> None:
    """In both frameworks an element is kept, as ``a x + b``, or dropped, to one value; so its slope says which."""
    make, shape, shared = CASES[name]
    model, converted, x = pair(make, shape)

    def draw(key: jax.Array) -> tuple[jax.Array, jax.Array]:
        apply = lambda x: converted.apply(converted.params, converted.state, x, rng=key)[0]  # noqa: E731
        outputs, back = jax.vjp(apply, jnp.asarray(x.numpy()))
        return outputs, back(jnp.ones_like(outputs))[0]

    outputs, slopes = map(np.asarray, jax.jit(draw)(jax.random.key(0)))
    leaf = x.clone().requires_grad_()
    expected = model(leaf)
    (wanted,) = torch.autograd.grad(expected.sum(), leaf)
    kept, kept_there = slopes != 0, wanted.numpy() != 0
    values = [np.unique(found[found != 0].round(5)) for found in (slopes, wanted.numpy())]
    assert np.allclose(*values, atol=1e-5), "the scale of what is kept"
    shift, shift_there = outputs - slopes * x.numpy(), expected.detach().numpy() - wanted.numpy() * x.numpy()
    for of_kept, of_kept_there in ((kept, kept_there), (~kept, ~kept_there)):
        assert np.allclose(shift[of_kept], shift_there[of_kept_there].mean(), atol=1e-4), "what is added"
    draws = kept if not shared else kept.all(axis=shared)
    assert np.array_equal(draws, kept if not shared else kept.any(axis=shared)), "elements of one draw differ"
    deviation = np.sqrt(RATE * (1 - RATE) / draws.size)
    assert abs(1 - draws.mean() - RATE) < 5 * deviation
    assert not np.array_equal(draw(jax.random.key(1))[1], slopes)
    assert np.array_equal(draw(jax.random.key(0))[1], slopes)
    assert np.array_equal(evaluated(converted, x), model.eval()(x).numpy())


def test_a_randomized_leaky_relu() -> None:
    model, converted, x = pair(lambda: nn.RReLU(0.1, 0.4), SHAPE)
    x = x - 1
    outputs, back = jax.vjp(lambda x: converted.apply(converted.params, converted.state, x)[0], jnp.asarray(x.numpy()))
    (slopes,) = back(jnp.ones_like(outputs))
    negative = x.numpy() < 0
    drawn = np.asarray(slopes)[negative]
    assert np.allclose(outputs, slopes * x.numpy(), atol=1e-6)
    assert np.all(slopes[~negative] == 1)
    assert 0.1 <= drawn.min() < 0.11 < 0.39 < drawn.max() <= 0.4
    assert abs(drawn.mean() - 0.25) < 5 * 0.3 / np.sqrt(12 * drawn.size)
    assert np.allclose(evaluated(converted, x), model.eval()(x).numpy(), atol=1e-6)


def test_stochastic_depth() -> None:
    model, converted, x = pair(StochasticDepth, SHAPE)
    outputs = np.asarray(converted(x.numpy()))
    branch = model.branch(x).detach().numpy() / (1 - RATE)
    dropped = np.isclose(outputs, x.numpy(), atol=1e-5).all(axis=(1, 2, 3))
    kept = np.isclose(outputs, x.numpy() + branch, atol=1e-5).all(axis=(1, 2, 3))
    assert np.all(dropped ^ kept)
    assert abs(dropped.mean() - RATE) < 5 * np.sqrt(RATE * (1 - RATE) / len(dropped))
    assert np.allclose(evaluated(converted, x), model.eval()(x).detach().numpy(), atol=1e-5)


def test_functions_that_are_switched_by_the_mode() -> None:
    model, converted, x = pair(Functional, SHAPE)
    first, second = converted(x.numpy()), converted(x.numpy())
    assert not np.array_equal(first[0], second[0])
    assert 0.2 < np.mean(np.asarray(first[0]) == 0) < 0.4
    for found, expected in zip(evaluated(converted, x), model.eval()(x), strict=True):
        assert np.allclose(found, expected.numpy(), atol=1e-6)


class Router(nn.Linear):
    """Scores with exponential noise in training."""

    def forward(self, x: Tensor) -> Tensor:
        scores = super().forward(x)
        return scores - torch.empty_like(scores).exponential_() if self.training else scores


class Tokens(nn.Module):
    """A module that is given all tokens of all sequences in one axis, and draws for each."""

    def __init__(self) -> None:
        super().__init__()
        self.router = Router(4, 4)

    def forward(self, ids: Tensor) -> Tensor:
        x = F.one_hot(ids, 4).float()
        return self.router(x.reshape(-1, 4)).reshape(x.shape)


def test_draws_for_a_product_of_sizes() -> None:
    """The module inside reads the product off the array that has it: neither of the two sizes enters."""
    ids = torch.randint(0, 4, (3, 5), generator=torch.Generator().manual_seed(0))
    model = Tokens()
    converted = regauge.to_jax(model, (ids,), train=True)
    router = converted.source.partition("class Router")[2].partition("class ")[0]
    assert router.count(".shape[0]") == 1
    assert converted(ids.numpy()).shape == (3, 5, 4)
    assert converted(ids.numpy()[:2, :4]).shape == (2, 4, 4)
    assert np.allclose(evaluated(converted, ids), model.eval()(ids).detach().numpy(), atol=1e-6)


def test_noise_in_training_only() -> None:
    model, converted, x = pair(Noisy, SHAPE)
    noise = np.asarray(converted(x.numpy())) - x.numpy()
    assert abs(noise.mean()) < 5 * 0.1 / np.sqrt(noise.size)
    assert abs(noise.std() - 0.1) < 5 * 0.1 / np.sqrt(2 * noise.size)
    assert np.array_equal(evaluated(converted, x), model.eval()(x).numpy())


class Droppings(nn.Module):
    """Functions that drop at rates that two of them share, and one that drops nothing."""

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        first = F.dropout(x, RATE, self.training)
        second = F.dropout(x, RATE, self.training)
        return first, second, F.dropout(x, 0.5, self.training), F.dropout(x, 0.0, self.training)


def test_one_dropout_for_each_rate() -> None:
    """As in code by hand: calls at one rate share it, each with a draw of its own; a rate of zero is none."""
    _, converted, x = pair(Droppings, SHAPE)
    assert converted.source.count("= nnx.Dropout(") == 2
    first, second, third, whole = (np.asarray(out) == 0 for out in converted(x.numpy()))
    assert not whole.any()
    for dropped, rate in ((first, RATE), (second, RATE), (third, 0.5), (first & second, RATE**2)):
        deviation = (rate * (1 - rate) / dropped.size) ** 0.5
        assert abs(dropped.mean() - rate) < 6 * deviation
