"""Decompositions of matrices: Cholesky, eigenvalues, singular values, QR, Householder reflectors."""

from __future__ import annotations

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import RuleTable

TABLE = RuleTable("linalg_decompositions")


def complex_cholesky(x: Array) -> Array:
    """The lower Cholesky factor of a complex matrix.

    Its diagonal is real; what a gradient says of the imaginary parts there torch passes on, and JAX drops it.
    """

    @jax.custom_jvp
    def factor(x: Array) -> Array:
        return jnp.linalg.cholesky(x)

    @factor.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        lower = factor(*primals)
        half = lax.linalg.triangular_solve(lower, tangents[0], left_side=True, lower=True)
        inner = lax.linalg.triangular_solve(lower, half, lower=True, transpose_a=True, conjugate_a=True)
        return lower, lower @ (jnp.tril(inner) + jnp.tril(inner.mT.conj(), -1)) / 2

    return factor(x)


@TABLE.rule("aten.linalg_cholesky.default")
def cholesky(self: Array, upper: bool = False) -> Array:
    """linalg_cholesky(Tensor self, *, bool upper=False) -> Tensor"""
    if jnp.iscomplexobj(self):
        return complex_cholesky(self).mT.conj() if upper else complex_cholesky(self)
    if upper:
        return jnp.linalg.cholesky(self, upper=True)
    return jnp.linalg.cholesky(self)


@TABLE.rule("aten.cholesky.default")
def cholesky_of(self: Array, upper: bool = False) -> Array:
    """cholesky(Tensor self, bool upper=False) -> Tensor"""
    if jnp.iscomplexobj(self):
        return complex_cholesky(self).mT.conj() if upper else complex_cholesky(self)
    if upper:
        return jnp.linalg.cholesky(self, upper=True)
    return jnp.linalg.cholesky(self)


@TABLE.rule("aten.linalg_cholesky_ex.default")
def cholesky_with_status(self: Array, upper: bool = False, check_errors: bool = False) -> tuple[Array, Array]:
    """linalg_cholesky_ex(Tensor self, *, bool upper=False, bool check_errors=False) -> (Tensor L, Tensor info)"""
    factor = cholesky(self, upper)
    return factor, jnp.any(jnp.isnan(factor), axis=(-2, -1)).astype(jnp.int32)


def from_triangle(x: Array, UPLO: str) -> Array:
    """The Hermitian matrix of which torch reads one triangle; the gradient goes to the whole matrix."""
    triangle, rest = (jnp.tril(x), jnp.tril(x, -1)) if UPLO == "L" else (jnp.triu(x), jnp.triu(x, 1))
    return x + lax.stop_gradient(triangle + rest.mT.conj() - x)


@TABLE.rule("aten.linalg_eigh.default")
def eigen_symmetric(self: Array, UPLO: str = "L") -> tuple[Array, Array]:
    """linalg_eigh(Tensor self, str UPLO="L") -> (Tensor eigenvalues, Tensor eigenvectors)"""
    return jnp.linalg.eigh(from_triangle(self, UPLO))


@TABLE.rule("aten.linalg_eigvalsh.default")
def eigenvalues_symmetric(self: Array, UPLO: str = "L") -> Array:
    """linalg_eigvalsh(Tensor self, str UPLO="L") -> Tensor"""
    return jnp.linalg.eigvalsh(from_triangle(self, UPLO))


@TABLE.rule("aten.linalg_eig.default")
def eigen_general(self: Array) -> tuple[Array, Array]:
    """linalg_eig(Tensor self) -> (Tensor eigenvalues, Tensor eigenvectors)"""
    if self.shape[-1] == 0:
        kind = jnp.result_type(self.dtype, jnp.complex64)
        return jnp.zeros(self.shape[:-1], kind), jnp.zeros(self.shape, kind)
    values, vectors = lax.linalg.eig(self, compute_left_eigenvectors=False, enable_eigvec_derivs=True)
    return values, vectors


@TABLE.rule("aten.linalg_eigvals.default")
def eigenvalues_general(self: Array) -> Array:
    """linalg_eigvals(Tensor self) -> Tensor"""
    return jnp.linalg.eigvals(self)


@TABLE.rule("aten.linalg_svdvals.default")
def singular_values(A: Array, driver: str | None = None) -> Array:
    """linalg_svdvals(Tensor A, *, str? driver=None) -> Tensor"""
    return jnp.linalg.svd(A, compute_uv=False)


@TABLE.rule("aten.linalg_svd.default")
def singular_decomposition(
    A: Array, full_matrices: bool = True, driver: str | None = None
) -> tuple[Array, Array, Array]:
    """linalg_svd(Tensor A, bool full_matrices=True, *, str? driver=None) -> (Tensor U, Tensor S, Tensor Vh)"""
    if not full_matrices or A.shape[-2] == A.shape[-1]:
        return jnp.linalg.svd(A, full_matrices=False)  # type: ignore[return-value]
    left, values, right = jnp.linalg.svd(A, full_matrices=False)
    # the vectors that complete the bases are free: they have no derivative, in torch neither
    full_left, full_values, full_right = jnp.linalg.svd(lax.stop_gradient(A))
    least = full_values.shape[-1]
    left = jnp.concatenate([left, full_left[..., :, least:]], axis=-1)
    return left, values, jnp.concatenate([right, full_right[..., least:, :]], axis=-2)


@TABLE.rule("aten.svd.default")
def singular_decomposition_of(self: Array, some: bool = True, compute_uv: bool = True) -> tuple[Array, Array, Array]:
    """svd(Tensor self, bool some=True, bool compute_uv=True) -> (Tensor U, Tensor S, Tensor V)"""
    if not compute_uv:
        rows, columns = self.shape[-2], self.shape[-1]
        values = jnp.linalg.svd(self, compute_uv=False)
        left = jnp.zeros((*self.shape[:-2], rows, rows), self.dtype)
        return left, values, jnp.zeros((*self.shape[:-2], columns, columns), self.dtype)
    left, values, right = singular_decomposition(self, not some)
    return left, values, right.mT.conj()


@TABLE.rule("aten.linalg_qr.default")
def orthogonal_triangular(A: Array, mode: str = "reduced") -> tuple[Array, Array]:
    """linalg_qr(Tensor A, str mode="reduced") -> (Tensor Q, Tensor R)"""
    if mode == "r":
        return jnp.zeros((0,), A.dtype), jnp.linalg.qr(A, mode="r")
    if mode == "complete":
        return jnp.linalg.qr(A, mode="complete")  # type: ignore[return-value]
    return jnp.linalg.qr(A)  # type: ignore[return-value]


@TABLE.rule("aten.qr.default")
def orthogonal_triangular_of(self: Array, some: bool = True) -> tuple[Array, Array]:
    """qr(Tensor self, bool some=True) -> (Tensor Q, Tensor R)"""
    if not some:
        return jnp.linalg.qr(self, mode="complete")  # type: ignore[return-value]
    return jnp.linalg.qr(self)  # type: ignore[return-value]


@TABLE.rule("aten.geqrf.default")
def householder_form(self: Array) -> tuple[Array, Array]:
    """geqrf(Tensor self) -> (Tensor a, Tensor tau)"""
    reflectors, scales = jnp.linalg.qr(self, mode="raw")
    return reflectors.mT, scales


def reflect(reflectors: Array, scales: Array, matrix: Array, adjoint: bool) -> Array:
    """The product of the Householder reflectors ``I - tau v v^H`` of LAPACK's geqrf (the j-th below the diagonal of the
    j-th column, with a 1 on it), or its conjugate transpose, times a matrix.
    """
    count = scales.shape[-1]
    if count == 0:
        return matrix
    vectors = jnp.tril(reflectors[..., :count], -1) + jnp.eye(reflectors.shape[-2], count, dtype=reflectors.dtype)

    def apply(step: Array, product: Array) -> Array:
        at = step if adjoint else count - 1 - step
        vector = lax.dynamic_index_in_dim(vectors, at, axis=-1)
        scale = lax.dynamic_index_in_dim(scales, at, axis=-1)[..., None]
        return product - (scale.conj() if adjoint else scale) * (vector @ (vector.mT.conj() @ product))

    return lax.fori_loop(0, count, apply, matrix)


@TABLE.rule("aten.linalg_householder_product.default")
def householder_product(input: Array, tau: Array) -> Array:
    """linalg_householder_product(Tensor input, Tensor tau) -> Tensor"""
    identity = jnp.eye(input.shape[-2], input.shape[-1], dtype=input.dtype)
    return reflect(input, tau, jnp.broadcast_to(identity, input.shape), False)


@TABLE.rule("aten.orgqr.default")
def householder_product_of(self: Array, input2: Array) -> Array:
    """orgqr(Tensor self, Tensor input2) -> Tensor"""
    identity = jnp.eye(self.shape[-2], self.shape[-1], dtype=self.dtype)
    return reflect(self, input2, jnp.broadcast_to(identity, self.shape), False)


@TABLE.rule("aten.ormqr.default")
def householder_multiply(
    self: Array, input2: Array, input3: Array, left: bool = True, transpose: bool = False
) -> Array:
    """ormqr(Tensor self, Tensor input2, Tensor input3, bool left=True, bool transpose=False) -> Tensor"""
    if left:
        return reflect(self, input2, input3, transpose)
    # C Q is the conjugate transpose of Q^H C^H
    return reflect(self, input2, input3.mT.conj(), not transpose).mT.conj()
