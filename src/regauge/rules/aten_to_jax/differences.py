"""Numerical derivatives and integrals along an axis."""

from __future__ import annotations

from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("differences")


def slope_along(x: Array, spacing: float | Array, axis: int, edge_order: int) -> Array:
    """Second-order differences inside, one-sided ones of order `edge_order` at both ends, as numpy.gradient.

    Args:
        x: the values.
        spacing: the distance of neighbours, or their coordinates along the axis.
        axis: along which the derivative is taken.
        edge_order: 1 or 2.
    """
    f = jnp.moveaxis(x, axis, 0)
    n = f.shape[0]
    steps = jnp.diff(spacing) if jnp.ndim(spacing) == 1 else jnp.full(n - 1, spacing)
    steps = jnp.reshape(steps, (n - 1,) + (1,) * (f.ndim - 1))
    slopes = jnp.diff(f, axis=0) / steps
    left, right = steps[:-1], steps[1:]
    inside = (right * slopes[:-1] + left * slopes[1:]) / (left + right)
    first, last = slopes[:1], slopes[-1:]
    if edge_order == 2:
        bend = (slopes[1:] - slopes[:-1]) / (left + right)
        first, last = first - bend[:1] * steps[:1], last + bend[-1:] * steps[-1:]
    return jnp.moveaxis(jnp.concatenate([first, inside, last]), 0, axis)


@TABLE.rule("aten.gradient.scalarint", promotes=Promotes.INT_TO_FLOAT)
def slopes(self: Array, spacing: float | None = None, dim: int | None = None, edge_order: int = 1) -> list[Array]:
    """gradient.scalarint(Tensor self, *, Scalar? spacing=None, int? dim=None, int edge_order=1) -> Tensor[]"""
    step, axes = 1 if spacing is None else spacing, range(self.ndim) if dim is None else (dim,)
    return [slope_along(self, step, axis, edge_order) for axis in axes]


@TABLE.rule("aten.gradient.scalararray", promotes=Promotes.INT_TO_FLOAT)
def slopes_along(self: Array, spacing: float, dim: Sequence[int], edge_order: int = 1) -> list[Array]:
    """gradient.scalararray(Tensor self, *, Scalar spacing, int[] dim, int edge_order=1) -> Tensor[]"""
    return [slope_along(self, spacing, axis, edge_order) for axis in dim]


@TABLE.rule("aten.gradient.array", promotes=Promotes.INT_TO_FLOAT)
def unit_slopes_along(self: Array, dim: Sequence[int], edge_order: int = 1) -> list[Array]:
    """gradient.array(Tensor self, *, int[] dim, int edge_order=1) -> Tensor[]"""
    return [slope_along(self, 1, axis, edge_order) for axis in dim]


@TABLE.rule("aten.gradient.scalarrayint", promotes=Promotes.INT_TO_FLOAT)
def slopes_by_steps(self: Array, spacing: Sequence[float], dim: int | None = None, edge_order: int = 1) -> list[Array]:
    """gradient.scalarrayint(Tensor self, *, Scalar[] spacing, int? dim=None, int edge_order=1) -> Tensor[]"""
    axes = range(self.ndim) if dim is None else (dim,)
    return [slope_along(self, step, axis, edge_order) for step, axis in zip(spacing, axes, strict=True)]


@TABLE.rule("aten.gradient.scalarrayarray", promotes=Promotes.INT_TO_FLOAT)
def slopes_along_by_steps(
    self: Array, spacing: Sequence[float], dim: Sequence[int], edge_order: int = 1
) -> list[Array]:
    """gradient.scalarrayarray(Tensor self, *, Scalar[] spacing, int[] dim, int edge_order=1) -> Tensor[]"""
    return [slope_along(self, step, axis, edge_order) for step, axis in zip(spacing, dim, strict=True)]


@TABLE.rule("aten.gradient.tensorarrayint", promotes=Promotes.INT_TO_FLOAT)
def slopes_by_coordinates(
    self: Array, spacing: Sequence[Array], dim: int | None = None, edge_order: int = 1
) -> list[Array]:
    """gradient.tensorarrayint(Tensor self, *, Tensor[] spacing, int? dim=None, int edge_order=1) -> Tensor[]"""
    axes = range(self.ndim) if dim is None else (dim,)
    return [slope_along(self, places, axis, edge_order) for places, axis in zip(spacing, axes, strict=True)]


@TABLE.rule("aten.gradient.tensorarray", promotes=Promotes.INT_TO_FLOAT)
def slopes_along_by_coordinates(
    self: Array, spacing: Sequence[Array], dim: Sequence[int], edge_order: int = 1
) -> list[Array]:
    """gradient.tensorarray(Tensor self, *, Tensor[] spacing, int[] dim, int edge_order=1) -> Tensor[]"""
    return [slope_along(self, places, axis, edge_order) for places, axis in zip(spacing, dim, strict=True)]


@TABLE.rule("aten.trapezoid.dx", "aten.trapz.dx")
def area_by_step(y: Array, dx: float = 1, dim: int = -1) -> Array:
    """trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor
    trapz.dx(Tensor y, *, float dx=1., int dim=-1) -> Tensor
    """
    return jnp.trapezoid(y, dx=dx, axis=dim)


@TABLE.rule("aten.trapezoid.x", "aten.trapz.x")
def area_by_positions(y: Array, x: Array, dim: int = -1) -> Array:
    """trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor
    trapz.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor
    """
    return jnp.trapezoid(y, x, axis=dim)


@TABLE.rule("aten.cumulative_trapezoid.dx", promotes=Promotes.INT_TO_FLOAT)
def cumulative_integral(y: Array, dx: float = 1, dim: int = -1) -> Array:
    """cumulative_trapezoid.dx(Tensor y, *, Scalar dx=1, int dim=-1) -> Tensor"""
    f = jnp.moveaxis(y, dim, -1)
    return jnp.moveaxis(jnp.cumsum((f[..., 1:] + f[..., :-1]) * (dx / 2), axis=-1), -1, dim)


@TABLE.rule("aten.cumulative_trapezoid.x", promotes=Promotes.INT_TO_FLOAT)
def cumulative_integral_over(y: Array, x: Array, dim: int = -1) -> Array:
    """cumulative_trapezoid.x(Tensor y, Tensor x, *, int dim=-1) -> Tensor"""
    if x.ndim == 1:
        steps = jnp.diff(x)
    else:
        places = jnp.reshape(x, (1,) * (y.ndim - x.ndim) + x.shape)
        steps = jnp.diff(jnp.moveaxis(places, dim, -1), axis=-1)
    f = jnp.moveaxis(y, dim, -1)
    return jnp.moveaxis(jnp.cumsum((f[..., 1:] + f[..., :-1]) / 2 * steps, axis=-1), -1, dim)
