"""Arithmetic and elementary functions."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.elementwise")

Number = bool | int | float | complex


@TABLE.rule("lax.add", "lax.add_any")
def add(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """add(x, y)"""
    return x + y  # type: ignore[return-value]


@TABLE.rule("lax.sub")
def sub(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """sub(x, y)"""
    return x - y  # type: ignore[return-value]


@TABLE.rule("lax.mul")
def mul(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """mul(x, y)"""
    return x * y  # type: ignore[return-value]


@TABLE.rule("lax.div")
def div(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """div(x, y)"""
    return x / y  # type: ignore[return-value]


@TABLE.rule("lax.max")
def maximum(x: Tensor | Number, y: Tensor | Number) -> Tensor:
    """max(x, y)"""
    if isinstance(x, Tensor):
        return torch.maximum(x, y if isinstance(y, Tensor) else x.new_tensor(y))
    return torch.maximum(y.new_tensor(x), y)  # type: ignore[union-attr, arg-type]


@TABLE.rule("lax.rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """rsqrt(x)"""
    return x.rsqrt()


@TABLE.rule("lax.tanh")
def tanh(x: Tensor) -> Tensor:
    """tanh(x)"""
    return x.tanh()


@TABLE.rule("lax.exp")
def exp(x: Tensor) -> Tensor:
    """exp(x)"""
    return x.exp()


@TABLE.rule("lax.log")
def log(x: Tensor) -> Tensor:
    """log(x)"""
    return x.log()


@TABLE.rule("lax.square")
def square(x: Tensor) -> Tensor:
    """square(x)"""
    return x.square()


@TABLE.rule("lax.integer_pow")
def integer_pow(x: Tensor, y: int) -> Tensor:
    """integer_pow(x, *, y)"""
    return x**y


@TABLE.rule("lax.stop_gradient")
def stop_gradient(x: Tensor) -> Tensor:
    """stop_gradient(x)"""
    return x.detach()
