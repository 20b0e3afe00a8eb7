"""Masks that a check plants in layers under a scan: each layer has its own."""

from __future__ import annotations

from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen

from regauge.run.jax_dropout import dropout_control

KEY = jax.random.key(0)
X = jnp.ones((4, 6))
MASKS = np.random.default_rng(0).random((3, 4, 6)) > 0.5


class Layer(linen.Module):
    @linen.compact
    def __call__(self, x: Any, _: Any) -> Any:
        return 2 * linen.Dropout(0.5, deterministic=False)(x), x.sum()


class Layers(linen.Module):
    reverse: bool = False

    @linen.compact
    def __call__(self, x: Any) -> Any:
        layers = linen.scan(Layer, split_rngs={"dropout": True}, length=3, reverse=self.reverse)
        return layers()(x, None)


def of_linen(reverse: bool) -> Any:
    return lambda x: Layers(reverse).apply({}, x, rngs={"dropout": KEY})


def of_jax(reverse: bool) -> Any:
    dropout = eqx.nn.Dropout(0.5)
    keys = jax.random.split(KEY, 3)
    return lambda x: jax.lax.scan(lambda x, key: (2 * dropout(x, key=key), x.sum()), x, keys, reverse=reverse)


WAYS = {"linen": of_linen, "jax": of_jax}


@pytest.mark.parametrize("reverse", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_each_step_has_a_mask_of_its_own(way: str, reverse: bool) -> None:
    with dropout_control("masks", list(MASKS)) as log:
        y, sums = jax.jit(WAYS[way](reverse))(X)
    assert log.shapes == [(4, 6)] * 3
    np.testing.assert_array_equal(y, np.prod(4 * MASKS, axis=0, dtype=np.float32))
    before = [24.0, 4 * MASKS[0].sum(), 16 * (MASKS[0] & MASKS[1]).sum()]
    np.testing.assert_array_equal(sums, before[::-1] if reverse else before)


@pytest.mark.parametrize("way", WAYS)
def test_off_notes_every_step_and_stays_a_scan(way: str) -> None:
    run = WAYS[way](False)
    with dropout_control("off") as log:
        jaxpr = jax.make_jaxpr(run)(X)
        y, _ = run(X)
    assert log.shapes == [(4, 6)] * 6
    assert log.rates == [0.5] * 6
    assert "scan[" in str(jaxpr)
    np.testing.assert_array_equal(y, 8 * X)


@pytest.mark.parametrize("way", WAYS)
def test_what_the_library_draws_is_seen_step_by_step(way: str) -> None:
    with dropout_control("observe") as log:
        y, _ = WAYS[way](False)(X)
    assert len(log.factors) == 3
    np.testing.assert_array_equal(y, 8 * np.prod(log.factors, axis=0))
    assert not np.array_equal(log.factors[0], log.factors[1])


def test_a_scan_without_dropout_is_left_alone() -> None:
    with dropout_control("masks", []):
        jaxpr = jax.make_jaxpr(lambda x: jax.lax.scan(lambda x, _: (x + 1, x), x, length=3))(X)
    assert "scan[" in str(jaxpr)
