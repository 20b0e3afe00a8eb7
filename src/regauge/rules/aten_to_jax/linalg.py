"""Linear algebra: inverses, decompositions, determinants."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array
from jax.typing import DTypeLike

from regauge.rules.table import RuleTable

TABLE = RuleTable("linalg")


@TABLE.rule("aten.linalg_inv.default")
def inverse(A: Array) -> Array:
    """linalg_inv(Tensor A) -> Tensor"""
    return jnp.linalg.inv(A)


@TABLE.rule("aten.inverse.default")
def inverse_of(self: Array) -> Array:
    """inverse(Tensor self) -> Tensor"""
    return jnp.linalg.inv(self)


@TABLE.rule("aten.linalg_det.default")
def determinant(A: Array) -> Array:
    """linalg_det(Tensor A) -> Tensor"""
    return jnp.linalg.det(A)


@TABLE.rule("aten.det.default")
def determinant_of(self: Array) -> Array:
    """det(Tensor self) -> Tensor"""
    return jnp.linalg.det(self)


@TABLE.rule("aten.linalg_slogdet.default")
def log_determinant(A: Array) -> tuple[Array, Array]:
    """linalg_slogdet(Tensor A) -> (Tensor sign, Tensor logabsdet)"""
    sign, logarithm = jnp.linalg.slogdet(A)
    return sign, logarithm


@TABLE.rule("aten.slogdet.default")
def log_determinant_of(self: Array) -> tuple[Array, Array]:
    """slogdet(Tensor self) -> (Tensor sign, Tensor logabsdet)"""
    sign, logarithm = jnp.linalg.slogdet(self)
    return sign, logarithm


@TABLE.rule("aten.linalg_solve.default")
def solve(A: Array, B: Array, left: bool = True) -> Array:
    """linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor"""
    if not left:
        transposed = jnp.linalg.solve(jnp.swapaxes(A, -1, -2), jnp.swapaxes(B, -1, -2))
        return jnp.swapaxes(transposed, -1, -2)
    if B.ndim == 1 or B.shape == A.shape[:-1]:
        return jnp.linalg.solve(A, B[..., None])[..., 0]
    return jnp.linalg.solve(A, B)


@TABLE.rule("aten.linalg_solve_triangular.default")
def solve_triangular(self: Array, B: Array, upper: bool, left: bool = True, unitriangular: bool = False) -> Array:
    """linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) ->
    Tensor
    """
    if left:
        return jax.scipy.linalg.solve_triangular(self, B, lower=not upper, unit_diagonal=unitriangular)
    solution = jax.scipy.linalg.solve_triangular(
        jnp.swapaxes(self, -1, -2), jnp.swapaxes(B, -1, -2), lower=upper, unit_diagonal=unitriangular
    )
    return jnp.swapaxes(solution, -1, -2)


@TABLE.rule("aten.linalg_cholesky.default")
def cholesky(self: Array, upper: bool = False) -> Array:
    """linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor"""
    factor = jnp.linalg.cholesky(self)
    return jnp.swapaxes(factor, -1, -2) if upper else factor


@TABLE.rule("aten.cholesky.default")
def cholesky_of(self: Array, upper: bool = False) -> Array:
    """cholesky(Tensor self, bool upper=False) -> Tensor"""
    factor = jnp.linalg.cholesky(self)
    return jnp.swapaxes(factor, -1, -2) if upper else factor


@TABLE.rule("aten.linalg_eigh.default")
def eigen_symmetric(self: Array, UPLO: str = "L") -> tuple[Array, Array]:
    """linalg_eigh(Tensor self, str UPLO="L") -> (Tensor eigenvalues, Tensor eigenvectors)"""
    values, vectors = jnp.linalg.eigh(self, UPLO=UPLO)
    return values, vectors


@TABLE.rule("aten.linalg_eigvalsh.default")
def eigenvalues_symmetric(self: Array, UPLO: str = "L") -> Array:
    """linalg_eigvalsh(Tensor self, str UPLO="L") -> Tensor"""
    return jnp.linalg.eigvalsh(self, UPLO=UPLO)


@TABLE.rule("aten.linalg_svdvals.default")
def singular_values(A: Array, driver: str | None = None) -> Array:
    """linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor"""
    return jnp.linalg.svd(A, compute_uv=False)


@TABLE.rule("aten.linalg_svd.default")
def singular_decomposition(
    A: Array, full_matrices: bool = True, driver: str | None = None
) -> tuple[Array, Array, Array]:
    """linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)"""
    left, values, right = jnp.linalg.svd(A, full_matrices=full_matrices)
    return left, values, right


@TABLE.rule("aten.linalg_qr.default")
def orthogonal_triangular(A: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """linalg_qr(Tensor A, str mode="reduced") -> (Tensor Q, Tensor R)"""
    orthogonal, triangular = jnp.linalg.qr(A, mode=mode)
    return orthogonal, triangular


@TABLE.rule("aten.linalg_matrix_exp.default", "aten.matrix_exp.default")
def matrix_exponential(self: Array) -> Array:
    """linalg_matrix_exp(Tensor self) -> Tensor
    matrix_exp(Tensor self) -> Tensor
    """
    return jax.scipy.linalg.expm(self)


@TABLE.rule("aten.logdet.default")
def log_determinant_alone(self: Array) -> Array:
    """logdet(Tensor self) -> Tensor"""
    sign, logarithm = jnp.linalg.slogdet(self)
    return jnp.where(sign < 0, jnp.nan, logarithm)


@TABLE.rule("aten.linalg_cholesky_ex.default")
def cholesky_with_status(self: Array, upper: bool = False, check_errors: bool = False) -> tuple[Array, Array]:
    """linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)"""
    factor = jnp.linalg.cholesky(self)
    failed = jnp.any(jnp.isnan(factor), axis=(-2, -1)).astype(jnp.int32)
    return (jnp.swapaxes(factor, -1, -2) if upper else factor), failed


@TABLE.rule("aten.linalg_inv_ex.default")
def inverse_with_status(A: Array, check_errors: bool = False) -> tuple[Array, Array]:
    """linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)"""
    inverted = jnp.linalg.inv(A)
    return inverted, jnp.any(~jnp.isfinite(inverted), axis=(-2, -1)).astype(jnp.int32)


@TABLE.rule("aten.linalg_pinv.default")
def pseudo_inverse(self: Array, rcond: float, hermitian: bool = False) -> Array:
    """linalg_pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor"""
    return jnp.linalg.pinv(self, rtol=rcond, hermitian=hermitian)


@TABLE.rule("aten.pinverse.default")
def pseudo_inverse_of(self: Array, rcond: float = 1e-15) -> Array:
    """pinverse(Tensor self, float rcond=1.0000000000000001e-15) -> Tensor"""
    return jnp.linalg.pinv(self, rtol=rcond)


@TABLE.rule("aten.linalg_matrix_norm.default")
def matrix_norm(
    self: Array, ord: float, dim: Sequence[int] = (-2, -1), keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_matrix_norm(Tensor self, Scalar ord, int[] dim=[-2, -1], bool keepdim=False, *, ScalarType?
    dtype=None) -> Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    return jnp.linalg.norm(x, ord, axis=(dim[0], dim[1]), keepdims=keepdim)


@TABLE.rule("aten.linalg_matrix_norm.str_ord")
def matrix_norm_named(
    self: Array, ord: str = "fro", dim: Sequence[int] = (-2, -1), keepdim: bool = False, dtype: DTypeLike | None = None
) -> Array:
    """linalg_matrix_norm.str_ord(Tensor self, str ord="fro", int[] dim=[-2, -1], bool keepdim=False, *,
    ScalarType? dtype=None) -> Tensor
    """
    x = self if dtype is None else self.astype(dtype)
    if ord == "nuc":
        return jnp.linalg.norm(x, "nuc", axis=(dim[0], dim[1]), keepdims=keepdim)
    # the Frobenius norm, with torch's derivative 0 where it is 0
    squares = jnp.sum(jnp.square(x), axis=tuple(dim), keepdims=keepdim)
    return jnp.where(squares == 0, 0, jnp.sqrt(jnp.where(squares == 0, 1, squares)))


@TABLE.rule("aten.nuclear_norm.default")
def nuclear_norm(self: Array, keepdim: bool = False) -> Array:
    """nuclear_norm(Tensor self, bool keepdim=False) -> Tensor"""
    return jnp.linalg.norm(self, "nuc", keepdims=keepdim)
