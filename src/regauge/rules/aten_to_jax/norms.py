"""Norms of vectors and matrices, and distances built on them, with torch's derivative 0 where the norm is 0."""

from __future__ import annotations

import math
from collections.abc import Sequence

import jax.numpy as jnp
from jax import Array, lax
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("norms")


def p_norm(x: Array, order: float, axis: tuple[int, ...] | None = None, keepdims: bool = False) -> Array:
    """The p-norm along axes. Its derivative is 0 where it is 0, as in torch; JAX's plain formulas give NaN."""
    if x.ndim == 0:
        axis = None
    if order == 2:
        squares = jnp.sum(jnp.square(x) if jnp.isrealobj(x) else jnp.real(x * x.conj()), axis=axis, keepdims=keepdims)
        return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))
    size = x * lax.stop_gradient(jnp.sign(x)) if jnp.isrealobj(x) else jnp.abs(x)
    if order == 1:
        return jnp.sum(size, axis=axis, keepdims=keepdims)
    if order == 0:
        return jnp.sum(x != 0, axis=axis, keepdims=keepdims).astype(size.dtype)
    if order == math.inf:
        return jnp.max(size, axis=axis, keepdims=keepdims)
    if order == -math.inf:
        return jnp.min(size, axis=axis, keepdims=keepdims)
    powers = jnp.where(x == 0, 0 if order > 0 else math.inf, jnp.where(x == 0, 1, size) ** order)
    total = jnp.sum(powers, axis=axis, keepdims=keepdims)
    return jnp.where(total == 0, 0, jnp.where(total == 0, 1, total) ** (1 / order))


def m_norm(x: Array, order: float | str, axes: tuple[int, int] = (-2, -1), keepdims: bool = False) -> Array:
    """The norm of matrices by their singular values, or by the sums of rows or columns, with torch's derivatives.

    At equal singular values, as those of the matrix 0, jnp.linalg.norm has half of them.
    """
    if order == "fro":
        return p_norm(x, 2, axes, keepdims)
    if order in ("nuc", 2, -2):
        values = jnp.linalg.svd(jnp.moveaxis(x, axes, (-2, -1)), compute_uv=False)
        norm = jnp.sum(values, -1) if order == "nuc" else _largest(values, -1) if order == 2 else jnp.min(values, -1)
        return jnp.expand_dims(norm, tuple(axis % x.ndim for axis in axes)) if keepdims else norm
    along, across = axes if abs(float(order)) == 1 else (axes[1], axes[0])
    sums = p_norm(x, 1, (along,), keepdims=True)
    norm = _largest(sums, across, keepdims=True) if float(order) > 0 else jnp.min(sums, across, keepdims=True)
    return norm if keepdims else jnp.squeeze(norm, axes)


def _largest(sizes: Array, axis: int, keepdims: bool = False) -> Array:
    """The largest of sizes; 0 where there are none, as in torch."""
    return jnp.max(sizes, axis, keepdims=keepdims, initial=0 if sizes.shape[axis] == 0 else None)


@TABLE.rule("aten.linalg_vector_norm.default")
def linalg_vector_norm(
    self: Array, ord: float = 2, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_vector_norm(Tensor self, Scalar ord=2, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None)
    -> Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    return p_norm(x, ord, tuple(dim) if dim else None, keepdim)


@TABLE.rule("aten.norm.Scalar")
def norm_all(self: Array, p: float = 2) -> Array:
    """norm.Scalar(Tensor self, Scalar p=2) -> Tensor"""
    return p_norm(self, p)


@TABLE.rule("aten.norm.ScalarOpt_dim")
def norm_along(self: Array, p: float | None, dim: Sequence[int], keepdim: bool = False) -> Array:
    """norm.ScalarOpt_dim(Tensor self, Scalar? p, int[1] dim, bool keepdim=False) -> Tensor"""
    return p_norm(self, 2 if p is None else p, tuple(dim) if dim else None, keepdim)


@TABLE.rule("aten.norm.ScalarOpt_dim_dtype")
def norm_along_as(self: Array, p: float | None, dim: Sequence[int], keepdim: bool, dtype: DTypeLike) -> Array:
    """norm.ScalarOpt_dim_dtype(Tensor self, Scalar? p, int[1] dim, bool keepdim, *, ScalarType dtype) -> Tensor"""
    return p_norm(self.astype(dtype), 2 if p is None else p, tuple(dim) if dim else None, keepdim)


@TABLE.rule("aten.norm.ScalarOpt_dtype")
def norm_as(self: Array, p: float | None, dtype: DTypeLike) -> Array:
    """norm.ScalarOpt_dtype(Tensor self, Scalar? p, *, ScalarType dtype) -> Tensor"""
    return p_norm(self.astype(dtype), 2 if p is None else p)


@TABLE.rule("aten.linalg_norm.default")
def linalg_norm(
    self: Array,
    ord: float | None = None,
    dim: Sequence[int] | None = None,
    keepdim: bool = False,
    dtype: DTypeLike | None = None,
) -> Array:
    """linalg_norm(Tensor self, Scalar? ord=None, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) ->
    Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    if ord is None:
        return p_norm(x, 2, tuple(dim) if dim else None, keepdim)
    axes = tuple(range(x.ndim)) if dim is None else tuple(dim)
    if len(axes) == 1:
        return p_norm(x, ord, axes, keepdim)
    return m_norm(x, ord, (axes[0], axes[1]), keepdim)


@TABLE.rule("aten.linalg_norm.ord_str")
def linalg_norm_named(
    self: Array, ord: str, dim: Sequence[int] | None = None, keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_norm.ord_str(Tensor self, str ord, int[1]? dim=None, bool keepdim=False, *, ScalarType? dtype=None) ->
    Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    return m_norm(x, ord, (0, 1) if dim is None else (dim[0], dim[1]), keepdim)


@TABLE.rule("aten.linalg_matrix_norm.default")
def matrix_norm(
    self: Array, ord: float, dim: Sequence[int] = (-2, -1), keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_matrix_norm(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType?
    dtype=None) -> Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    return m_norm(x, ord, (dim[0], dim[1]), keepdim)


@TABLE.rule("aten.linalg_matrix_norm.str_ord")
def matrix_norm_named(
    self: Array, ord: str = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_matrix_norm.str_ord(Tensor self, str ord="fro", int[] dim=[-2, -1], bool keepdim=False, *,
    ScalarType? dtype=None) -> Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    return m_norm(x, ord, (dim[0], dim[1]), keepdim)


@TABLE.rule("aten.nuclear_norm.default")
def nuclear_norm(self: Array, keepdim: bool = False) -> Array:
    """nuclear_norm(Tensor self, bool keepdim=False) -> Tensor"""
    return m_norm(self, "nuc", keepdims=keepdim)


@TABLE.rule("aten.nuclear_norm.dim")
def nuclear_norm_along(self: Array, dim: Sequence[int], keepdim: bool = False) -> Array:
    """nuclear_norm.dim(Tensor self, int[2] dim, bool keepdim=False) -> Tensor"""
    return m_norm(self, "nuc", (dim[0], dim[1]), keepdim)


@TABLE.rule("aten.frobenius_norm.dim")
def frobenius_norm(self: Array, dim: Sequence[int], keepdim: bool = False) -> Array:
    """frobenius_norm.dim(Tensor self, int[1] dim, bool keepdim=False) -> Tensor"""
    return p_norm(self, 2, tuple(dim) if dim else None, keepdim)


@TABLE.rule("aten.dist.default")
def distance(self: Array, other: Array, p: float = 2) -> Array:
    """dist(Tensor self, Tensor other, Scalar p=2) -> Tensor"""
    return p_norm(self - other, p)


@TABLE.rule("aten.cdist.default")
def pairwise_distances(x1: Array, x2: Array, p: float = 2.0, compute_mode: int | None = None) -> Array:
    """cdist(Tensor x1, Tensor x2, float p=2., int? compute_mode=None) -> Tensor"""
    return p_norm(x1[..., :, None, :] - x2[..., None, :, :], p, (-1,))


@TABLE.rule("aten.pdist.default")
def distances_within(self: Array, p: float = 2.0) -> Array:
    """pdist(Tensor self, float p=2.) -> Tensor"""
    rows, columns = jnp.triu_indices(self.shape[0], 1)
    return p_norm(self[rows] - self[columns], p, (-1,))


@TABLE.rule("aten.renorm.default")
def renormalise(self: Array, p: float, dim: int, maxnorm: float) -> Array:
    """renorm(Tensor self, Scalar p, int dim, Scalar maxnorm) -> Tensor"""
    axes = tuple(axis for axis in range(self.ndim) if axis != dim % self.ndim)
    norms = p_norm(self, p, axes, True)
    return jnp.where(norms > maxnorm, self * (maxnorm / (norms + 1e-7)), self)


def rows_limited(table: Array, indices: Array, max_norm: float, norm_type: float) -> Array:
    """The table with its rows at `indices` scaled to `max_norm` where their norm is larger, as torch's lookups do it.

    Gradients pass as if no row was scaled.
    """
    held = lax.stop_gradient(table)
    rows = held[indices]
    norms = p_norm(rows, norm_type, (-1,), True)
    rows = jnp.where(norms > max_norm, rows * (max_norm / (norms + 1e-7)), rows)
    return held.at[indices].set(rows) + (table - held)


@TABLE.rule("aten.embedding_renorm.default")
def limit_rows(self: Array, indices: Array, max_norm: float, norm_type: float) -> Array:
    """embedding_renorm(Tensor self, Tensor indices, float max_norm, float norm_type) -> Tensor"""
    return rows_limited(self, indices, max_norm, norm_type)
