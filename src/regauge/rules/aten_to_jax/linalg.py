"""Functions of matrices: determinants, exponentials, ranks, conditions, covariances."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("linalg")


@TABLE.rule("aten.linalg_det.default")
def determinant(A: Array) -> Array:
    """linalg_det(Tensor A) -> Tensor"""
    if A.shape[-1] == 0:
        return jnp.ones(A.shape[:-2], A.dtype)
    return jnp.linalg.det(A)


@TABLE.rule("aten.det.default")
def determinant_of(self: Array) -> Array:
    """det(Tensor self) -> Tensor"""
    if self.shape[-1] == 0:
        return jnp.ones(self.shape[:-2], self.dtype)
    return jnp.linalg.det(self)


@TABLE.rule("aten.linalg_slogdet.default")
def log_determinant(A: Array) -> tuple[Array, Array]:
    """linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)"""
    return jnp.linalg.slogdet(A)


@TABLE.rule("aten.slogdet.default")
def log_determinant_of(self: Array) -> tuple[Array, Array]:
    """slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)"""
    return jnp.linalg.slogdet(self)


@TABLE.rule("aten.logdet.default")
def log_determinant_alone(self: Array) -> Array:
    """logdet(Tensor self) -> Tensor"""
    sign, logarithm = jnp.linalg.slogdet(self)
    if jnp.iscomplexobj(self):
        return logarithm + jnp.log(sign)
    return jnp.where(sign < 0, jnp.nan, logarithm)


@TABLE.rule("aten.linalg_matrix_exp.default", "aten.matrix_exp.default")
def matrix_exponential(self: Array) -> Array:
    """linalg_matrix_exp(Tensor self) -> Tensor
    matrix_exp(Tensor self) -> Tensor
    """
    if self.dtype == jnp.bfloat16:  # XLA solves no systems in it
        return jax.scipy.linalg.expm(self.astype(jnp.float32)).astype(self.dtype)
    return jax.scipy.linalg.expm(self)


@TABLE.rule("aten.linalg_diagonal.default")
def matrix_diagonal(A: Array, offset: int = 0, dim1: int = -2, dim2: int = -1) -> Array:
    """linalg_diagonal(Tensor(a) A, *, int offset=0, int dim1=-2, int dim2=-1) -> Tensor(a)"""
    return jnp.diagonal(A, offset, dim1, dim2)


@TABLE.rule("aten.vander.default")
def vandermonde_falling(x: Array, N: int | None = None, increasing: bool = False) -> Array:
    """vander(Tensor x, int? N=None, bool increasing=False) -> Tensor"""
    return jnp.vander(x, N, increasing)


@TABLE.rule("aten.linalg_vander.default", promotes=Promotes.BOOL_TO_LONG)
def vandermonde(x: Array, N: int | None = None) -> Array:
    """linalg_vander(Tensor x, *, SymInt? N=None) -> Tensor"""
    # powers as products, so that the derivative at 0 is exact
    x = jnp.atleast_1d(x)
    columns = x.shape[-1] if N is None else N
    factors = jnp.broadcast_to(x[..., None], (*x.shape, columns - 1))
    return jnp.cumprod(jnp.concatenate([jnp.ones_like(x)[..., None], factors], axis=-1), axis=-1)


@TABLE.rule("aten.linalg_cond.default")
def condition(self: Array, p: float | None = None) -> Array:
    """linalg_cond(Tensor self, Scalar? p=None) -> Tensor"""
    if 0 in self.shape[-2:]:
        return jnp.zeros(self.shape[:-2], jnp.finfo(self.dtype).dtype)
    if p is None or abs(p) == 2:
        values = jnp.linalg.svd(self, compute_uv=False)
        return values[..., -1] / values[..., 0] if p == -2 else values[..., 0] / values[..., -1]
    return jnp.linalg.norm(self, p, axis=(-2, -1)) * jnp.linalg.norm(jnp.linalg.inv(self), p, axis=(-2, -1))


@TABLE.rule("aten.linalg_cond.p_str")
def condition_named(self: Array, p: str) -> Array:
    """linalg_cond.p_str(Tensor self, str p) -> Tensor"""
    if 0 in self.shape[-2:]:
        return jnp.zeros(self.shape[:-2], jnp.finfo(self.dtype).dtype)
    return jnp.linalg.norm(self, p, axis=(-2, -1)) * jnp.linalg.norm(jnp.linalg.inv(self), p, axis=(-2, -1))


def rank_above(x: Array, atol: Array | float | None, rtol: Array | float | None, hermitian: bool) -> Array:
    """How many singular values exceed ``max(atol, rtol * largest)``; a relative bound is the default."""
    if hermitian:
        values = jnp.abs(jnp.linalg.eigvalsh(x, symmetrize_input=False))
    else:
        values = jnp.linalg.svd(x, compute_uv=False)
    default = max(x.shape[-2:]) * float(jnp.finfo(x.dtype).eps)
    if rtol is None:
        rtol = default if atol is None else jnp.where(jnp.asarray(atol) > 0, 0, default)
    bound = jnp.asarray(rtol, values.dtype) * jnp.max(values, axis=-1, initial=0)
    if atol is not None:
        bound = jnp.maximum(jnp.asarray(atol, values.dtype), bound)
    return jnp.sum(values > bound[..., None], axis=-1, dtype=int)


@TABLE.rule("aten.linalg_matrix_rank.default")
def matrix_rank(self: Array, tol: float, hermitian: bool = False) -> Array:
    """linalg_matrix_rank(Tensor self, float tol, bool hermitian=False) -> Tensor"""
    return rank_above(self, tol, 0.0, hermitian)


@TABLE.rule("aten.linalg_matrix_rank.tol_tensor")
def matrix_rank_above(input: Array, tol: Array, hermitian: bool = False) -> Array:
    """linalg_matrix_rank.tol_tensor(Tensor input, Tensor tol, bool hermitian=False) -> Tensor"""
    return rank_above(input, tol, 0.0, hermitian)


@TABLE.rule("aten.linalg_matrix_rank.atol_rtol_tensor")
def matrix_rank_within_arrays(
    input: Array, atol: Array | None = None, rtol: Array | None = None, hermitian: bool = False
) -> Array:
    """linalg_matrix_rank.atol_rtol_tensor(Tensor input, *, Tensor? atol=None, Tensor? rtol=None, bool
    hermitian=False) -> Tensor
    """
    return rank_above(input, atol, rtol, hermitian)


@TABLE.rule("aten.linalg_matrix_rank.atol_rtol_float")
def matrix_rank_within(
    self: Array, atol: float | None = None, rtol: float | None = None, hermitian: bool = False
) -> Array:
    """linalg_matrix_rank.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False)
    -> Tensor
    """
    return rank_above(self, atol, rtol, hermitian)


def weighted_covariance(x: Array, correction: int, weights: Array, aweights: Array | None) -> Array:
    """The covariance with weights, and which part of them are no frequencies; their sums are taken in their own dtype,
    as in torch.
    """
    values = jnp.atleast_2d(x if jnp.issubdtype(x.dtype, jnp.inexact) else x.astype(jnp.float32))
    total = jnp.sum(weights)
    factor = total - correction
    if aweights is not None and correction != 0:
        factor = total - correction * jnp.sum(weights * aweights) / total
    centred = values - jnp.sum(values * weights, axis=1, keepdims=True) / total
    return jnp.squeeze((centred * weights) @ centred.T.conj() / jnp.maximum(factor, 0))


@TABLE.rule("regauge.cov.default")
def covariance_matrix(
    self: Array, correction: int = 1, fweights: Array | None = None, aweights: Array | None = None
) -> Array:
    """cov(Tensor self, int correction=1, Tensor? fweights=None, Tensor? aweights=None) -> Tensor"""
    if fweights is not None and aweights is not None:
        return weighted_covariance(self, correction, fweights * aweights, aweights)
    if aweights is not None:
        return weighted_covariance(self, correction, aweights, aweights)
    if fweights is not None:
        return weighted_covariance(self, correction, fweights, None)
    if correction == 1:
        return jnp.cov(self)
    return jnp.cov(self, ddof=correction)


@TABLE.rule("regauge.corrcoef.default", promotes=Promotes.INT_TO_FLOAT)
def correlation_matrix(self: Array) -> Array:
    """corrcoef(Tensor self) -> Tensor"""
    return jnp.corrcoef(self)
