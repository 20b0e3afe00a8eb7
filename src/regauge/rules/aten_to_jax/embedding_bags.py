"""Bags of embeddings: rows of a table, summed, averaged or maximised over bags of indices."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("embedding_bags")

FREQUENCIES = Limit(
    when="scale_grad_by_freq is True",
    applies=lambda arguments: bool(arguments.get("scale_grad_by_freq")),
    effect="approximate",
    reason="the gradient of each row is divided by its own frequency; torch on the CPU takes that of another row",
)


def divided_by_frequency(rows: Array, indices: Array, count: int) -> Array:
    """The same rows, with derivatives divided by how often each index occurs."""
    frequency = jnp.zeros(count, rows.dtype).at[indices].add(1)[indices]
    held = lax.stop_gradient(rows)
    return held + (rows - held) / jnp.expand_dims(frequency, -1)


def first_of_largest(rows: Array, bag: Array, bags: int, counted: Array) -> tuple[Array, Array]:
    """Maximum of each bag, and the row it is in; the first of equal rows counts, as in torch; 0 for an empty bag.

    Args:
        rows: [rows, width].
        bag: the bag of each row.
        bags: their number.
        counted: whether a row takes part.
    """
    fixed = jnp.where(counted[:, None], lax.stop_gradient(rows), -jnp.inf)
    largest = jax.ops.segment_max(fixed, bag, bags)
    number = jnp.arange(rows.shape[0])[:, None]
    number = jnp.where((fixed == largest[bag]) & counted[:, None], number, rows.shape[0])
    first = jax.ops.segment_min(number, bag, bags)
    found = first < rows.shape[0]
    first = jnp.where(found, first, 0)
    return jnp.where(found, jnp.take_along_axis(rows, first, axis=0), 0), first


def pooled_embeddings(
    weight: Array,
    indices: Array,
    offsets: Array,
    scale_grad_by_freq: bool,
    mode: int,
    per_sample_weights: Array | None,
    include_last_offset: bool,
    padding_idx: int | None,
) -> tuple[Array, Array, Array, Array]:
    """Rows of `weight` pooled over bags: the result, and torch's three records of what was pooled.

    Args:
        weight: [rows, width].
        indices: of all bags, one after another.
        offsets: where each bag begins.
        scale_grad_by_freq: divide derivatives by how often each index occurs.
        mode: 0 sum, 1 mean, 2 maximum.
        per_sample_weights: factor of each index (sums only), or None.
        include_last_offset: the last offset is the end of the last bag; indices behind it are in none.
        padding_idx: the index that is left out, counted from the last row if it is negative; or None.
    """
    bags = offsets.shape[0] - 1 if include_last_offset else offsets.shape[0]
    bag = jnp.searchsorted(offsets, jnp.arange(indices.shape[0]), side="right").astype(offsets.dtype) - 1
    rows = weight[indices]
    if scale_grad_by_freq:
        rows = divided_by_frequency(rows, indices, weight.shape[0])
    if per_sample_weights is not None:
        rows = rows * per_sample_weights[:, None]
    counted = jnp.ones(indices.shape, bool)
    padded = padding_idx is not None
    if padding_idx is not None:
        counted = indices != jnp.asarray(padding_idx % weight.shape[0])
        rows = jnp.where(counted[:, None], rows, 0)
    size = jax.ops.segment_sum(counted.astype(offsets.dtype), bag, bags)
    if mode == 2:
        result, first = first_of_largest(rows, bag, bags, counted)
        return result, bag, size, jnp.where(size[:, None] > 0, indices[first], 0).astype(offsets.dtype)
    result = jax.ops.segment_sum(rows, bag, bags)
    if mode == 0:
        # torch's short way for these dtypes keeps no record of the bags
        short = not padded and weight.dtype in (jnp.float32, jnp.float16)
        return result, bag[:0] if short else bag, jnp.zeros_like(size), jnp.zeros_like(size)
    return result / jnp.maximum(size, 1)[:, None].astype(result.dtype), bag, size, size


@TABLE.rule("aten.embedding_bag.padding_idx", limits=[FREQUENCIES])
def embedding_bag(
    weight: Array,
    indices: Array,
    offsets: Array,
    scale_grad_by_freq: bool,
    mode: int,
    sparse: bool,
    per_sample_weights: Array | None,
    include_last_offset: bool,
    padding_idx: int | None,
) -> tuple[Array, Array, Array, Array]:
    """embedding_bag.padding_idx(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq, int mode, bool sparse, Tensor? per_sample_weights, bool include_last_offset, int? padding_idx) -> (Tensor, Tensor, Tensor, Tensor)"""  # noqa: E501
    return pooled_embeddings(
        weight, indices, offsets, scale_grad_by_freq, mode, per_sample_weights, include_last_offset, padding_idx
    )


@TABLE.rule("aten.embedding_bag.default", limits=[FREQUENCIES])
def embedding_bag_without_padding(
    weight: Array,
    indices: Array,
    offsets: Array,
    scale_grad_by_freq: bool = False,
    mode: int = 0,
    sparse: bool = False,
    per_sample_weights: Array | None = None,
    include_last_offset: bool = False,
) -> tuple[Array, Array, Array, Array]:
    """embedding_bag(Tensor weight, Tensor indices, Tensor offsets, bool scale_grad_by_freq=False, int mode=0, bool sparse=False, Tensor? per_sample_weights=None, bool include_last_offset=False) -> (Tensor, Tensor, Tensor, Tensor)"""  # noqa: E501
    return pooled_embeddings(
        weight, indices, offsets, scale_grad_by_freq, mode, per_sample_weights, include_last_offset, None
    )
