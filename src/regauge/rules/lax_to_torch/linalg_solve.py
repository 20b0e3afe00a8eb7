"""Linear systems: triangular and tridiagonal ones, and the functions of `jax.numpy.linalg` that stay whole."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.linalg_solve")


@TABLE.rule("lax.triangular_solve")
def triangular_solve(
    a: Tensor,
    b: Tensor,
    left_side: bool,
    lower: bool,
    transpose_a: bool = False,
    conjugate_a: bool = False,
    unit_diagonal: bool = False,
) -> Tensor:
    """triangular_solve(a, b, *, left_side, lower, transpose_a, conjugate_a, unit_diagonal)"""
    if a.dtype in (torch.float16, torch.bfloat16):
        return triangular_in_float32(
            a, b, upper=lower == transpose_a, left=left_side, transposed=transpose_a, unitriangular=unit_diagonal
        )
    turned = a.mT if transpose_a else a
    matrix = turned.conj() if conjugate_a and a.dtype.is_complex else turned
    upper = lower == transpose_a
    if unit_diagonal and not left_side:
        return torch.linalg.solve_triangular(matrix, b, upper=upper, left=False, unitriangular=True)
    if unit_diagonal:
        return torch.linalg.solve_triangular(matrix, b, upper=upper, unitriangular=True)
    if not left_side:
        return torch.linalg.solve_triangular(matrix, b, upper=upper, left=False)
    return torch.linalg.solve_triangular(matrix, b, upper=upper)


def triangular_in_float32(
    a: Tensor, b: Tensor, upper: bool, left: bool, transposed: bool, unitriangular: bool
) -> Tensor:
    """A triangular system in half precision, for which torch has no routine."""
    matrix = (a.mT if transposed else a).to(torch.float32)
    x = torch.linalg.solve_triangular(
        matrix, b.to(torch.float32), upper=upper, left=left, unitriangular=unitriangular
    )  # fmt: skip
    return x.to(b.dtype)


def _perturbed(arguments: Mapping[str, Any]) -> bool:
    return bool(arguments.get("perturb_singular", False))


@TABLE.rule(
    "lax.tridiagonal_solve",
    limits=[
        Limit(
            "perturb_singular",
            _perturbed,
            "unsupported",
            "which zeros of a singular system are replaced, and by what, is the routine's own",
        ),
        Limit(
            "a system of three diagonals",
            lambda arguments: True,
            "slower",
            "torch has no solver for three diagonals: a dense one of cubic cost takes its place",
        ),
    ],
)
def tridiagonal_solve(dl: Tensor, d: Tensor, du: Tensor, b: Tensor, perturb_singular: bool = False) -> Tensor:
    """tridiagonal_solve(dl, d, du, b, *, perturb_singular)"""
    return solve_three_diagonals(dl, d, du, b)


def solve_three_diagonals(below: Tensor, diagonal: Tensor, above: Tensor, b: Tensor) -> Tensor:
    """Solve with the matrix of three diagonals; the first element of `below` and the last of `above` are not read."""
    matrix = diagonal.diag_embed() + below[..., 1:].diag_embed(-1) + above[..., :-1].diag_embed(1)
    return torch.linalg.solve(matrix, b)


@TABLE.rule("jnp.linalg.solve")
def solve(a: Tensor, b: Tensor) -> Tensor:
    """solve(a, b); of a singular matrix torch raises an error where JAX gives infinities"""
    if b.ndim > 1 and b.ndim == a.ndim - 1:  # torch might take one matrix for a batch of vectors
        return torch.linalg.solve(a, b.unsqueeze(0))
    return torch.linalg.solve(a, b)


@TABLE.rule("jnp.linalg.inv")
def inv(a: Tensor) -> Tensor:
    """inv(a); of a singular matrix torch raises an error where JAX gives infinities"""
    return torch.linalg.inv(a)


@TABLE.rule("jnp._det")
def det(x: Tensor) -> Tensor:
    """det(x) of matrices larger than 3 by 3"""
    return torch.linalg.det(x)


@TABLE.rule("jnp._slogdet_lu", "jnp._slogdet_qr", "jnp._slogdet_small")
def slogdet(x: Tensor) -> tuple[Tensor, Tensor]:
    """slogdet(x)"""
    return torch.linalg.slogdet(x)


@TABLE.rule("jnp._pinv")
def pinv(x: Tensor) -> Tensor:
    """pinv(x) with the tolerance that JAX has by default"""
    return torch.linalg.pinv(x, rtol=10 * max(x.shape[-2], x.shape[-1]) * torch.finfo(x.dtype).eps)
