"""``x[i]`` and ``x[:, i] = y`` where i is a tensor of one integer: read, written, put back, and kept in buffers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax.numpy as jnp
import numpy as np
import pytest
import torch
from like_torch import assert_like_torch
from torch import Tensor, nn

import regauge
from regauge.errors import CaptureError

X = torch.randn(4, 4, generator=torch.Generator().manual_seed(0))
CACHE = torch.randn(4, 7, 4, generator=torch.Generator().manual_seed(1))


class Function(nn.Module):
    def __init__(self, function: Callable[..., Any]) -> None:
        super().__init__()
        self.linear, self.function = nn.Linear(4, 4), function

    def forward(self, x: Tensor, i: Tensor) -> Any:
        return self.function(self.linear(x), i)


def reads(x: Tensor, i: Tensor) -> Any:
    return x[i], x[:, i], x[..., i], x[None, i], x[i, 1:3], x[1, i], x[i, i]


def writes(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    x[i] = x[0] + 1
    x[:, i] = 3.0
    x[i, 1:3] = x[1, :2] * 1
    x[:, i] = x[None, :, 0] * 1
    x[i, i] = 7
    return x


def puts_back(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    x[i] += x[0]
    x[:, i] *= 2
    x[..., i] -= 1
    return x


def into_a_cache(x: Tensor, i: Tensor) -> Any:
    cache = CACHE.clone()
    cache[:, i] = x
    return cache.sum(1), cache[:, i]


def reads_before_writing(x: Tensor, i: Tensor) -> Any:
    x, other = x * 2, x * 3
    row, place, last = x[i], i.clone(), other[i]
    column = other[:, place]
    x[i] = 0.0
    place.add_(1).remainder_(4)
    other[0].mul_(2)
    other.t()[1] = 5.0
    return row + 1, column, last, x


@pytest.mark.parametrize("function", [reads, writes, puts_back, into_a_cache, reads_before_writing])
def test_values_and_gradients(function: Callable[..., Any]) -> None:
    torch.manual_seed(0)
    model = Function(function)
    converted = assert_like_torch(model, (X, torch.tensor(1)))
    for place in (0, 2, 3, -1):
        found = converted(X.numpy(), np.int32(place))
        expected = model(X, torch.tensor(place))
        both = zip(found, expected, strict=True) if isinstance(expected, tuple) else [(found, expected)]
        for one, other in both:
            np.testing.assert_allclose(one, other.detach(), atol=1e-5)


def test_the_code_is_an_index() -> None:
    source = regauge.to_jax(Function(lambda x, i: x[:, i]), (X, torch.tensor(1))).source
    assert "return self.linear(x)[:, i]" in source


class Queue(nn.Module):
    """Keeps the newest means, at a place that goes round."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("place", torch.zeros((), dtype=torch.long))
        self.register_buffer("queue", torch.zeros(3, 4))

    def forward(self, x: Tensor) -> Tensor:
        self.queue[self.place] = x.mean(0)
        self.place.copy_((self.place + 1) % 3)
        return x @ self.queue.T


def test_a_place_in_a_buffer_goes_round() -> None:
    model = Queue()
    converted = regauge.to_jax(model, (X,))
    for step in range(5):
        x = X + step
        np.testing.assert_allclose(converted(x.numpy()), model(x), rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(converted.module.queue[...].shape, model.queue.shape)


def adds_to_a_view(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    x[i].add_(1)
    return x


def writes_to_a_view(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    x[i][0] = 2.0
    return x


def keeps_a_view(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    row = x[i]
    row += 1
    return x


def writes_to_a_view_of_it(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    x[i].view(2, 2).T.zero_()
    return x


def passes_it_on(x: Tensor, i: Tensor) -> Tensor:
    x = x * 2
    torch.nn.functional.relu(x[i], inplace=True)
    return x


@pytest.mark.parametrize(
    "function", [adds_to_a_view, writes_to_a_view, keeps_a_view, writes_to_a_view_of_it, passes_it_on]
)
def test_what_is_written_to_a_view_is_refused_with_its_line(function: Callable[..., Any]) -> None:
    with pytest.raises(CaptureError, match="another tensor names") as caught:
        regauge.to_jax(Function(function), (X, torch.tensor(1)))
    line = function.__code__.co_firstlineno + (3 if function is keeps_a_view else 2)
    assert caught.value.code == "C104"
    assert caught.value.where == f"test_tensor_places.py:{line}"


def test_integers_of_an_input_are_any_width() -> None:
    converted = regauge.to_jax(Function(lambda x, i: x[i]), (X, torch.tensor(1, dtype=torch.int32)))
    assert converted(X.numpy(), jnp.int32(2)).shape == (4,)
