"""Linear systems: solutions, inverses, least squares."""

from __future__ import annotations

from collections.abc import Sequence

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("linalg_solve")


@TABLE.rule("aten.linalg_inv.default")
def inverse(A: Array) -> Array:
    """linalg_inv(Tensor A) -> Tensor"""
    return jnp.linalg.inv(A)


@TABLE.rule("aten.inverse.default")
def inverse_of(self: Array) -> Array:
    """inverse(Tensor self) -> Tensor"""
    return jnp.linalg.inv(self)


@TABLE.rule("aten.linalg_inv_ex.default")
def inverse_with_status(A: Array, check_errors: bool = False) -> tuple[Array, Array]:
    """linalg_inv_ex(Tensor A, *, bool check_errors=False) -> (Tensor inverse, Tensor info)"""
    inverted = jnp.linalg.inv(A)
    return inverted, jnp.any(~jnp.isfinite(inverted), axis=(-2, -1)).astype(jnp.int32)


@TABLE.rule("aten.linalg_tensorinv.default")
def inverse_tensor(self: Array, ind: int = 2) -> Array:
    """linalg_tensorinv(Tensor self, int ind=2) -> Tensor"""
    return jnp.linalg.tensorinv(self, ind)


@TABLE.rule("aten.linalg_solve.default")
def solve(A: Array, B: Array, left: bool = True) -> Array:
    """linalg_solve(Tensor A, Tensor B, *, bool left=True) -> Tensor"""
    if B.ndim == 1 or B.shape == A.shape[:-1]:
        return jnp.linalg.solve(A, B[..., None])[..., 0]
    if not left:
        return jnp.linalg.solve(A.mT, B.mT).mT
    return jnp.linalg.solve(A, B)


@TABLE.rule("aten.linalg_solve_ex.default")
def solve_with_status(A: Array, B: Array, left: bool = True, check_errors: bool = False) -> tuple[Array, Array]:
    """linalg_solve_ex(Tensor A, Tensor B, *, bool left=True, bool check_errors=False) -> (Tensor result, Tensor
    info)
    """
    solution = solve(A, B, left)
    return solution, jnp.any(~jnp.isfinite(jnp.linalg.inv(A)), axis=(-2, -1)).astype(jnp.int32)


@TABLE.rule("aten.linalg_tensorsolve.default")
def solve_tensor(self: Array, other: Array, dims: Sequence[int] | None = None) -> Array:
    """linalg_tensorsolve(Tensor self, Tensor other, int[]? dims=None) -> Tensor"""
    # jnp.linalg.tensorsolve wants the leading axes to be those of `other`; torch only wants as many elements.
    a = self if dims is None else jnp.moveaxis(self, tuple(dims), range(self.ndim - len(dims), self.ndim))
    solution = jnp.linalg.solve(a.reshape(other.size, -1), other.reshape(-1))
    return solution.reshape(a.shape[other.ndim :])


@TABLE.rule("aten.linalg_solve_triangular.default")
def solve_triangular(self: Array, B: Array, upper: bool, left: bool = True, unitriangular: bool = False) -> Array:
    """linalg_solve_triangular(Tensor self, Tensor B, *, bool upper, bool left=True, bool unitriangular=False) ->
    Tensor
    """
    if left:
        return jax.scipy.linalg.solve_triangular(self, B, lower=not upper, unit_diagonal=unitriangular)
    return jax.scipy.linalg.solve_triangular(self.mT, B.mT, lower=upper, unit_diagonal=unitriangular).mT


@TABLE.rule("aten.triangular_solve.default")
def solve_triangular_of(
    self: Array, A: Array, upper: bool = True, transpose: bool = False, unitriangular: bool = False
) -> tuple[Array, Array]:
    """triangular_solve(Tensor self, Tensor A, bool upper=True, bool transpose=False, bool unitriangular=False) ->
    (Tensor solution, Tensor cloned_coefficient)
    """
    batch = jnp.broadcast_shapes(self.shape[:-2], A.shape[:-2])
    right = jnp.broadcast_to(self, (*batch, *self.shape[-2:]))
    factor = jnp.broadcast_to(A, (*batch, *A.shape[-2:]))
    solution = lax.linalg.triangular_solve(
        factor, right, left_side=True, lower=not upper, transpose_a=transpose, unit_diagonal=unitriangular
    )
    return solution, factor


@TABLE.rule("regauge.lstsq.default")
def least_squares(
    self: Array, b: Array, rcond: float | None = None, driver: str | None = None
) -> tuple[Array, Array, Array, Array]:
    """lstsq(Tensor self, Tensor b, float? rcond=None, str? driver=None) -> (Tensor, Tensor, Tensor, Tensor)"""
    rows, columns = self.shape[-2:]
    cutoff = max(rows, columns) * float(jnp.finfo(self.dtype).eps) if rcond is None else rcond
    vector = b.ndim == 1 or b.shape == self.shape[:-1]
    right = b[..., None] if vector else b
    solution = jnp.linalg.pinv(self, rtol=cutoff) @ right
    values = jnp.linalg.svd(lax.stop_gradient(self), compute_uv=False)
    residuals = nothing = jnp.zeros((0,), values.dtype)
    if rows > columns and driver not in (None, "gelsy"):
        residuals = jnp.sum(jnp.square(jnp.abs(self @ solution - right)), axis=-2)  # of a vector one, as [1]
    rank = jnp.sum(values > cutoff * jnp.max(values, axis=-1, keepdims=True, initial=0), axis=-1, dtype=int)
    return (
        solution[..., 0] if vector else solution,
        residuals,
        jnp.zeros((0,), int) if driver == "gels" else rank,
        values if driver in ("gelsd", "gelss") else nothing,
    )


@TABLE.rule("aten.linalg_pinv.default")
def pseudo_inverse(self: Array, rcond: float, hermitian: bool = False) -> Array:
    """linalg_pinv(Tensor self, float rcond, bool hermitian=False) -> Tensor"""
    if hermitian:
        return truncated_inverse(self, 0.0, rcond, hermitian)
    return jnp.linalg.pinv(self, rtol=rcond)


@TABLE.rule("aten.pinverse.default")
def pseudo_inverse_of(self: Array, rcond: float = 1e-15) -> Array:
    """pinverse(Tensor self, float rcond=1.0000000000000001e-15) -> Tensor"""
    return jnp.linalg.pinv(self, rtol=rcond)


@TABLE.rule("aten.linalg_pinv.atol_rtol_float")
def pseudo_inverse_within(
    self: Array, atol: float | None = None, rtol: float | None = None, hermitian: bool = False
) -> Array:
    """linalg_pinv.atol_rtol_float(Tensor self, *, float? atol=None, float? rtol=None, bool hermitian=False) ->
    Tensor
    """
    if rtol is None and not atol:
        rtol = max(self.shape[-2:]) * float(jnp.finfo(self.dtype).eps)
    if not atol and not hermitian:
        return jnp.linalg.pinv(self, rtol=rtol)
    return truncated_inverse(self, atol or 0.0, rtol or 0.0, hermitian)


@TABLE.rule("aten.linalg_pinv.atol_rtol_tensor")
def pseudo_inverse_within_arrays(
    self: Array, atol: Array | None = None, rtol: Array | None = None, hermitian: bool = False
) -> Array:
    """linalg_pinv.atol_rtol_tensor(Tensor self, *, Tensor? atol=None, Tensor? rtol=None, bool hermitian=False) ->
    Tensor
    """
    default = max(self.shape[-2:]) * float(jnp.finfo(self.dtype).eps)
    if rtol is None and atol is None and not hermitian:
        return jnp.linalg.pinv(self, rtol=default)
    if atol is None:
        return truncated_inverse(self, 0.0, default if rtol is None else rtol, hermitian)
    if rtol is None:
        return truncated_inverse(self, atol, jnp.where(atol > 0, 0, default), hermitian)
    return truncated_inverse(self, atol, rtol, hermitian)


@TABLE.rule("aten.linalg_pinv.rcond_tensor")
def pseudo_inverse_within_array(self: Array, rcond: Array, hermitian: bool = False) -> Array:
    """linalg_pinv.rcond_tensor(Tensor self, Tensor rcond, bool hermitian=False) -> Tensor"""
    return truncated_inverse(self, 0.0, rcond, hermitian)


def truncated_inverse(x: Array, atol: Array | float, rtol: Array | float, hermitian: bool) -> Array:
    """The pseudo-inverse of the part of a matrix whose singular values exceed ``max(atol, rtol * largest)``.

    Its derivative is that for a constant rank (Golub and Pereyra 1973, equation 4.12), as in torch.
    """

    @jax.custom_jvp
    def invert(x: Array, atol: Array, rtol: Array) -> Array:
        if hermitian:
            values, right = jnp.linalg.eigh(x, symmetrize_input=False)
            left, right = right, right.mT.conj()
        else:
            left, values, right = jnp.linalg.svd(x, full_matrices=False)
        sizes = jnp.abs(values)
        bound = jnp.maximum(atol, rtol * jnp.max(sizes, axis=-1, initial=0))
        inverse = jnp.where(sizes > bound[..., None], 1 / values, 0)
        return (right.mT.conj() * inverse[..., None, :]) @ left.mT.conj()

    @invert.defjvp
    def derivative(primals: tuple[Array, Array, Array], tangents: tuple[Array, Array, Array]) -> tuple[Array, Array]:
        x, inverse, change = primals[0], invert(*primals), tangents[0]
        adjoint, inverse_adjoint = change.mT.conj(), inverse.mT.conj()
        beside = inverse @ inverse_adjoint @ (adjoint - adjoint @ x @ inverse)
        before = (adjoint - inverse @ x @ adjoint) @ inverse_adjoint @ inverse
        return inverse, beside + before - inverse @ change @ inverse

    real = jnp.finfo(x.dtype).dtype
    return invert(x, jnp.asarray(atol, real), jnp.asarray(rtol, real))
