"""Triangles and identities of JAX, which compares counts of rows and columns, as torch's own functions."""

from __future__ import annotations

import jax.numpy as jnp
import numpy as np
import pytest
from comparing_jax import assert_same

X = np.random.default_rng(0).normal(size=(5, 4)).astype(np.float32)


def lower(x, w):
    return jnp.tril(x[None] * w, 1)


def upper(x, w):
    return jnp.triu((x * w) @ x.T, -1)


def causal(x, w):
    rows = x.shape[0]
    return jnp.where(jnp.tril(jnp.ones((rows, rows), bool)), (x * w) @ x.T, -1e9)


def strictly_causal(x, w):
    return jnp.where(jnp.tri(4, k=-1, dtype=bool), x.T @ (x * w), -1e9)


def future(x, w):
    return jnp.triu(jnp.ones((4, 4)), 1) * -1e9 + x.T @ (x * w)


def identity(x, w):
    return jnp.eye(x.shape[0]) * w + x @ x.T


def wide(x, w):
    return jnp.eye(3, 4) * w + jnp.tri(3, 4), jnp.eye(4, dtype=jnp.int32)[:2] + 0 * w


def beside_the_diagonal(x, w):
    return jnp.eye(4, k=1) * w


@pytest.mark.parametrize(
    ("function", "texts"),
    [
        (lower, [".tril(1)"]),
        (upper, [".triu(-1)"]),
        (causal, ["torch.ones(batch, batch, dtype=torch.bool, device=x.device).tril()"]),
        (strictly_causal, [".tril(-1)"]),
        (future, [".triu(1)"]),
        (identity, ["torch.eye(batch, dtype=torch.float32, device=x.device)"]),
        (wide, ["torch.eye(3, 4,", ".tril()"]),
        (beside_the_diagonal, ["ops.counts"]),
    ],
    ids=lambda item: item.__name__ if callable(item) else "",
)
def test_a_triangle_is_torchs_own(function, texts):
    made = assert_same((lambda params, x: function(x, params["w"]), {"w": jnp.ones(())}), (X,))
    assert all(text in made.source for text in texts), made.source


def test_dtypes_that_torch_has_no_triangle_for():
    def counted(params, x):
        return jnp.tril(x).astype(jnp.float32) * params["w"], jnp.eye(4, dtype=jnp.uint32)[0].astype(jnp.float32)

    assert_same((counted, {"w": jnp.ones(())}), (np.arange(16, dtype=np.uint32).reshape(4, 4),))
