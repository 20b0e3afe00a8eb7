"""Elementwise primitives in torch: what is written, and values and derivatives where two formulas would differ."""

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

X = jnp.ones((4, 3))
N = jnp.ones((4, 3), jnp.int32)
U = jnp.ones((4, 3), jnp.uint32)


def body(function: Callable[..., Any], *arrays: Any) -> str:
    return regauge.to_torch(function, arrays, dynamic=None).source.split("def forward")[1].split("def load")[0]


@pytest.mark.parametrize(
    ("function", "array", "text"),
    [
        (lambda x: jnp.where(x > 0, x, 0.0), X, "return torch.where(x > 0.0, x, 0.0)"),
        (lambda x: jnp.where(x > 0, 1, 0), X, "return (x > 0.0).to(torch.int32)"),
        (lambda x: lax.clamp(-1.0, x, 1.0), X, "F.hardtanh(x, -1.0, 1.0)"),
        (lambda x: lax.clamp(0, x, 5), N, "x.clamp(0, 5)"),
        (lambda x: jnp.maximum(x, 2), N, "x.clamp(min=2)"),
        (lambda x: lax.div(x, 2), N, "torch.div(x, 2, rounding_mode='trunc')"),
        (lambda x: x << 3, N, "return x << 3"),
        (lambda x: lax.shift_right_logical(x, jnp.uint32(5)), U, "(x.view(torch.int32) >> 5 & 134217727).view"),
        (lambda x: 1 / x, X, "return 1.0 / x"),
        (lambda x: x**-1, X, "return 1 / x"),
        (lambda x: x**3, X, "return x ** 3"),
        (lambda x: (x > 0) != False, X, "return x > 0.0\n"),  # noqa: E712
    ],
)
def test_what_a_person_writes(function: Callable[..., Any], array: Any, text: str) -> None:
    written = body(function, array).replace("x**", "x ** ").replace('"', "'")
    assert text in written


def test_arithmetic_of_unsigned_words_stays_in_the_line() -> None:
    model = regauge.to_torch(lambda x: x * 3 + x, (U,), dynamic=None)
    assert "ops" not in model.sources
    large = np.array([[2**32 - 1, 2**31, 5]] * 4, np.uint32)
    np.testing.assert_array_equal(model(torch.from_numpy(large)).numpy(), large * np.uint32(3) + large)


KINKS = np.array([-2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0], np.float32)


@pytest.mark.parametrize(
    "function",
    [
        jnp.abs,
        jnp.sign,
        lambda x: jnp.maximum(x, 0.0),
        lambda x: jnp.minimum(0.5, x),
        lambda x: jnp.maximum(x, x * x),
        lambda x: lax.clamp(-1.0, x, 1.0),
        lambda x: lax.clamp(x * x, x, x + 1),
        lambda x: jnp.clip(x, -0.5, 1),
        jnp.round,
        lambda x: lax.round(x),
        lambda x: lax.rem(x, 2 + x),
        lambda x: x**2 + x**3,
        lambda x: (x * x) ** 1.5,
        lambda x: lax.reduce_precision(x * 1.23456, 5, 3),
    ],
)
def test_derivatives_at_kinks(function: Callable[[Any], Any]) -> None:
    wanted = np.asarray(jax.grad(lambda x: function(x).sum())(jnp.asarray(KINKS)))
    model = regauge.to_torch(function, (jnp.asarray(KINKS),), dynamic=None)
    x = torch.from_numpy(KINKS.copy()).requires_grad_()
    out = model(x)
    np.testing.assert_allclose(out.detach().numpy(), np.asarray(function(jnp.asarray(KINKS))), rtol=1e-6)
    (found,) = torch.autograd.grad(out.sum(), x, allow_unused=True) if out.requires_grad else (None,)
    np.testing.assert_allclose(np.zeros_like(KINKS) if found is None else found.numpy(), wanted, rtol=1e-6)


@pytest.mark.parametrize("dtype", ["int8", "int32", "uint8", "uint16"])
def test_integers_divided_by_zero_and_at_their_ends(dtype: str) -> None:
    info = np.iinfo(dtype)
    x = np.array([info.min, info.max, 7, info.min, 7, 0, 7], dtype)
    y = np.array([info.max, 0, 0, -1 if info.min else 3, 2, 0, 1], dtype)
    model = regauge.to_torch(
        lambda x, y: (lax.div(x, y), lax.rem(x, y)), (jnp.asarray(x), jnp.asarray(y)), dynamic=None
    )
    for found, wanted in zip(
        model(torch.from_numpy(x), torch.from_numpy(y)), (lax.div(x, y), lax.rem(x, y)), strict=True
    ):
        np.testing.assert_array_equal(found.numpy(), np.asarray(wanted))


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int32", "uint32"])
def test_floats_beyond_an_integer_dtype_become_its_ends(dtype: str) -> None:
    x = np.array([np.nan, np.inf, -np.inf, 300, -300, 3e9, -3e9, 1e20, 2.7, -2.7], np.float32)
    model = regauge.to_torch(lambda x: x.astype(dtype), (jnp.asarray(x),), dynamic=None)
    np.testing.assert_array_equal(model(torch.from_numpy(x)).numpy(), np.asarray(jnp.asarray(x).astype(dtype)))


def test_shifts_beyond_the_width() -> None:
    x = np.array([1, -1, 100, -128], np.int8)
    y = np.array([7, 8, 40, -1], np.int8)
    functions = (lax.shift_left, lax.shift_right_logical, lax.shift_right_arithmetic)
    model = regauge.to_torch(lambda x, y: [f(x, y) for f in functions], (jnp.asarray(x), jnp.asarray(y)), dynamic=None)
    for found, function in zip(model(torch.from_numpy(x), torch.from_numpy(y)), functions, strict=True):
        np.testing.assert_array_equal(found.numpy(), np.asarray(function(x, y)))


def test_total_order_of_floats() -> None:
    from jax._src.lax import lax as internal

    x = np.array([-np.nan, -np.inf, -1, -0.0, 0.0, 1, np.inf, np.nan], np.float32)
    model = regauge.to_torch(
        lambda x, y: (internal.lt_to_p.bind(x, y), internal.le_to_p.bind(x, y)),
        (jnp.asarray(x[:-1]), jnp.asarray(x[1:])),
        dynamic=None,
    )
    less, not_greater = model(torch.from_numpy(x[:-1].copy()), torch.from_numpy(x[1:].copy()))
    assert less.all()
    assert not_greater.all()


def test_the_gamma_integral_has_both_derivatives() -> None:
    a, x = np.array([0.3, 2.0, 30.0, 5.0]), np.array([0.2, 5.0, 28.0, 1.0])
    with jax.enable_x64(True):
        model = regauge.to_torch(lax.igamma, (jnp.asarray(a), jnp.asarray(x)), dynamic=None)
        wanted = jax.grad(lambda a, x: lax.igamma(a, x).sum(), (0, 1))(jnp.asarray(a), jnp.asarray(x))
        values = np.asarray(lax.igamma(jnp.asarray(a), jnp.asarray(x)))
    left, right = (torch.from_numpy(v).requires_grad_() for v in (a, x))
    out = model(left, right)
    np.testing.assert_allclose(out.detach().numpy(), values, rtol=1e-11)
    for found, gradient in zip(torch.autograd.grad(out.sum(), (left, right)), wanted, strict=True):
        np.testing.assert_allclose(found.numpy(), np.asarray(gradient), rtol=1e-10)


def test_elementwise_code_compiles_as_one_graph() -> None:
    def function(x: Any) -> Any:
        return jnp.abs(jnp.sign(x) * lax.clamp(-1.0, x, 0.5)) + jnp.maximum(x, 0.0).astype(jnp.int32)

    model = regauge.to_torch(function, (X,), dynamic=None)
    x = torch.linspace(-2, 2, 12).reshape(4, 3)
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    torch.testing.assert_close(compiled(x), model(x))


def test_the_absolute_value_of_a_negative_zero_is_positive():
    made = regauge.to_torch(lambda x: 1 / jnp.abs(x), (np.ones(3, np.float32),))
    x = torch.tensor([0.0, -0.0, -2.0], requires_grad=True)
    assert made(x).tolist() == [float("inf"), float("inf"), 0.5]
    made = regauge.to_torch(jnp.abs, (np.ones(3, np.float32),))
    made(x).sum().backward()
    assert x.grad.tolist() == [1.0, 1.0, -1.0]


@pytest.mark.parametrize(
    "function",
    [
        jnp.sign,
        jnp.cbrt,
        lambda x: lax.round(x, lax.RoundingMethod.AWAY_FROM_ZERO),
        lambda x: jnp.floor_divide(x, -2.0),
        lambda x: jnp.divmod(x, -2.0)[0],
    ],
    ids=["sign", "cbrt", "round", "floor_divide", "divmod"],
)
def test_zeros_keep_their_sign(function: Callable[..., Any]) -> None:
    x = np.array([0.0, -0.0, 0.3, -0.3, 0.5, -0.5, 3.0, -3.0], np.float32)
    found = regauge.to_torch(function, (x,))(torch.from_numpy(x)).numpy()
    wanted = np.asarray(function(x))
    np.testing.assert_allclose(found, wanted, rtol=1e-6)
    assert np.signbit(found).tolist() == np.signbit(wanted).tolist()


def test_a_sign_has_no_derivative_where_it_is_zero_or_nan() -> None:
    made = regauge.to_torch(lambda x: x * jnp.sign(x), (np.ones(4, np.float32),))
    x = torch.tensor([0.0, -0.0, -2.0, float("nan")], requires_grad=True)
    made(x).sum().backward()
    assert x.grad[:3].tolist() == [0.0, 0.0, -1.0]
    assert x.grad[3].isnan()
