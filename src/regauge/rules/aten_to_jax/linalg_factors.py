"""Triangular factors of matrices: LU and LDL, and systems that are solved with factors."""

from __future__ import annotations

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("linalg_factors")

NO_PIVOTS = Limit(
    when="without pivots",
    applies=lambda arguments: not arguments["pivot"],
    effect="unsupported",
    reason="JAX has no LU decomposition without pivots, and torch has none on the CPU to compare with",
)


def triangles(factors: Array) -> tuple[Array, Array]:
    """L with its ones and U of the packed form in which LAPACK gives both."""
    rows, columns = factors.shape[-2:]
    least = min(rows, columns)
    lower = jnp.tril(factors[..., :, :least], -1) + jnp.eye(rows, least, dtype=factors.dtype)
    return lower, jnp.triu(factors[..., :least, :])


def permutation_matrix(order: Array, like: Array) -> Array:
    """P with ``A = P L U``, where the rows of `A` in this order are those of ``L U``."""
    return (jnp.arange(order.shape[-1])[:, None] == order[..., None, :]).astype(like.dtype)


@TABLE.rule("aten.linalg_lu.default", limits=[NO_PIVOTS])
def lower_upper(A: Array, pivot: bool = True) -> tuple[Array, Array, Array]:
    """linalg_lu(Tensor A, *, bool pivot=True) -> (Tensor P, Tensor L, Tensor U)"""
    factors, order = lax.linalg.lu(A)[::2]
    lower, upper = triangles(factors)
    return permutation_matrix(order, A), lower, upper


@TABLE.rule("aten.linalg_lu_factor.default", limits=[NO_PIVOTS])
def lower_upper_packed(A: Array, pivot: bool = True) -> tuple[Array, Array]:
    """linalg_lu_factor(Tensor A, *, bool pivot=True) -> (Tensor LU, Tensor pivots)"""
    factors, pivots = lax.linalg.lu(A)[:2]
    return factors, pivots + 1


@TABLE.rule("aten.linalg_lu_factor_ex.default", limits=[NO_PIVOTS])
def lower_upper_with_status(A: Array, pivot: bool = True, check_errors: bool = False) -> tuple[Array, Array, Array]:
    """linalg_lu_factor_ex(Tensor A, *, bool pivot=True, bool check_errors=False) -> (Tensor LU, Tensor pivots, Tensor
    info)
    """
    factors, pivots = lax.linalg.lu(A)[:2]
    return factors, pivots + 1, first_zero(factors)


@TABLE.rule("aten._lu_with_info.default", limits=[NO_PIVOTS])
def lower_upper_with_information(
    self: Array, pivot: bool = True, check_errors: bool = True
) -> tuple[Array, Array, Array]:
    """_lu_with_info(Tensor self, bool pivot=True, bool check_errors=True) -> (Tensor LU, Tensor pivots, Tensor info)"""
    factors, pivots = lax.linalg.lu(self)[:2]
    return factors, pivots + 1, first_zero(factors)


def first_zero(factors: Array) -> Array:
    """LAPACK's info: the number of the first zero on the diagonal of U, counted from 1; 0 if there is none."""
    zero = jnp.diagonal(factors, axis1=-2, axis2=-1) == 0
    if zero.shape[-1] == 0:
        return jnp.zeros(zero.shape[:-1], jnp.int32)
    return jnp.where(jnp.any(zero, axis=-1), jnp.argmax(zero, axis=-1) + 1, 0).astype(jnp.int32)


@TABLE.rule("aten.lu_unpack.default")
def lower_upper_unpacked(
    LU_data: Array, LU_pivots: Array, unpack_data: bool = True, unpack_pivots: bool = True
) -> tuple[Array, Array, Array]:
    """lu_unpack(Tensor LU_data, Tensor LU_pivots, bool unpack_data=True, bool unpack_pivots=True) -> (Tensor P, Tensor
    L, Tensor U)
    """
    nothing = jnp.zeros((0,), LU_data.dtype)
    lower, upper = triangles(LU_data) if unpack_data else (nothing, nothing)
    if not unpack_pivots:
        return nothing, lower, upper
    order = lax.linalg.lu_pivots_to_permutation(LU_pivots - 1, LU_data.shape[-2])
    return permutation_matrix(order, LU_data), lower, upper


@TABLE.rule("aten.linalg_lu_solve.default")
def solve_lower_upper(LU: Array, pivots: Array, B: Array, left: bool = True, adjoint: bool = False) -> Array:
    """linalg_lu_solve(Tensor LU, Tensor pivots, Tensor B, *, bool left=True, bool adjoint=False) -> Tensor"""
    if not left:
        return solve_lower_upper(LU, pivots, B.mT.conj(), True, not adjoint).mT.conj()
    batch = jnp.broadcast_shapes(LU.shape[:-2], B.shape[:-2])
    factors, right = (jnp.broadcast_to(x, (*batch, *x.shape[-2:])) for x in (LU, B))
    order = lax.linalg.lu_pivots_to_permutation(pivots - 1, LU.shape[-1])
    order = jnp.broadcast_to(order, (*batch, LU.shape[-1]))
    if adjoint:
        half = lax.linalg.triangular_solve(factors, right, left_side=True, transpose_a=True, conjugate_a=True)
        whole = lax.linalg.triangular_solve(
            factors, half, left_side=True, lower=True, transpose_a=True, conjugate_a=True, unit_diagonal=True
        )
        return jnp.take_along_axis(whole, jnp.argsort(order)[..., None], axis=-2)
    right = jnp.take_along_axis(right, order[..., None], axis=-2)
    half = lax.linalg.triangular_solve(factors, right, left_side=True, lower=True, unit_diagonal=True)
    return lax.linalg.triangular_solve(factors, half, left_side=True)


@TABLE.rule("aten.lu_solve.default")
def solve_lower_upper_of(self: Array, LU_data: Array, LU_pivots: Array) -> Array:
    """lu_solve(Tensor self, Tensor LU_data, Tensor LU_pivots) -> Tensor"""
    return solve_lower_upper(LU_data, LU_pivots, self)


@TABLE.rule("aten.cholesky_solve.default")
def solve_cholesky(self: Array, input2: Array, upper: bool = False) -> Array:
    """cholesky_solve(Tensor self, Tensor input2, bool upper=False) -> Tensor"""
    if upper:
        factor = input2 - lax.stop_gradient(jnp.tril(input2, -1))
        return jnp.linalg.solve(factor.mT.conj() @ factor, self)
    # only the triangle counts, but torch's derivative is that of L L^H by the whole of L
    factor = input2 - lax.stop_gradient(jnp.triu(input2, 1))
    return jnp.linalg.solve(factor @ factor.mT.conj(), self)


@TABLE.rule("aten.cholesky_inverse.default")
def inverse_cholesky(self: Array, upper: bool = False) -> Array:
    """cholesky_inverse(Tensor self, bool upper=False) -> Tensor"""
    if upper:
        factor = self - lax.stop_gradient(jnp.tril(self, -1))
        return jnp.linalg.inv(factor.mT.conj() @ factor)
    # only the triangle counts, but torch's derivative is that of L L^H by the whole of L
    factor = self - lax.stop_gradient(jnp.triu(self, 1))
    return jnp.linalg.inv(factor @ factor.mT.conj())
