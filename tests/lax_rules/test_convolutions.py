"""Convolutions in every layout and with every dilation, and the functions of torch that they are."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from lax_rules.sides import body, same_gradients, same_values, tensors

import regauge

generator = np.random.RandomState(0)


def normal(*shape: int) -> jax.Array:
    return jnp.asarray(generator.standard_normal(shape))


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def test_defaults_are_not_written_and_equal_numbers_are_one() -> None:
    def plain(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "SAME")

    def strided(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (2, 2), [(1, 1), (1, 1)], rhs_dilation=(2, 2))

    x, w = normal(2, 3, 9, 9), normal(4, 3, 3, 3)
    assert body(plain, x, w) == "return F.conv2d(x, w, padding=1)"
    assert body(strided, x, w) == "return F.conv2d(x, w, stride=2, padding=1, dilation=2)"


def test_a_transposed_convolution_is_the_one_of_torch() -> None:
    def function(x: Any, w: Any) -> Any:
        return lax.conv_transpose(x, w, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    x, w = normal(2, 5, 5, 3), normal(3, 3, 3, 4)
    text = body(function, x, w)
    assert "w.permute(2, 3, 0, 1).flip((2, 3)), stride=2), (0, -1, 0, -1)" in text
    same_values(function, x, w)
    same_gradients(function, x, w)


@pytest.mark.parametrize(
    ("x", "w", "options"),
    [
        ((2, 4, 7), (6, 2, 3), {"padding": [(2, 1)], "feature_group_count": 2}),  # uneven padding
        ((2, 4, 7), (6, 2, 3), {"padding": [(-1, 2)], "feature_group_count": 2}),  # cut off in front
        ((4, 3, 7), (6, 3, 3), {"padding": [(1, 1)], "batch_group_count": 2}),
        ((2, 4, 7), (6, 2, 3), {"padding": [(2, 2)], "lhs_dilation": (3,), "feature_group_count": 2}),
        ((2, 3, 7), (4, 3, 3), {"padding": [(1, 3)], "lhs_dilation": (2,), "window_strides": (2,)}),
        ((2, 3, 7), (4, 3, 3), {"padding": [(5, 0)], "lhs_dilation": (2,), "rhs_dilation": (2,)}),
        ((2, 3), (4, 3), {"window_strides": (), "padding": []}),  # no spatial axis
        ((1, 2, 3, 3, 3, 4), (2, 2, 2, 2, 2, 3), {"window_strides": (1,) * 4, "padding": [(1, 0)] * 4}),
    ],
)
def test_a_convolution_is_that_of_jax(x: Any, w: Any, options: dict[str, Any]) -> None:
    settings = {"window_strides": (1,), **options}

    def function(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, **settings)

    same_values(function, normal(*x), normal(*w), bound=1e-11)
    same_gradients(function, normal(*x), normal(*w))


def test_a_window_that_fits_nowhere_gives_nothing() -> None:
    def function(x: Any, w: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1,), [(0, 0)])

    same_values(function, normal(2, 3, 4), normal(5, 3, 6))


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int16", "uint32", "int64", "complex128"])
def test_other_dtypes_wrap_as_in_jax(dtype: str) -> None:
    numbers = np.random.RandomState(1)
    x = jnp.asarray(numbers.randint(0, 200, (1, 2, 6)).astype(dtype))
    w = jnp.asarray(numbers.randint(0, 200, (3, 2, 4)).astype(dtype))
    same_values(lambda x, w: lax.conv_general_dilated(x, w, (1,), [(1, 1)], lhs_dilation=(2,)), x, w)


def test_the_size_of_a_batch_stays_open_and_torch_compiles_it() -> None:
    w = normal(2, 2, 3, 4)

    def function(x: Any) -> Any:
        return lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))

    model = regauge.to_torch(function, (normal(2, 5, 5, 3),))
    compiled = torch.compile(model, backend="eager", fullgraph=True)
    other = normal(6, 5, 5, 3)
    np.testing.assert_allclose(compiled(*tensors([other])).numpy(), function(other), rtol=1e-10, atol=1e-10)
