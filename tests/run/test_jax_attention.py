"""Attention of the float64 tier: the library's function, only not narrowed to float32 on the way."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from regauge.run.jax_attention import dot_product_attention
from regauge.run.jax_source import load_sources

rng = np.random.default_rng(0)


@pytest.fixture(autouse=True)
def wide() -> Iterator[None]:
    with jax.enable_x64(True):
        yield


def arrays(heads: int = 4, groups: int = 4, batch: tuple[int, ...] = (2,)) -> tuple[jax.Array, ...]:
    shapes = (*batch, 5, heads, 8), (*batch, 7, groups, 8), (*batch, 7, groups, 8)
    return tuple(jnp.asarray(rng.normal(size=shape)) for shape in shapes)


CASES: dict[str, tuple[dict[str, int], dict[str, Any]]] = {
    "plain": ({}, {}),
    "scaled": ({}, {"scale": 0.3}),
    "bias": ({}, {"bias": jnp.asarray(rng.normal(size=(2, 4, 5, 7)))}),
    "mask": ({}, {"mask": jnp.asarray(rng.random((2, 1, 5, 7)) > 0.4)}),
    "fully masked rows": ({}, {"mask": jnp.zeros((2, 1, 5, 7), bool)}),
    "causal": ({}, {"is_causal": True}),
    "causal and mask": ({}, {"is_causal": True, "mask": jnp.asarray(rng.random((1, 4, 5, 7)) > 0.2)}),
    "grouped queries": ({"groups": 2}, {}),
    "one group": ({"groups": 1}, {"is_causal": True}),
    "no batch": ({"batch": ()}, {}),  # type: ignore[dict-item]
}


@pytest.mark.parametrize("name", CASES)
def test_the_same_function_as_the_library(name: str) -> None:
    sizes, options = CASES[name]
    given = arrays(**sizes)
    found = dot_product_attention(*given, **options)
    expected = jax.nn.dot_product_attention(*given, **options)
    assert found.dtype == jnp.float64
    assert found.shape == expected.shape
    # The library's softmax is float32: one part in 2**23, a few times over.
    np.testing.assert_allclose(found, expected, atol=8 * 2.0**-23)


def test_float64_is_kept() -> None:
    query, key, value = (np.asarray(array) for array in arrays(heads=1, groups=1, batch=(1,)))
    logits = query[0, :, 0] @ key[0, :, 0].T / np.sqrt(8)
    shares = np.exp(logits - logits.max(-1, keepdims=True))
    expected = shares / shares.sum(-1, keepdims=True) @ value[0, :, 0]
    found = dot_product_attention(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value))[0, :, 0]
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-14)
    narrowed = jax.nn.dot_product_attention(jnp.asarray(query), jnp.asarray(key), jnp.asarray(value))[0, :, 0]
    assert np.abs(narrowed - expected).max() > 1e-10  # else this replacement has no reason any more


def test_widened_source_calls_it() -> None:
    text = """
import jax

class Layer:
    def __call__(self, q, k, v):
        return jax.nn.dot_product_attention(q, k, v)
"""
    given = arrays()
    layer = load_sources({"model": text}, widen=True)["model"].Layer()
    np.testing.assert_array_equal(layer(*given), dot_product_attention(*given))
    layer = load_sources({"model": text})["model"].Layer()
    np.testing.assert_array_equal(layer(*given), jax.nn.dot_product_attention(*given))
