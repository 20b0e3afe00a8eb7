"""Writing several values to one place: sums, means, products and extremes by index, and over segments."""

from __future__ import annotations

from typing import Any

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("scatter_reduce")

TIED_SEGMENTS = Limit(
    when="reduce is 'max' or 'min'",
    applies=lambda arguments: arguments.get("reduce") in ("max", "min"),
    effect="approximate",
    reason="equal extremes share the gradient; torch divides it among them only where it is positive",
)

Places = tuple[Array | slice, ...]


def scatter_places(index: Array, dim: int) -> Places:
    """Index arrays that name, for each element of `index`, the place it points to along `dim`."""
    grid = list(jnp.indices(index.shape, sparse=True))
    grid[dim % index.ndim] = index
    return tuple(grid)


def scatter_combined(x: Array, at: Places, values: Array, reduce: str, include_self: bool = True) -> Array:
    """`x` with the values combined at their places.

    Args:
        x: what is there before.
        at: an index of `x` in which places may occur several times.
        values: of the shape of ``x[at]``.
        reduce: sum, mean, prod, amax or amin.
        include_self: whether the elements of `x` at these places take part.
    """
    if x.dtype == bool:  # a sum or maximum of booleans is "any", a product or minimum "all"
        numbers = x.astype(jnp.uint8), at, values.astype(jnp.uint8)
        return scatter_extremes(*numbers, reduce in ("sum", "amax"), include_self).astype(bool)
    if reduce in ("amax", "amin"):
        return scatter_extremes(x, at, values, reduce == "amax", include_self)
    if reduce == "prod":
        return scatter_products(x if include_self else x.at[at].set(1), at, values)
    total = (x if include_self else x.at[at].set(0)).at[at].add(values)
    if reduce == "sum":
        return total
    ones = jnp.ones_like(x)
    counts = jnp.maximum((ones if include_self else ones.at[at].set(0)).at[at].add(1), 1)
    return total / counts if jnp.issubdtype(x.dtype, jnp.inexact) else total // counts


def scatter_extremes(x: Array, at: Places, values: Array, largest: bool, include_self: bool) -> Array:
    """Scatter that keeps the largest or smallest; equal values share the derivative evenly, as in torch."""
    if jnp.issubdtype(x.dtype, jnp.floating):
        neutral = -jnp.inf if largest else jnp.inf
    else:
        neutral = jnp.iinfo(x.dtype).min if largest else jnp.iinfo(x.dtype).max
    start = lax.stop_gradient(x if include_self else x.at[at].set(neutral))
    fixed = lax.stop_gradient(values)
    found = start.at[at].max(fixed) if largest else start.at[at].min(fixed)
    if not jnp.issubdtype(x.dtype, jnp.floating):
        return found
    # torch counts an equal element of x as a sharer even where x is left out
    own, taken = x == found, values == found[at]
    counts = own.astype(x.dtype).at[at].add(taken.astype(x.dtype))
    kept = jnp.where(own, x if include_self else x.at[at].set(0), 0)
    shares = kept.at[at].add(jnp.where(taken, values, 0)) / counts
    return found + shares - lax.stop_gradient(shares)


def scatter_products(x: Array, at: Places, values: Array) -> Array:
    """`x` times all values that meet at each place.

    JAX differentiates a scattered product only where no two values meet, so those that meet are multiplied before:
    sorted by place they stand side by side, and a scan multiplies within each run of equal places.
    """
    places = jnp.arange(x.size).reshape(x.shape).at[at].get(mode="fill", fill_value=x.size)
    values = jnp.broadcast_to(values, places.shape).reshape(-1)
    order = jnp.argsort(places.reshape(-1))
    places = places.reshape(-1)[order]
    change = places[1:] != places[:-1]
    first, last = jnp.append(True, change)[: places.size], jnp.append(change, True)[: places.size]

    def multiplied(left: tuple[Array, Array], right: tuple[Array, Array]) -> tuple[Array, Array]:
        return left[0] | right[0], jnp.where(right[0], right[1], left[1] * right[1])

    products = lax.associative_scan(multiplied, (first, values[order]))[1]
    factors = jnp.ones(x.size, x.dtype).at[jnp.where(last, places, x.size)].set(products, mode="drop")
    return x * factors.reshape(x.shape)


@TABLE.rule("aten.scatter.reduce")
def scatter_with(self: Array, dim: int, index: Array, src: Array, reduce: str) -> Array:
    """scatter.reduce(Tensor self, int dim, Tensor index, Tensor src, *, str reduce) -> Tensor"""
    values = src[tuple(slice(n) for n in index.shape)]
    if self.ndim == 0 or reduce == "multiply":
        at = () if self.ndim == 0 else scatter_places(index, dim)
        return scatter_combined(self, at, values, "prod" if reduce == "multiply" else "sum")
    if self.dtype == bool:
        return self.at[scatter_places(index, dim)].max(values)
    return self.at[scatter_places(index, dim)].add(values)


@TABLE.rule("aten.scatter.value_reduce")
def scatter_value_with(self: Array, dim: int, index: Array, value: float, reduce: str) -> Array:
    """scatter.value_reduce(Tensor self, int dim, Tensor index, Scalar value, *, str reduce) -> Tensor"""
    value = int(value) if jnp.issubdtype(self.dtype, jnp.integer) else value
    if self.ndim == 0:
        at = self.reshape(1).at[index.reshape(-1)]
        return (at.multiply(value) if reduce == "multiply" else at.add(value)).reshape(())
    if reduce == "multiply":
        return self.at[scatter_places(index, dim)].multiply(value)
    return self.at[scatter_places(index, dim)].add(value)


@TABLE.rule("aten.scatter_reduce.two")
def scatter_reduce(self: Array, dim: int, index: Array, src: Array, reduce: str, include_self: bool = True) -> Array:
    """scatter_reduce.two(Tensor self, int dim, Tensor index, Tensor src, str reduce, *, bool include_self=True) ->
    Tensor
    """
    values = src[tuple(slice(n) for n in index.shape)]
    if self.ndim == 0:
        at = (index.reshape(-1),)
        return scatter_combined(self.reshape(1), at, values.reshape(-1), reduce, include_self).reshape(())
    return scatter_combined(self, scatter_places(index, dim), values, reduce, include_self)


@TABLE.rule("aten.index_reduce.default")
def index_reduce(
    self: Array, dim: int, index: Array, source: Array, reduce: str, *, include_self: bool = True
) -> Array:
    """index_reduce(Tensor self, int dim, Tensor index, Tensor source, str reduce, *, bool include_self=True) ->
    Tensor
    """
    if self.ndim == 0:
        at = (index.reshape(-1),)
        return scatter_combined(self.reshape(1), at, source.reshape(-1), reduce, include_self).reshape(())
    return scatter_combined(self, (slice(None),) * (dim % self.ndim) + (index,), source, reduce, include_self)


@TABLE.rule("aten.segment_reduce.default", limits=[TIED_SEGMENTS])
def segment_reduce(
    data: Array,
    reduce: str,
    *,
    lengths: Any = None,
    indices: Any = None,
    offsets: Any = None,
    axis: int = 0,
    unsafe: bool = False,
    initial: float | None = None,
) -> Array:
    """segment_reduce(Tensor data, str reduce, *, Tensor? lengths=None, Tensor? indices=None, Tensor? offsets=None, int axis=0, bool unsafe=False, Scalar? initial=None) -> Tensor"""  # noqa: E501
    if lengths is None:
        starts, ends = offsets[..., :-1], offsets[..., 1:]
    else:
        ends = jnp.cumsum(lengths, axis=-1)
        starts = ends - lengths
    position = jnp.arange(data.shape[axis])
    segment = jnp.sum(position >= ends[..., None], axis=-2)  # behind the last segment: dropped
    at = scatter_places(segment, -1)
    empty = {"sum": 0, "mean": 0, "prod": 1, "max": -jnp.inf, "min": jnp.inf}[reduce]
    shape = (*ends.shape, *data.shape[axis + 1 :])
    start = jnp.full(shape, empty if initial is None else initial, data.dtype)
    if reduce == "prod":
        return scatter_products(start, at, data)
    if reduce in ("max", "min"):
        return segment_extremes(start, at, data, reduce == "max")
    total = start.at[at].add(data)
    if reduce == "sum":
        return total
    count = (ends - starts).reshape(*ends.shape, *(1,) * (data.ndim - axis - 1))
    nothing = jnp.nan if initial is None else initial
    return jnp.where(count == 0, nothing, total / jnp.maximum(count, 1).astype(data.dtype))


def segment_extremes(start: Array, at: Places, data: Array, largest: bool) -> Array:
    """The extreme of the data at each place; equal elements of the data share the derivative evenly, as in torch."""
    fixed = lax.stop_gradient(data)
    found = start.at[at].max(fixed) if largest else start.at[at].min(fixed)
    taken = (fixed == found[at]) | jnp.isnan(fixed)
    counts = jnp.zeros_like(start).at[at].add(taken.astype(data.dtype))
    shares = jnp.zeros_like(start).at[at].add(jnp.where(taken, data - fixed, 0))
    return found + shares / jnp.maximum(counts, 1)
