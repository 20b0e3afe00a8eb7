"""Reductions and cumulative operations in torch: what is written, and their derivatives at ties."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax

import regauge
from regauge.errors import UnsupportedOps

X = jnp.ones((4, 3, 2))


def body(function: Callable[..., Any], *arrays: Any) -> str:
    return regauge.to_torch(function, arrays).source.split("def forward")[1].split("def load")[0]


@pytest.mark.parametrize(
    ("function", "text"),
    [
        (lambda x: x.sum(-1), "return x.sum(-1)"),
        (lambda x: x.sum(1), "return x.sum(1)"),
        (lambda x: x.sum((1, 2)), "return x.sum((1, -1))"),
        (lambda x: x.sum(), "return x.sum()"),
        (lambda x: x.mean(-1), "return x.mean(-1)"),
        (lambda x: x.mean(-1, keepdims=True), "return x.mean(-1, keepdim=True)"),
        (lambda x: x.sum(1) / 3, "return x.mean(1)"),
        (lambda x: x.max(-1), "return x.amax(-1)"),
        (lambda x: (x > 0).any(-1), "return (x > 0.0).any(-1)"),
        (lambda x: (x > 0).astype(jnp.int32).sum(-1), "(x > 0.0).to(torch.int32).sum(-1, dtype=torch.int32)"),
        (lambda x: x.argmax(1), "return x.argmax(1).to(torch.int32)"),
        (lambda x: jnp.cumsum(x, 1), "return x.cumsum(1)"),
    ],
)
def test_what_a_person_writes(function: Callable[..., Any], text: str) -> None:
    assert text in body(function, X)


def test_a_sum_divided_by_another_number_is_no_mean() -> None:
    assert "mean" not in body(lambda x: x.sum(1) / 4, X)


def test_a_variance_is_that_of_torch() -> None:
    x = np.random.default_rng(0).standard_normal((4, 3)).astype(np.float32)
    model = regauge.to_torch(lambda x: x.var(-1, keepdims=True), (jnp.asarray(x),))
    assert "return x.var(-1, correction=0, keepdim=True)" in model.source
    np.testing.assert_allclose(model(torch.from_numpy(x[:2])).numpy(), x[:2].var(-1, keepdims=True), rtol=1e-5)


TIES = np.array([[1.0, 3.0, 3.0, 2.0, 3.0, 5.0, 5.0], [0.0, 0.0, -1.0, 0.0, 2.0, 2.0, 1.0]], np.float32)


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.max(-1),
        lambda x: x.min((0, 1)),
        lambda x: x.prod(-1),
        lambda x: lax.cummax(x, axis=1),
        lambda x: lax.cummin(x, axis=1, reverse=True),
        lambda x: lax.cumprod(x, axis=1),
        lambda x: lax.cumsum(x, axis=1, reverse=True),
        lambda x: lax.cumlogsumexp(x, axis=1),
    ],
)
def test_derivatives_at_ties(function: Callable[[Any], Any]) -> None:
    weights = np.random.default_rng(1).standard_normal(np.shape(function(jnp.asarray(TIES)))).astype(np.float32)
    wanted = jax.grad(lambda x: (function(x) * weights).sum())(jnp.asarray(TIES))
    model = regauge.to_torch(function, (jnp.asarray(TIES),), dynamic=None)
    x = torch.from_numpy(TIES.copy()).requires_grad_()
    (found,) = torch.autograd.grad((model(x) * torch.from_numpy(weights)).sum(), x)
    np.testing.assert_allclose(found.numpy(), np.asarray(wanted), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("function", [jnp.argmax, jnp.argmin])
def test_the_first_of_equal_elements_and_of_nan(function: Callable[..., Any]) -> None:
    x = np.array([[1, 3, 3, 1], [2, np.nan, np.nan, 0], [np.inf, -np.inf, np.inf, -np.inf]], np.float32)
    model = regauge.to_torch(lambda x: function(x, 1), (jnp.asarray(x),), dynamic=None)
    np.testing.assert_array_equal(model(torch.from_numpy(x)).numpy(), np.asarray(function(x, 1)))


@pytest.mark.parametrize("kind", ["max", "min", "sum", "prod"])
@pytest.mark.parametrize("dtype", ["float32", "int32"])
def test_reductions_of_nothing(kind: str, dtype: str) -> None:
    reduce = {"max": lax.reduce_max, "min": lax.reduce_min, "sum": lax.reduce_sum, "prod": lax.reduce_prod}[kind]
    x = jnp.zeros((2, 0), dtype)
    model = regauge.to_torch(lambda x: reduce(x, (1,)), (x,), dynamic=None)
    found = model(torch.zeros(2, 0, dtype=getattr(torch, dtype)))
    np.testing.assert_array_equal(found.numpy(), np.asarray(reduce(x, (1,))))


def test_logical_reductions_of_integers() -> None:
    x = np.random.default_rng(0).integers(-(2**31), 2**31 - 1, (5, 4), np.int32)
    functions = (lax.reduce_and, lax.reduce_or, lax.reduce_xor)
    model = regauge.to_torch(lambda x: [f(x, (0,)) for f in functions], (jnp.asarray(x),), dynamic=None)
    for found, function in zip(model(torch.from_numpy(x)), functions, strict=True):
        np.testing.assert_array_equal(found.numpy(), np.asarray(function(jnp.asarray(x), (0,))))


def test_a_reduction_of_several_arrays_by_known_computations() -> None:
    x = np.random.default_rng(0).standard_normal((5, 4)).astype(np.float32)

    def function(x: Any) -> Any:
        first = (np.float32(0.5), np.float32(-0.5))
        return lax.reduce((x, x), first, lambda a, b: (lax.max(a[0], b[0]), lax.min(a[1], b[1])), (0,))

    model = regauge.to_torch(function, (jnp.asarray(x),), dynamic=None)
    for found, wanted in zip(model(torch.from_numpy(x)), function(jnp.asarray(x)), strict=True):
        np.testing.assert_array_equal(found.numpy(), np.asarray(wanted))


def test_another_computation_is_refused_with_its_reason() -> None:
    def function(x: Any) -> Any:
        return lax.reduce(x, np.float32(0), lambda a, b: a * 2 + b, (0,))

    with pytest.raises(UnsupportedOps, match="unsupported operators") as error:
        regauge.to_torch(function, (jnp.ones((3, 2)),), dynamic=None)
    assert "function of two elements" in "".join(error.value.details)
