"""Weights as training leaves them, for networks that were only just made."""

from __future__ import annotations

from typing import Any

import jax
import jax.numpy as jnp


def away_from_neutral(tree: Any) -> Any:
    """A pytree of arrays with a little added to all vectors of floats.

    Biases of zero, scales of one and fresh statistics hide what a conversion forgets. What is added is between 0 and
    0.3, so that variances stay positive.
    """
    leaves, structure = jax.tree.flatten(tree)
    keys = jax.random.split(jax.random.key(7), len(leaves))
    return jax.tree.unflatten(structure, [_moved(leaf, key) for leaf, key in zip(leaves, keys, strict=True)])


def _moved(leaf: Any, key: jax.Array) -> Any:
    if getattr(leaf, "ndim", None) != 1 or not jnp.issubdtype(leaf.dtype, jnp.floating):
        return leaf
    return leaf + jax.random.uniform(key, leaf.shape, leaf.dtype, 0, 0.3)
