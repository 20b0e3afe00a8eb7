"""Attention as one operator: jax.nn.dot_product_attention where it is torch's function, else the formula."""

from __future__ import annotations

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jax import Array

from regauge.rules.table import RuleTable

TABLE = RuleTable("attention")


def masked_attention(query: Array, key: Array, value: Array, mask: Array, *, scale: float | None = None) -> Array:
    """Attention in which a query with nothing to attend to gives 0, as in PyTorch.

    Args:
        query: [batch, queries, heads, width].
        key: [batch, keys, key heads, width].
        value: [batch, keys, key heads, width].
        mask: broadcastable to [batch, heads, queries, keys]: boolean, true where the query attends, or a float that
            is added to the scores.
        scale: factor of the scores, 1 / sqrt(width) by default.
    """
    mask = mask.reshape(*(1,) * (4 - mask.ndim), *mask.shape)
    hidden = ~mask if mask.dtype == bool else jnp.isneginf(mask)
    empty = jnp.all(hidden, axis=-1, keepdims=True)
    if mask.dtype == bool:
        result = jax.nn.dot_product_attention(query, key, value, mask=mask | empty, scale=scale)
    else:
        bias = jnp.where(empty, 0, mask)
        result = jax.nn.dot_product_attention(query, key, value, bias=bias, scale=scale)
    return jnp.where(empty.swapaxes(1, 2), 0, result)


def attention_by_formula(
    query: Array,
    key: Array,
    value: Array,
    mask: Array | None = None,
    *,
    is_causal: bool = False,
    scale: float | None = None,
    dropout: Callable[[Array], Array] | None = None,
) -> Array:
    """softmax(query @ key.T * scale + mask) @ value, with dropout on the weights.

    Args:
        query: [..., heads, queries, width].
        key: [..., key heads, keys, width]; fewer heads than `query` has are each shared by several.
        value: [..., key heads, keys, value width].
        mask: broadcastable to [..., heads, queries, keys]: boolean, true where the query attends, or added.
        is_causal: each query sees the keys up to its own position, counted from the start.
        scale: factor of the scores, 1 / sqrt(width) by default.
        dropout: applied to the weights.
    """
    if query.ndim > 2 and query.shape[-3] != key.shape[-3]:
        key = jnp.repeat(key, query.shape[-3] // key.shape[-3], axis=-3)
    if query.ndim > 2 and query.shape[-3] != value.shape[-3]:
        value = jnp.repeat(value, query.shape[-3] // value.shape[-3], axis=-3)
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    scores = (query * factor) @ key.swapaxes(-1, -2)
    if is_causal:
        scores = jnp.where(jnp.tri(query.shape[-2], key.shape[-2], dtype=bool), scores, -jnp.inf)
    if mask is not None:
        scores = jnp.where(mask, scores, -jnp.inf) if mask.dtype == bool else scores + mask
    # A row without any key gives 0, and its derivative is 0, not NaN.
    empty = jnp.all(jnp.isneginf(scores), axis=-1, keepdims=True)
    weights = jnp.where(empty, 0, jax.nn.softmax(jnp.where(empty, 0, scores), axis=-1))
    if dropout is not None:
        weights = dropout(weights)
    return weights @ value


def is_one_kernel(query: Array, key: Array, value: Array) -> bool:
    """Whether jax.nn.dot_product_attention takes these arrays: four axes, and equal batches and widths."""
    return (
        query.ndim == 4
        and key.ndim == 4
        and value.ndim == 4
        and query.dtype != jnp.float64  # its softmax is computed in float32
        and key.shape[-1] == value.shape[-1]
        and query.shape[0] == key.shape[0]
        and key.shape[0] == value.shape[0]
        and key.shape[1] == value.shape[1]
    )


@TABLE.rule("aten.scaled_dot_product_attention.default")
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    *,
    scale: float | None = None,
    enable_gqa: bool = False,
    dropout: Callable[[Array], Array] | None = None,
) -> Array:
    """scaled_dot_product_attention(Tensor query, Tensor key, Tensor value, Tensor? attn_mask=None, float dropout_p=0., bool is_causal=False, *, float? scale=None, bool enable_gqa=False) -> Tensor"""  # noqa: E501
    if dropout_p > 0 or not is_one_kernel(query, key, value):
        return attention_by_formula(
            query, key, value, attn_mask, is_causal=is_causal, scale=scale, dropout=dropout if dropout_p > 0 else None
        )
    if attn_mask is not None:
        return masked_attention(
            query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2), attn_mask, scale=scale
        ).swapaxes(1, 2)
    if is_causal and scale is None:
        return jax.nn.dot_product_attention(
            query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2), is_causal=True
        ).swapaxes(1, 2)
    if is_causal:
        return jax.nn.dot_product_attention(
            query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2), is_causal=True, scale=scale
        ).swapaxes(1, 2)
    if scale is None:
        return jax.nn.dot_product_attention(query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2)).swapaxes(
            1, 2
        )
    return jax.nn.dot_product_attention(
        query.swapaxes(1, 2), key.swapaxes(1, 2), value.swapaxes(1, 2), scale=scale
    ).swapaxes(1, 2)
