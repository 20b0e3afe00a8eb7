"""Diagonals, diagonal matrices and traces are torch's own functions, in value and in gradient."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from comparing_jax import assert_same

import regauge

X = np.random.default_rng(0).normal(size=(3, 4)).astype(np.float32)
CASES = {
    "diagonals": (lambda m: (jnp.diagonal(m), jnp.diag(m, 2), jnp.diagonal(m, -1)), 3, "diagonal("),
    "of a batch": (lambda m: jnp.diagonal(jnp.stack([m, m * m]), 1, 1, 2), 1, ".diagonal(1, dim1=-2, dim2=-1)"),
    "matrices": (lambda m: (jnp.diag(m[0]), jnp.diag(m[1], 1), jnp.diag(m[2], -2)), 3, "torch.diag("),
    "trace": (lambda m: jnp.trace(m), 1, ".trace()"),
    "other traces": (lambda m: (jnp.trace(m, 1), jnp.trace(m, -1)), 2, ").sum()"),
    "traces of a batch": (lambda m: jnp.trace(jnp.stack([m, m * m]), axis1=1, axis2=2), 1, ".sum(-1)"),
}


@pytest.mark.parametrize("case", CASES)
def test_diagonals(case):
    function, times, text = CASES[case]
    made = assert_same((lambda params, x: function(params["w"] * x), {"w": jnp.asarray(X)}), (X + 2.0,))
    assert made.source.count(text) >= times
    assert "arange" not in made.source
    assert "torch.eye" not in made.source
    assert "ops" not in made.sources


def test_what_stands_beside_a_diagonal_counts_for_nothing():
    beside = np.array([[1.0, np.nan], [np.inf, 2.0]], np.float32)
    made = regauge.to_torch(lambda m: (jnp.trace(m), jnp.diagonal(m)), (beside,), dynamic=None)
    total, diagonal = made(*map(_tensor, [beside]))
    assert total == 3.0
    assert diagonal.tolist() == [1.0, 2.0]


def _tensor(array):
    import torch

    return torch.from_numpy(array)


def test_other_counts_stay_what_they_are():
    def function(m):
        return m[jnp.arange(2), jnp.arange(2)], m[jnp.arange(3), jnp.arange(3)[::-1]], jnp.where(jnp.eye(3), 1.0, m)

    made = assert_same((lambda params, x: function(params["w"] * x), {"w": jnp.asarray(X[:, :3])}), (X[:, :3],))
    assert "diag" not in made.source.partition("def forward")[2]


def test_of_symbolic_sizes():
    square = np.tile(np.arange(3, dtype=np.float32), (3, 1))
    model = lambda m, v: (jnp.diagonal(m), jnp.diag(v), jnp.diag(v, 1), jnp.trace(m))  # noqa: E731
    made = regauge.to_torch(model, (square, square[0]), dynamic=("n, n", "k"))
    assert made.source.count("torch.diag(") == 2
    assert ".diagonal()" in made.source
    assert ".trace()" in made.source
    larger = np.random.default_rng(1).normal(size=(5, 5)).astype(np.float32)
    for found, expected in zip(made(_tensor(larger), _tensor(larger[1])), model(larger, larger[1]), strict=True):
        np.testing.assert_allclose(found, expected, rtol=1e-6, atol=1e-6)
