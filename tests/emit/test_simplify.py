"""Rewrites of expressions: what is printed, and that it still means the same."""

from __future__ import annotations

import ast

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
        ("x[(slice(0, 2, 2), slice(2))]", "x[0:2:2, :2]"),
        ("x[...][:1]", "x[:1]"),
        ("jnp.einsum('abc,abd->cd', *(x, x))", "jnp.einsum('abc,abd->cd', x, x)"),
        ("x[(i,)]", "x[i]"),
    ],
)
def test_same_value_fewer_characters(text, simple):
    found = ast.unparse(simplify(ast.parse(text, mode="eval").body))
    assert found == simple
    names = {"x": X, "i": jnp.array([1, 0]), "jnp": jnp}
    assert jnp.array_equal(eval(found, names), eval(text, names))
