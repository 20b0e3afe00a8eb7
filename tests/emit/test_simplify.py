"""Rewrites of expressions: what is printed, and that it still means the same."""

from __future__ import annotations

import ast

import jax
import jax.numpy as jnp
import pytest

from regauge.emit.simplify import simplify

X = jnp.arange(24.0).reshape(2, 3, 4)


@pytest.mark.parametrize(
    ("text", "simple"),
    [
        ("x.at[() + (i,)].add(1)", "x.at[i].add(1)"),
        ("x.at[(slice(None),) + (i,)].set(0)", "x.at[:, i].set(0)"),
        ("x[(slice(None), slice(1, 3))]", "x[:, 1:3]"),
        ("x[(slice(0, 2, 2), slice(2))]", "x[:2:2, :2]"),
        ("x[(slice(0, 9223372036854775807, 1), slice(-2, 9223372036854775807, 1))]", "x[:, -2:]"),
        ("x[(slice(0, None, -1), slice(0, 4, i.ndim))]", "x[0::-1, 0:4:i.ndim]"),
        ("x.at[:, 0].set(jnp.array(-1.0, dtype=jnp.float32))", "x.at[:, 0].set(-1.0)"),
        ("x.at[i].set(jnp.array(-jnp.inf, dtype=jnp.float32))", "x.at[i].set(-jnp.inf)"),
        ("x.at[i].set(jnp.array([0.0], dtype=jnp.float32))", "x.at[i].set(jnp.array([0.0], dtype=jnp.float32))"),
        ("jnp.argsort(x, axis=1, descending=False)", "jnp.argsort(x, axis=1)"),
        ("jnp.cumsum(x, axis=1, dtype=None)", "jnp.cumsum(x, axis=1)"),
        ("jnp.transpose(x, (0, 1, 2))", "x"),
        ("jnp.transpose(x[0], (0, 1)).swapaxes(1, 1)", "x[0]"),
        ("x.swapaxes(0, 1).transpose(0, 2, 1)", "x.swapaxes(0, 1).transpose(0, 2, 1)"),
        ("jnp.full_like(jnp.zeros((2, 3), jnp.float32), 7)", "jnp.full((2, 3), 7, jnp.float32)"),
        ("jnp.full_like(jnp.ones((2, 3), jnp.float32), 7, int)", "jnp.full((2, 3), 7, int)"),
        ("jnp.full_like(jnp.zeros((2, 3)), 7)", "jnp.full_like(jnp.zeros((2, 3)), 7)"),
        ("jnp.full_like(jnp.zeros_like(x), 0.25)", "jnp.full_like(x, 0.25)"),
        ("jax.nn.one_hot(i, 4, dtype=int).astype(jnp.float32)", "jax.nn.one_hot(i, 4, dtype=jnp.float32)"),
        ("x[...][:1]", "x[:1]"),
        ("jnp.einsum('abc,abd->cd', *(x, x))", "jnp.einsum('abc,abd->cd', x, x)"),
        ("x[(i,)]", "x[i]"),
        ("jnp.argmax(x, axis=1, keepdims=False)", "jnp.argmax(x, axis=1)"),
        ("jax.nn.logsumexp(x, axis=(1,), keepdims=False)", "jax.nn.logsumexp(x, axis=1)"),
        ("jnp.nan_to_num(x, nan=0.0, posinf=None, neginf=None)", "jnp.nan_to_num(x)"),
        ("jnp.pad(x, [(0, 0), (1, 0), (0, 1)], constant_values=0.0)", "jnp.pad(x, [(0, 0), (1, 0), (0, 1)])"),
        ("jnp.pad(x, [(0, 0), (1, 0), (0, 1)], constant_values=2)",) * 2,
        ("jax.nn.elu(x, 1.0)", "jax.nn.elu(x)"),
        ("jax.nn.elu(x, 0.5)",) * 2,
        ("jnp.diag(x[0, 0], 0)", "jnp.diag(x[0, 0])"),
    ],
)
def test_same_value_fewer_characters(text, simple):
    found = ast.unparse(simplify(ast.parse(text, mode="eval").body))
    assert found == simple
    names = {"x": X, "i": jnp.array([1, 0]), "jnp": jnp, "jax": jax}
    assert jnp.array_equal(eval(found, names), eval(text, names))
    assert jnp.asarray(eval(found, names)).dtype == jnp.asarray(eval(text, names)).dtype
