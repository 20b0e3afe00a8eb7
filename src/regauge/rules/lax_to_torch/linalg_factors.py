"""Factors of matrices: Cholesky, LU, QR, and the reflections that LAPACK keeps them in."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.linalg_factors")


@TABLE.rule("lax.cholesky")
def cholesky(x: Tensor) -> Tensor:
    """cholesky(x)"""
    return lower_cholesky(x)


def lower_cholesky(x: Tensor) -> Tensor:
    """The lower Cholesky factor, NaN for a matrix that is not positive definite; what lies above is not read."""
    factor, info = torch.linalg.cholesky_ex(x)
    return torch.where((info == 0)[..., None, None], factor, math.nan)


@TABLE.rule("lax.lu")
def lu(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """lu(x)"""
    return lu_with_permutation(x)


def lu_with_permutation(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """L below the diagonal and U in one matrix, exchanged rows counted from 0, and the order of rows that gives LU."""
    factors, pivots = torch.linalg.lu_factor_ex(x)[:2]
    return factors, pivots - 1, order_of_rows(pivots - 1, size=x.shape[-2])


@TABLE.rule("lax.lu_pivots_to_permutation")
def lu_pivots_to_permutation(x: Tensor, permutation_size: int) -> Tensor:
    """lu_pivots_to_permutation(x, *, permutation_size)"""
    return order_of_rows(x, size=permutation_size)


def order_of_rows(exchanged: Tensor, size: int) -> Tensor:
    """The permutation (..., size) that exchanging row i with row `exchanged[..., i]`, one after the other, makes."""
    shape = (*exchanged.shape[:-1], size, exchanged.shape[-1])
    matrix = torch.lu_unpack(torch.zeros(shape, device=exchanged.device), exchanged + 1, unpack_data=False)[0]
    return matrix.argmax(-2).to(torch.int32) if size else exchanged.new_zeros(shape[:-1])


@TABLE.rule("lax.geqrf")
def geqrf(x: Tensor) -> tuple[Tensor, Tensor]:
    """geqrf(x)"""
    return torch.geqrf(x)


@TABLE.rule("lax.householder_product")
def householder_product(a: Tensor, taus: Tensor) -> Tensor:
    """householder_product(a, taus)"""
    return torch.linalg.householder_product(a, taus)


@TABLE.rule("lax.ormqr")
def ormqr(a: Tensor, taus: Tensor, c: Tensor, left: bool = True, transpose: bool = False) -> Tensor:
    """ormqr(a, taus, c, *, left, transpose)"""
    return torch.ormqr(a, taus, c, left, transpose)


@TABLE.rule("lax.qr")
def qr(x: Tensor, full_matrices: bool = True, pivoting: bool = False, use_magma: object = None) -> tuple[Tensor, ...]:
    """qr(x, *, pivoting, full_matrices, use_magma)"""
    wide = isinstance(x.shape[-1], int) and isinstance(x.shape[-2], int) and x.shape[-2] <= x.shape[-1]
    if pivoting:
        return pivoted_qr(x, full=full_matrices)
    if full_matrices and not wide:
        return full_qr(x)
    return torch.linalg.qr(x)


def full_qr(x: Tensor) -> tuple[Tensor, Tensor]:
    """Q (..., m, m) and R (..., m, n), differentiable for m > n too.

    The columns of Q after the n-th follow from the others where Q is a product of n reflections: the derivative is
    that of this formula (https://arxiv.org/abs/2409.13374, eq. 32), the value is that of the routine.
    """
    q, r = torch.linalg.qr(x, mode="complete")
    rows, columns = x.shape[-2:]
    if not (torch.is_grad_enabled() and x.requires_grad) or rows <= columns or columns == 0:
        return q, r
    thin, upper = torch.linalg.qr(x)
    unit = torch.eye(rows, dtype=x.dtype, device=x.device)
    top = thin[..., :columns, :] - unit[:columns, :columns]
    moved = torch.linalg.solve_ex(top, thin[..., columns:, :], left=False)[0].mH
    rest = unit[:, columns:] + (thin - unit[:, :columns]) @ moved
    last = q[..., columns:].detach()
    rest = torch.where(rest.isfinite(), last + (rest - rest.detach()), last)
    zeros = upper.new_zeros(*x.shape[:-2], rows - columns, columns)
    return torch.cat((thin, rest), -1), torch.cat((upper, zeros), -2)


def pivoted_qr(x: Tensor, full: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Q, R and the order of columns in which the diagonal of R falls: each next column is the one furthest away."""
    order = order_of_columns(x.detach())
    q, r = (full_qr if full else torch.linalg.qr)(x.take_along_dim(order[..., None, :], -1))
    return q, r, order.to(torch.int32)


def order_of_columns(x: Tensor) -> Tensor:
    """The columns of a matrix by their distance from the space of those before them."""
    rows, columns = x.shape[-2:]
    order = torch.arange(columns, device=x.device).expand(*x.shape[:-2], columns)
    place = torch.arange(columns, device=x.device)
    for step in range(min(rows, columns)):
        free = torch.where(place >= step, torch.linalg.vector_norm(x, dim=-2), -1)
        chosen = free.argmax(-1, keepdim=True)
        other = torch.where(place == step, chosen, torch.where(place == chosen, step, place))
        x, order = x.take_along_dim(other[..., None, :], -1), order.gather(-1, other)
        column = x[..., step : step + 1]
        size = torch.linalg.vector_norm(column, dim=-2, keepdim=True)
        direction = column / torch.where(size == 0, 1, size)
        x = x - direction @ (direction.mH @ x)
    return order


def _always(why: str) -> Limit:
    return Limit("always", lambda arguments: True, "unsupported", why)


@TABLE.rule("lax.schur", limits=[_always("torch has no Schur form; jnp.linalg.eig or eigh of the matrix is converted")])
def schur(x: Tensor, **_: object) -> tuple[Tensor, ...]:
    """schur(x, *, compute_schur_vectors, sort_eig_vals, select_callable)"""
    raise NotImplementedError


@TABLE.rule(
    "lax.tridiagonal", limits=[_always("torch has no reduction to three diagonals; jnp.linalg.eigh is converted")]
)
def tridiagonal(x: Tensor, **_: object) -> tuple[Tensor, ...]:
    """tridiagonal(x, *, lower)"""
    raise NotImplementedError


@TABLE.rule("lax.geqp3", limits=[_always("torch has no pivoted reflections; jax.scipy.linalg.qr is converted")])
def geqp3(*operands: Tensor, **_: object) -> tuple[Tensor, ...]:
    """geqp3(a, jpvt, *, use_magma)"""
    raise NotImplementedError


@TABLE.rule("lax.hessenberg")
def hessenberg(x: Tensor) -> tuple[Tensor, Tensor]:
    """hessenberg(x)"""
    return hessenberg_reflections(x)


def hessenberg_reflections(x: Tensor) -> tuple[Tensor, Tensor]:
    """The Hessenberg form with the reflections that made it below its first subdiagonal, and their factors.

    Each reflection I - tau v v^H, v with 1 in front, is the one of LAPACK's `larfg`: it makes the column below the
    diagonal one real number.
    """
    size = x.shape[-1]
    factors, below = [], []
    for step in range(size - 1):
        column = x[..., step + 1 :, step]
        first, rest = column[..., :1], torch.linalg.vector_norm(column[..., 1:], dim=-1, keepdim=True)
        length = torch.sqrt(first.abs() ** 2 + rest**2)
        real = first.real if x.is_complex() else first
        flat = (rest == 0) & (first == real)  # nothing to take away
        beta = torch.where(real >= 0, -length, length)
        beta = torch.where(flat, real, beta).to(x.dtype)
        tau = torch.where(flat, 0, (beta - first) / torch.where(beta == 0, 1, beta))
        scale = torch.where(flat, 1, first - beta)
        v = torch.cat((torch.ones_like(first), column[..., 1:] / scale), -1)[..., None]
        whole = torch.cat((torch.zeros_like(x[..., : step + 1, :1]), v), -2)
        x = x - tau.conj()[..., None] * (whole @ (whole.mH @ x))
        x = x - tau[..., None] * ((x @ whole) @ whole.mH)
        factors.append(tau)
        below.append(torch.cat((torch.zeros_like(x[..., : step + 2, :1]), v[..., 1:, :]), -2))
    if not below:
        return x, x.new_zeros(*x.shape[:-2], 0)
    return x.triu(-1) + torch.cat([*below, x.new_zeros(*x.shape[:-1], 1)], -1), torch.cat(factors, -1)


@TABLE.rule("lax.symmetric_product")
def symmetric_product(x: Tensor, y: Tensor, alpha: float = 1.0, beta: float = 0.0) -> Tensor:
    """symmetric_product(a, c, *, alpha, beta): alpha a a^T + beta c"""
    if beta == 0.0 and alpha == 1.0:
        return x @ x.mT
    if beta == 0.0:
        return alpha * (x @ x.mT)
    return alpha * (x @ x.mT) + beta * y
