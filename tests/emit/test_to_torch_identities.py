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
