"""Eigenvalues and singular values."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor

from regauge.rules.table import Limit, RuleTable

TABLE = RuleTable("lax_to_torch.linalg_spectra")


def _some(arguments: Mapping[str, Any]) -> bool:
    subset = arguments.get("subset_by_index")
    return subset is not None and tuple(subset) != (0, min(arguments["x"].shape[-2:]))


_SUBSET = Limit("subset_by_index", _some, "unsupported", "JAX itself computes no part of the values on a CPU")


@TABLE.rule("lax.eigh", limits=[_SUBSET])
def eigh(
    x: Tensor, lower: bool = True, sort_eigenvalues: bool = True, subset_by_index: object = None
) -> tuple[Tensor, Tensor]:
    """eigh(x, *, lower, sort_eigenvalues, subset_by_index, algorithm)"""
    return torch.linalg.eigh(x) if lower else torch.linalg.eigh(x, UPLO="U")


@TABLE.rule("lax.svd", limits=[_SUBSET])
def svd(
    x: Tensor, full_matrices: bool = True, compute_uv: bool = True, subset_by_index: object = None
) -> Tensor | tuple[Tensor, ...]:
    """svd(x, *, full_matrices, compute_uv, subset_by_index, algorithm)"""
    square = isinstance(x.shape[-1], int) and x.shape[-1] == x.shape[-2]
    if not compute_uv:
        return torch.linalg.svdvals(x)
    if full_matrices and not square:
        return torch.linalg.svd(x)
    return torch.linalg.svd(x, full_matrices=False)


@TABLE.rule("lax.eig")
def eig(
    x: Tensor,
    compute_left_eigenvectors: bool = True,
    compute_right_eigenvectors: bool = True,
    enable_eigvec_derivs: bool = False,
) -> Tensor | tuple[Tensor, ...]:
    """eig(x, *, compute_left_eigenvectors, compute_right_eigenvectors, enable_eigvec_derivs, implementation)"""
    if not compute_left_eigenvectors and not compute_right_eigenvectors:
        return torch.linalg.eigvals(x)
    if not compute_left_eigenvectors:
        return torch.linalg.eig(x)
    if not compute_right_eigenvectors:
        return left_eigenvectors(x)[:2]
    return left_eigenvectors(x)


def left_eigenvectors(x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Eigenvalues, left and right eigenvectors, all of length 1 with a largest component that is real.

    The left ones are the rows of the inverse of the right ones; a matrix without a basis of eigenvectors has none.
    """
    values, right = torch.linalg.eig(x)
    left = torch.linalg.inv_ex(right)[0].mH
    if not left.shape[-1]:
        return values, left, right
    left = left / torch.linalg.vector_norm(left, dim=-2, keepdim=True)
    largest = left.take_along_dim(left.abs().argmax(-2, keepdim=True), -2)
    return values, left * (largest.conj() / largest.abs()), right
