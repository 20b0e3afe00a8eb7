"""Masks that a check plants where a model is written for one example, and `jax.vmap` gives each a key of its own."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen, nnx

from regauge.run.dropout_masks import DropoutCall, MasksDoNotFit, keep_mask
from regauge.run.jax_dropout import dropout_control

KEY = jax.random.key(0)
KEYS = jax.random.split(KEY, 4)
X = jnp.ones((4, 5, 6))
DROPOUT = eqx.nn.Dropout(0.25)


def one(x: Any, key: Any) -> Any:
    return DROPOUT(x, key=key)


def by_hand(x: Any, key: Any) -> Any:
    return jnp.where(jax.random.bernoulli(key, 0.75, x.shape), x / 0.75, 0.0)


def each(x: Any, keys: Any) -> Any:
    return jax.vmap(one)(x, keys)


def each_position(x: Any, keys: Any) -> Any:
    return jax.vmap(lambda rows, key: jax.vmap(one)(rows, jax.random.split(key, len(rows))))(x, keys)


def last_axis(x: Any, keys: Any) -> Any:
    return jax.vmap(one, in_axes=(2, 0), out_axes=2)(x.transpose(1, 2, 0), keys).transpose(2, 0, 1)


def in_a_call(transform: Callable[..., Any]) -> Callable[..., Any]:
    return lambda x, keys: jax.vmap(transform(one))(x, keys)


WAYS = {
    "vmap": each,
    "vmap in vmap": each_position,
    "another axis": last_axis,
    "drawn by hand": jax.vmap(by_hand),
    "jit in vmap": in_a_call(jax.jit),
    "checkpoint in vmap": in_a_call(jax.checkpoint),
    "vmap in jit": jax.jit(each),
}


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("way", WAYS)
def test_each_example_has_its_own_mask(way: str, compiled: bool) -> None:
    def run(x: Any) -> Any:
        y, slopes = jax.value_and_grad(lambda x: (WAYS[way](x, KEYS) * X).sum())(x)
        return WAYS[way](x, KEYS), y, slopes

    with dropout_control("masks", None) as log:
        found, _, slopes = (jax.jit(run) if compiled else run)(X)
    assert log.shapes == [X.shape, X.shape]
    masks = [keep_mask(index, DropoutCall(X.shape, 0.75)) / 0.75 for index in range(2)]
    np.testing.assert_allclose(slopes, masks[0], rtol=1e-6)
    np.testing.assert_allclose(found, masks[1], rtol=1e-6)


def test_a_mask_of_the_other_side_is_for_all_examples() -> None:
    mask = keep_mask(0, DropoutCall(X.shape, 0.75))
    with dropout_control("masks", [jnp.asarray(mask)]):
        found = jax.jit(lambda x: each(x, KEYS))(X)
    np.testing.assert_allclose(found, mask / 0.75, rtol=1e-6)


def test_a_mask_that_does_not_fit_is_refused() -> None:
    for masks, text in (([jnp.ones((3, 7), bool)], "no exchange or splitting"), ([], "more often than")):
        with dropout_control("masks", masks), pytest.raises(MasksDoNotFit, match=text):
            jax.jit(lambda x: each(x, KEYS))(X)


def test_examples_with_one_key_have_one_mask() -> None:
    with dropout_control("masks", None) as log:
        found = jax.vmap(lambda x: one(x, KEY))(X)
    assert log.shapes == [X.shape[1:]]
    np.testing.assert_array_equal(found, jnp.broadcast_to(found[0], X.shape))


def test_what_it_draws_itself_is_observed_for_all_examples() -> None:
    def run(x: Any) -> Any:
        with dropout_control("observe") as log:
            outputs = each(x, KEYS), each_position(x, KEYS)
            return outputs, log.factors

    for found, factors in zip(*jax.jit(run)(X), strict=True):
        np.testing.assert_array_equal(found, factors)
    np.testing.assert_array_equal(run(X)[0][0], each(X, KEYS))


class LinenOne(linen.Module):
    @linen.compact
    def __call__(self, x: Any) -> Any:
        return linen.Dropout(0.25, deterministic=False)(x)


def of_linen(x: Any) -> Any:
    mapped = linen.vmap(LinenOne, in_axes=0, variable_axes={}, split_rngs={"dropout": True})()
    return mapped.apply({}, x, rngs={"dropout": KEY})


def of_nnx(x: Any) -> Any:
    dropout = nnx.Dropout(0.25, rngs=nnx.Rngs(0))

    @nnx.split_rngs(splits=len(x))
    @nnx.vmap(in_axes=(nnx.StateAxes({nnx.RngState: 0, ...: None}), 0))
    def mapped(dropout: Any, row: Any) -> Any:
        return dropout(row)

    return mapped(dropout, x)


@pytest.mark.parametrize("model", [of_linen, of_nnx])
def test_transformations_of_flax_that_split_keys(model: Callable[[Any], Any]) -> None:
    with dropout_control("masks", None) as log:
        found = model(X)
    assert log.shapes == [X.shape]
    np.testing.assert_allclose(found, keep_mask(0, DropoutCall(X.shape, 0.75)) / 0.75, rtol=1e-6)
