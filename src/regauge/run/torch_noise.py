"""Within a check torch's random numbers, integers, orders and choices are those of `shared_noise`, draw by draw."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from regauge.run.shared_noise import Kind, gumbel, integers, numbers, order

aten = torch.ops.aten


class SharedNoise:
    """Numbers the draws of one pass; `again` begins the next pass."""

    def __init__(self) -> None:
        self.drawn = 0

    def again(self) -> None:
        self.drawn = 0

    def draw(self, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Tensor | None:
        """What a random operator gives, or None for any other operator."""
        if func in _CHOICES:
            given = _CHOICES[func](self.drawn, *args, **kwargs)
            self.drawn += 1
            return func(*args, **kwargs).copy_(given)  # which has the dtype
        entry = _DRAWS.get(func)
        if entry is None:
            return None
        like, kind, scale = entry
        result = like(*args, **kwargs)
        given = torch.from_numpy(numbers(kind, self.drawn, tuple(result.shape))).to(result)
        self.drawn += 1
        return result.copy_(scale(given, *args))


def _standard(given: Tensor, *_: Any) -> Tensor:
    return given


def _normal(given: Tensor, _self: Any, mean: Any = 0.0, std: Any = 1.0, *_: Any) -> Tensor:
    return mean + std * given


def _uniform(given: Tensor, _self: Any, low: float = 0.0, high: float = 1.0, *_: Any) -> Tensor:
    return low + (high - low) * given


def _between(index: int, low: int, high: int, size: Any, **_: Any) -> Tensor:
    return torch.from_numpy(integers(index, tuple(size), low, high))


def _below(index: int, high: int, size: Any, **_: Any) -> Tensor:
    return _between(index, 0, high, size)


def _between_like(index: int, like: Tensor, low: int, high: int, **_: Any) -> Tensor:
    return _between(index, low, high, like.shape)


def _below_like(index: int, like: Tensor, high: int, **_: Any) -> Tensor:
    return _between(index, 0, high, like.shape)


def _order(index: int, count: int, **_: Any) -> Tensor:
    return torch.from_numpy(order(index, count))


def _categories(index: int, weights: Tensor, count: int, replacement: bool = False, **_: Any) -> Tensor:
    """The places of the largest perturbed logarithms: without replacement the first `count` of one draw."""
    logits = weights.log()
    if replacement or count == 1:
        noise = torch.from_numpy(gumbel(index, (count, *weights.shape))).to(logits)
        return (logits + noise).argmax(-1).movedim(0, -1)
    noise = torch.from_numpy(gumbel(index, tuple(weights.shape))).to(logits)
    return (logits + noise).topk(count).indices


# operator -> what draw number `index` gives
_CHOICES: dict[Any, Callable[..., Tensor]] = {
    aten.randint.default: _below,
    aten.randint.low: _between,
    aten.randint_like.default: _below_like,
    aten.randint_like.low_dtype: _between_like,
    aten.random_.to: _below_like,
    getattr(aten.random_, "from"): lambda index, like, low, high, **_: (
        like if high is None else _between_like(index, like, low, high)
    ),
    aten.randperm.default: _order,
    aten.multinomial.default: _categories,
}

# operator -> what has the shape and dtype of its result, the kind of its numbers, and how they are scaled
_DRAWS: dict[Any, tuple[Callable[..., Tensor], Kind, Callable[..., Tensor]]] = {
    aten.randn.default: (aten.empty.memory_format, "normal", _standard),
    aten.randn_like.default: (aten.empty_like.default, "normal", _standard),
    aten.normal_.default: (lambda self, *_, **__: self, "normal", _normal),
    aten.normal_functional.default: (lambda self, *_, **__: torch.empty_like(self), "normal", _normal),
    aten.normal.float_float: (
        lambda mean, std, size, generator=None, **options: torch.empty(size, **options),
        "normal",
        lambda given, mean, std, *_: mean + std * given,
    ),
    aten.normal.Tensor_Tensor: (
        lambda mean, std, **_: torch.empty_like(mean + std),
        "normal",
        lambda given, mean, std, *_: mean + std * given,
    ),
    aten.rand.default: (aten.empty.memory_format, "uniform", _standard),
    aten.rand_like.default: (aten.empty_like.default, "uniform", _standard),
    aten.uniform_.default: (lambda self, *_, **__: self, "uniform", _uniform),
}
