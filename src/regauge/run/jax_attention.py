"""Attention for the float64 tier: what `jax.nn.dot_product_attention` computes, in the dtype of its inputs throughout.

The library takes its softmax in float32 whatever it is given (jax 0.10, `jax/_src/nn/functions.py`). That is right for
the arithmetic of float32 models, which tier 2 checks with the library's own function; but it hides everything below
1e-8 from the question whether both models are the same function.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array


def dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    bias: Array | None = None,
    mask: Array | None = None,
    *,
    scale: float | None = None,
    is_causal: bool = False,
) -> Array:
    """Scaled dot-product attention with the library's names, positions and grouping.

    Args:
        query: floats (batch, T, heads, width), or without the batch.
        key: floats (batch, S, groups, width); `heads` is a multiple of `groups`.
        value: as `key`.
        bias: added to the logits; broadcast to (batch, heads, T, S).
        mask: booleans; False is left out; broadcast like `bias`.
        scale: of the logits, ``1 / sqrt(width)`` when None.
        is_causal: leave out keys behind the query's position.

    Returns:
        (batch, T, heads, width) in the dtype of `key`.
    """
    if query.ndim == 3:
        q, k, v = query[None], key[None], value[None]
        return dot_product_attention(q, k, v, bias, mask, scale=scale, is_causal=is_causal)[0]
    shared = query.shape[2] // key.shape[2]
    key, value = jnp.repeat(key, shared, axis=2), jnp.repeat(value, shared, axis=2)
    scale = 1 / math.sqrt(query.shape[-1]) if scale is None else scale
    logits = jnp.einsum("btnh,bsnh->bnts", query, key) * scale
    if bias is not None:
        logits = logits + bias
    lowest = jnp.asarray(-0.7 * float(jnp.finfo(jnp.float32).max), logits.dtype)  # the library's "minus infinity"
    if mask is not None:
        logits = jnp.where(mask, logits, lowest)
    if is_causal:
        logits = jnp.where(jnp.tril(jnp.ones(logits.shape[-2:], bool)), logits, lowest)
    return jnp.einsum("bnts,bsnh->btnh", jax.nn.softmax(logits, axis=-1).astype(key.dtype), value)
