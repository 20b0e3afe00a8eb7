"""What JAX promises of the decompositions: their results are compared up to the freedom that their definition leaves.

Singular vectors and eigenvectors have a sign (a phase, if complex) that LAPACK's build decides; what lies above the
diagonal of a Cholesky factor is left to the implementation (StableHLO, `cholesky`); and where the matrix is Hermitian
by contract, only the Hermitian part of a gradient has a meaning. Everything else is compared as it is: the functions
below determine a decomposition up to exactly that freedom.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

HERMITIAN = frozenset({"cholesky", "eigh"})  # of matrices that are Hermitian by contract


def invariants(group: str, outputs: Sequence[Any], xp: Any) -> list[Any]:
    """Functions of the results that do not change with their free signs and phases; others as they are.

    Args:
        group: of JAX's harnesses.
        outputs: arrays of the framework `xp`.
        xp: numpy, jax.numpy or torch.
    """
    if group == "cholesky":
        return [xp.tril(outputs[0])]
    if group == "eigh":
        vectors, values = outputs
        return [values, *_weighted(vectors, vectors.mT.conj(), xp), vectors.mT.conj() @ vectors]
    if group == "svd" and len(outputs) == 3:
        values, u, vh = outputs
        rank = values.shape[-1]
        both = _weighted(u[..., :rank], vh[..., :rank, :], xp)
        return [values, *both, u.mT.conj() @ u, vh @ vh.mT.conj()]
    if group == "eig" and len(outputs) > 1:
        values, *sides = outputs
        return [values, *(made for vectors in sides for made in _each(vectors, xp))]
    return list(outputs)


def _weighted(left: Any, right: Any, xp: Any) -> list[Any]:
    """Sums of the outer products of columns and rows with weights that are all different: whose they are, is kept."""
    weights = np.linspace(1.0, 2.0, left.shape[-1]).astype(_real(left))
    return [(left * xp.asarray(weights)) @ right]


def _each(vectors: Any, xp: Any) -> list[Any]:
    """The projection on each column, and its largest real component: LAPACK makes the largest of all real."""
    outer = vectors[..., :, None, :] * vectors.conj()[..., None, :, :]
    largest = xp.amax(xp.abs(vectors.real), -2) if vectors.shape[-1] else vectors.real
    return [outer, largest]


def _real(array: Any) -> str:
    return {"complex64": "float32", "complex128": "float64"}.get(name := str(array.dtype).removeprefix("torch."), name)


def meaningful(group: str, gradient: np.ndarray) -> np.ndarray:
    """The part of a gradient that has a meaning for the matrices that a decomposition is made for."""
    if group in HERMITIAN:
        return (gradient + np.swapaxes(gradient, -1, -2).conj()) / 2
    return gradient
