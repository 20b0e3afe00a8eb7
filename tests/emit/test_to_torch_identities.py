"""Arithmetic of JAX that changes nothing is not written, and names have one underscore before their number."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import torch
from comparing_jax import assert_same

import regauge
from regauge.emit.names import unique


def test_arithmetic_that_changes_nothing():
    def function(params, x, n):
        scaled = ((x - 0.0) / 1.0) * 1.0 + params["w"]
        return scaled.sum(-1) * 2, x[(n + 0) * 1]

    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    made = assert_same((function, {"w": jnp.ones(3)}), (x, np.array([0, 2, 1], np.int32)))
    assert "scaled = x + self.w" in made.source
    assert "x[n]" in made.source


def test_what_changes_a_zero_is_kept():
    made = regauge.to_torch(lambda x: 1 / (x + 0.0) + 1 / (x - (-0.0)), (np.ones(2, np.float32),))
    assert made(torch.tensor([-0.0, 0.0])).tolist() == [float("inf")] * 2


def test_a_name_that_ends_in_an_underscore():
    assert unique("sum_", {"sum_"}) == "sum_2"
    assert unique("x", {"x"}) == "x_2"


def test_symbolic_sizes_in_arithmetic_are_sizes():
    def function(x):
        centred = x - x.sum(0) / x.shape[0]
        return centred.T @ centred / (x.shape[0] - 1), jnp.sum(x) / x.size, x.shape[0] - x

    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    made = regauge.to_torch(function, (x,))
    for example in (x, x[:2]):
        for found, expected in zip(made(torch.from_numpy(example)), function(jnp.array(example)), strict=True):
            np.testing.assert_allclose(found.numpy(), expected, rtol=1e-5, atol=1e-6)
    assert "centred = x - x.mean(0)" in made.source
    for text in ("/ (batch - 1)", "x.mean()", "batch - x"):
        assert text in made.source
    assert "torch.full" not in made.source
