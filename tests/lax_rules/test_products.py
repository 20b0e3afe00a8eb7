"""Products of arrays: the idioms that a person writes, and every form of `dot_general`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import torch
from jax import lax
from lax_rules.sides import body, same_gradients, same_values, tensors

import regauge
from regauge.rules.lax_to_torch.matmul import equation, matrices

generator = np.random.RandomState(0)


def normal(*shape: int, dtype: Any = np.float64) -> jax.Array:
    values = generator.standard_normal(shape)
    if np.issubdtype(dtype, np.complexfloating):
        values = values + 1j * generator.standard_normal(shape)
    return jnp.asarray(values.astype(dtype))


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize(
    ("function", "shapes", "expected"),
    [
        (lambda x, w: x @ w, ((2, 4, 8), (8, 3)), "x @ w"),
        (lambda x, w: x @ w.T, ((2, 4, 8), (3, 8)), "x @ w.T"),
        (lambda x, w: x.T @ w, ((3, 4), (3, 5)), "x.T @ w"),
        (lambda x, v: x @ v, ((3, 4), (4,)), "x @ v"),
        (lambda x, y: x @ y, ((5, 2, 3), (5, 3, 4)), "x @ y"),
        (lambda x, y: x @ y.mT, ((5, 2, 3), (5, 4, 3)), "x @ y.mT"),
        (lambda x, k: jnp.einsum("bsd,dhk->bshk", x, k), ((2, 4, 8), (8, 2, 3)), '"bsd,dkm->bskm"'),
        (lambda q, k: jnp.einsum("bqhd,bkhd->bhqk", q, k), ((2, 5, 3, 4), (2, 6, 3, 4)), '"bqhd,bkhd->bhqk"'),
        (lambda a, v: jnp.einsum("bhqk,bkhd->bqhd", a, v), ((2, 3, 5, 6), (2, 6, 3, 4)), '"bdhq,bhkd->bkhq"'),
    ],
)
def test_a_product_is_what_a_person_writes(
    function: Callable[..., Any], shapes: tuple[tuple[int, ...], ...], expected: str
) -> None:
    arguments = [normal(*shape) for shape in shapes]
    text = body(function, *arguments)
    assert expected in text
    assert "permute" not in text
    same_values(function, *arguments)
    same_gradients(function, *arguments)


def test_the_size_of_a_batch_stays_open() -> None:
    def function(x: Any, k: Any) -> Any:
        return jnp.einsum("bsd,dhk->bhsk", x, k)

    kernel = normal(8, 2, 3)
    model = regauge.to_torch(function, (normal(2, 4, 8), kernel))
    other = normal(7, 4, 8)
    found = model(*tensors([other, kernel]))
    np.testing.assert_allclose(found.numpy(), function(other, kernel), rtol=1e-12)


@pytest.mark.parametrize("dtype", ["bool", "uint8", "int8", "uint16", "int32", "uint64", "complex128"])
def test_other_dtypes_wrap_as_in_jax(dtype: str) -> None:
    values = np.random.RandomState(1).randint(0, 200, (3, 4)).astype(dtype)
    same_values(lambda x, y: lax.dot_general(x, y, (((1,), (1,)), ((), ()))), jnp.asarray(values), jnp.asarray(values))


def test_the_dtype_that_is_preferred_is_the_one_of_the_sum() -> None:
    values = jnp.full((2, 3), 100, jnp.int8)
    same_values(lambda x: lax.dot_general(x, x, (((1,), (1,)), ((), ())), preferred_element_type=jnp.int32), values)


@pytest.mark.parametrize(
    "dimensions",
    [
        (((2, 1), (0, 1)), ((), ())),
        (((1,), (1,)), ((2,), (0,))),
        (((), ()), ((0,), (2,))),
        (((0,), (2,)), ((2, 1), (0, 1))),
    ],
)
def test_any_axes_are_summed_or_shared(dimensions: Any) -> None:
    x, y = normal(4, 3, 2), normal(2, 3, 4)
    same_values(lambda x, y: lax.dot_general(x, y, dimensions), x, y)
    same_gradients(lambda x, y: lax.dot_general(x, y, dimensions), x, y)


def test_every_axis_has_a_letter_of_its_own() -> None:
    text = equation(12, 12, (((11,), (0,)), ((), ())))
    first, second = text.split("->")[0].split(",")
    assert len(set(first)) == len(set(second)) == 12
    assert set(first) & set(second) == {"d"}
    assert matrices(1, 2, (((0,), (1,)), ((), ()))) == "x @ y.T"


@pytest.mark.parametrize("sizes", [(1, 2), (0, 3), (2, 0)])
def test_groups_of_rows_have_matrices_of_their_own(sizes: tuple[int, int]) -> None:
    x, w = normal(3, 4), normal(2, 4, 5)
    model = regauge.to_torch(lax.ragged_dot, (x, w, jnp.asarray(sizes, jnp.int32)), dynamic=None)
    found = model(*tensors([x, w, jnp.asarray(sizes, jnp.int32)]))
    np.testing.assert_allclose(found.numpy(), lax.ragged_dot(x, w, jnp.asarray(sizes, jnp.int32)), rtol=1e-12)


def test_groups_of_what_is_summed_make_an_axis() -> None:
    dimensions = lax.RaggedDotDimensionNumbers(
        dot_dimension_numbers=(((0,), (0,)), ((), ())), lhs_ragged_dimensions=[0], rhs_group_dimensions=[]
    )
    sizes = jnp.asarray([1, 3, 1], jnp.int32)
    x, y = normal(5, 2), normal(5, 3)
    expected = lax.ragged_dot_general(x, y, sizes, dimensions)
    model = regauge.to_torch(lambda x, y, s: lax.ragged_dot_general(x, y, s, dimensions), (x, y, sizes), dynamic=None)
    np.testing.assert_allclose(model(*tensors([x, y, sizes])).numpy(), expected, rtol=1e-12)


def test_a_product_passes_torch_export() -> None:
    x, k = normal(2, 4, 8), normal(8, 2, 3)
    model = regauge.to_torch(lambda x, k: jnp.einsum("bsd,dhk->bhsk", x, k), (x, k), dynamic=None)
    given = tuple(tensors([x, k]))
    exported = torch.export.export(model, given).module()
    torch.testing.assert_close(exported(*given), model(*given))
