"""Histograms of fixed numbers of bins: each bin holds its lower edge, the last one its upper edge too."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("histograms")


@TABLE.rule("aten.histc.default")
def counts_between(self: Array, bins: int = 100, min: float = 0, max: float = 0) -> Array:
    """histc(Tensor self, int bins=100, Scalar min=0, Scalar max=0) -> Tensor"""
    low, high = jnp.asarray(min, self.dtype), jnp.asarray(max, self.dtype)
    if min == max and self.size:
        low, high = jnp.min(self), jnp.max(self)
    low, high = jnp.where(low == high, low - 1, low), jnp.where(low == high, high + 1, high)
    index = jnp.clip((self - low) * bins / (high - low), 0, bins - 1).astype(int)
    counted = (self >= low) & (self <= high)
    return jnp.zeros(bins, self.dtype).at[index].add(counted.astype(self.dtype))


@TABLE.rule("regauge.bincount.default")
def counts_of_each(self: Array, weights: Array | None = None, minlength: int = 0) -> Array:
    """bincount(Tensor self, Tensor? weights=None, int minlength=0) -> Tensor"""
    if weights is None:
        return jnp.bincount(self, length=minlength).astype(int)
    kept = weights if weights.dtype == jnp.float32 else weights.astype(float)
    return jnp.bincount(self, lax.stop_gradient(kept), length=minlength)


def bin_edges(x: Array, bins: int, limits: Sequence[float] | None) -> Array:
    """Edges of equal bins over the limits, or over the values; a range of no width is made one wide."""
    if limits is not None:
        low, high = jnp.asarray(limits[0], x.dtype), jnp.asarray(limits[1], x.dtype)
    elif x.size:
        low, high = jnp.min(x), jnp.max(x)
    else:
        low, high = jnp.zeros((), x.dtype), jnp.ones((), x.dtype)
    empty = low == high
    return jnp.linspace(jnp.where(empty, low - 0.5, low), jnp.where(empty, high + 0.5, high), bins + 1, dtype=x.dtype)


def filled_bins(points: Array, edges: Sequence[Array], weight: Array | None, density: bool) -> Array:
    """Number, or total weight, of the points in each bin.

    Args:
        points: [points, dimensions].
        edges: rising edges along each dimension.
        weight: of each point, or None.
        density: divide by the total and by the volume of the bin.
    """
    inside = jnp.ones(points.shape[0], bool)
    index = []
    for axis, edge in enumerate(edges):
        x = points[:, axis]
        inside = inside & (x >= edge[0]) & (x <= edge[-1])
        index.append(jnp.clip(jnp.searchsorted(edge, x, side="right") - 1, 0, edge.size - 2))
    amount = inside.astype(points.dtype) if weight is None else jnp.where(inside, weight.reshape(-1), 0)
    filled = jnp.zeros([edge.size - 1 for edge in edges], points.dtype).at[tuple(index)].add(amount)
    if not density:
        return filled
    filled = filled / jnp.sum(filled)
    for axis, edge in enumerate(edges):
        filled = filled / jnp.diff(edge).reshape([-1 if a == axis else 1 for a in range(len(edges))])
    return filled


@TABLE.rule("aten.histogram.bin_ct")
def histogram(
    self: Array,
    bins: int = 100,
    *,
    range: Sequence[float] | None = None,
    weight: Array | None = None,
    density: bool = False,
) -> tuple[Array, Array]:
    """histogram.bin_ct(Tensor self, int bins=100, *, float[]? range=None, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)"""  # noqa: E501
    edges = bin_edges(self, bins, range)
    return filled_bins(self.reshape(-1, 1), [edges], weight, density), edges


@TABLE.rule("aten.histogram.bins_tensor")
def histogram_between(
    self: Array, bins: Array, *, weight: Array | None = None, density: bool = False
) -> tuple[Array, Array]:
    """histogram.bins_tensor(Tensor self, Tensor bins, *, Tensor? weight=None, bool density=False) -> (Tensor hist, Tensor bin_edges)"""  # noqa: E501
    return filled_bins(self.reshape(-1, 1), [bins], weight, density), bins


@TABLE.rule("aten._histogramdd_bin_edges.default")
def edges_by_dimension(
    self: Array,
    bins: Sequence[int],
    *,
    range: Sequence[float] | None = None,
    weight: Array | None = None,
    density: bool = False,
) -> list[Array]:
    """_histogramdd_bin_edges(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False) -> Tensor[]"""  # noqa: E501
    limits = [None if range is None else range[2 * i : 2 * i + 2] for i, _ in enumerate(bins)]
    return [bin_edges(self[..., i], count, limits[i]) for i, count in enumerate(bins)]


@TABLE.rule("aten._histogramdd_from_bin_cts.default")
def histogram_by_dimension(
    self: Array,
    bins: Sequence[int],
    *,
    range: Sequence[float] | None = None,
    weight: Array | None = None,
    density: bool = False,
) -> Array:
    """_histogramdd_from_bin_cts(Tensor self, int[] bins, *, float[]? range=None, Tensor? weight=None, bool density=False) -> Tensor"""  # noqa: E501
    edges = edges_by_dimension(self, bins, range=range)
    return filled_bins(self.reshape(-1, self.shape[-1]), edges, weight, density)


@TABLE.rule("aten._histogramdd_from_bin_tensors.default")
def histogram_between_by_dimension(
    self: Array, bins: Sequence[Array], *, weight: Array | None = None, density: bool = False
) -> Array:
    """_histogramdd_from_bin_tensors(Tensor self, Tensor[] bins, *, Tensor? weight=None, bool density=False) -> Tensor"""  # noqa: E501
    return filled_bins(self.reshape(-1, self.shape[-1]), bins, weight, density)
