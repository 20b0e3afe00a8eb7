"""Linear algebra: what stays whole, values and gradients of functions that no sign and no phase changes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import jax.scipy.linalg as jsl
import numpy as np
import pytest
import torch
from jax import lax
from lax_rules.sides import body, leaves, same_gradients, same_values, tensors

import regauge
from regauge.errors import UnsupportedOps
from regauge.rules.lax_to_torch import TABLE

generator = np.random.RandomState(0)
REAL = generator.standard_normal((4, 4)) + 3 * np.eye(4)
COMPLEX = REAL + 1j * generator.standard_normal((4, 4))
BATCH = generator.standard_normal((3, 4, 4)) + 3 * np.eye(4)
TALL, WIDE = generator.standard_normal((5, 3)), generator.standard_normal((3, 5))
RIGHT = generator.standard_normal((4, 2))


@pytest.fixture(autouse=True)
def wide() -> Any:
    with jax.enable_x64(True):
        yield


def hermitian(a: Any) -> Any:
    return a @ a.mT.conj() + jnp.eye(a.shape[-1])


@pytest.mark.parametrize(
    ("function", "arguments", "expected"),
    [
        (jnp.linalg.solve, (REAL, RIGHT), "torch.linalg.solve(a, b)"),
        (jnp.linalg.inv, (BATCH,), "torch.linalg.inv(a)"),
        (jnp.linalg.slogdet, (BATCH,), "sign, logabsdet = torch.linalg.slogdet(a)"),
        (jnp.linalg.det, (BATCH,), "torch.linalg.det(a)"),
        (jnp.linalg.pinv, (TALL,), "torch.linalg.pinv(a, rtol="),
        (jnp.linalg.qr, (TALL,), "q, r = torch.linalg.qr(a)"),
        (jnp.linalg.eigh, (REAL,), "eigenvalues, eigenvectors = torch.linalg.eigh("),
        (lambda a: jnp.linalg.svd(a, compute_uv=False), (TALL,), "torch.linalg.svdvals(a)"),
        (jnp.linalg.eigvals, (REAL,), "torch.linalg.eigvals(a)"),
    ],
)
def test_a_function_of_linear_algebra_is_that_of_torch(
    function: Callable[..., Any], arguments: tuple[np.ndarray, ...], expected: str
) -> None:
    assert expected in body(function, *map(jnp.asarray, arguments))


@pytest.mark.parametrize("a", [REAL, COMPLEX, BATCH], ids=["real", "complex", "batch"])
@pytest.mark.parametrize(
    "function",
    [
        jnp.linalg.inv,
        jnp.linalg.slogdet,
        jnp.linalg.det,
        lambda a: jnp.linalg.cholesky(hermitian(a)),
        lambda a: jnp.linalg.qr(a),
        lambda a: jnp.linalg.eigh(hermitian(a))[0],
        lambda a: jnp.linalg.svd(a, compute_uv=False),
        lambda a: lax.linalg.lu(a)[0],
    ],
    ids=["inv", "slogdet", "det", "cholesky", "qr", "eigenvalues", "singular values", "lu"],
)
def test_values_and_gradients_are_those_of_jax(function: Callable[..., Any], a: np.ndarray) -> None:
    same_values(function, jnp.asarray(a), bound=1e-10)
    same_gradients(function, jnp.asarray(a), bound=1e-8)


@pytest.mark.parametrize("a", [REAL, COMPLEX], ids=["real", "complex"])
def test_functions_of_eigenvectors_have_the_gradient_of_jax(a: np.ndarray) -> None:
    def exponential(a: Any) -> Any:
        values, vectors = jnp.linalg.eigh(hermitian(a) / 10)
        return (vectors * jnp.exp(values)) @ vectors.mT.conj()

    same_values(exponential, jnp.asarray(a), bound=1e-10)
    same_gradients(exponential, jnp.asarray(a), bound=1e-8)


@pytest.mark.parametrize("a", [TALL, WIDE, COMPLEX], ids=["tall", "wide", "complex"])
def test_functions_of_singular_vectors_have_the_gradient_of_jax(a: np.ndarray) -> None:
    def polar(a: Any) -> Any:
        u, s, vh = jnp.linalg.svd(a, full_matrices=False)
        return (u * jnp.sqrt(s)) @ vh

    same_values(polar, jnp.asarray(a), bound=1e-10)
    same_gradients(polar, jnp.asarray(a), bound=1e-8)


@pytest.mark.parametrize("a", [TALL, WIDE, COMPLEX], ids=["tall", "wide", "complex"])
@pytest.mark.parametrize("full", [True, False])
@pytest.mark.parametrize("pivoting", [True, False])
def test_qr_with_all_columns_and_with_pivots(a: np.ndarray, full: bool, pivoting: bool) -> None:
    weights = jnp.asarray(np.random.RandomState(2).standard_normal((5, 5)))

    def function(a: Any) -> Any:
        q, r, *_ = lax.linalg.qr(a, full_matrices=full, pivoting=pivoting)
        return q * weights[: q.shape[0], : q.shape[1]], r

    def exchanged(a: Any) -> Any:
        """The columns exchanged first: the derivative of JAX 0.10.2 takes them from a wide matrix as they were."""
        q, r = lax.linalg.qr(a[:, order], full_matrices=full)
        return q * weights[: q.shape[0], : q.shape[1]], r

    same_values(lambda a: lax.linalg.qr(a, full_matrices=full, pivoting=pivoting), jnp.asarray(a))
    order = np.asarray(lax.linalg.qr(jnp.asarray(a), pivoting=True)[2])
    same_gradients(function, jnp.asarray(a), bound=1e-8, like=exchanged if pivoting else None)


@pytest.mark.parametrize("b", [np.ones(3), np.ones((3, 2)), np.ones((2, 3, 3))], ids=["vector", "matrix", "batch"])
def test_solve_has_the_shapes_of_jax(b: np.ndarray) -> None:
    """One matrix of three rows against three matrices: torch alone would take it for a batch of vectors."""
    a = generator.standard_normal((3, 3) if b.ndim == 1 else (2, 3, 3)) + 3 * np.eye(3)
    same_values(jnp.linalg.solve, jnp.asarray(a), jnp.asarray(b))
    same_gradients(jnp.linalg.solve, jnp.asarray(a), jnp.asarray(b))


def test_one_matrix_for_a_batch_is_no_batch_of_vectors() -> None:
    a = generator.standard_normal((3, 3, 3)) + 3 * np.eye(3)
    same_values(jnp.linalg.solve, jnp.asarray(a), jnp.asarray(generator.standard_normal((3, 3))))


@pytest.mark.parametrize("a", [TALL, WIDE], ids=["tall", "wide"])
def test_a_pseudo_inverse_with_another_tolerance_is_written_out(a: np.ndarray) -> None:
    def function(a: Any) -> Any:
        return jnp.linalg.pinv(a, rtol=0.5)

    assert "pinv" not in body(function, jnp.asarray(a))
    for rtol in (None, 0.5):
        same_values(lambda a, rtol=rtol: jnp.linalg.pinv(a, rtol=rtol), jnp.asarray(a), bound=1e-10)
    same_gradients(jnp.linalg.pinv, jnp.asarray(a), bound=1e-8)


@pytest.mark.parametrize("lower", [True, False])
@pytest.mark.parametrize("left", [True, False])
@pytest.mark.parametrize("transposed", [0, 1, 2])
def test_triangular_systems_read_one_triangle(lower: bool, left: bool, transposed: int) -> None:
    def function(a: Any, b: Any) -> Any:
        return lax.linalg.triangular_solve(
            a, b if left else b.mT, left_side=left, lower=lower, transpose_a=transposed > 0, conjugate_a=transposed == 2
        )

    same_values(function, jnp.asarray(COMPLEX), jnp.asarray(RIGHT + 0j))
    same_gradients(function, jnp.asarray(COMPLEX), jnp.asarray(RIGHT + 0j))


def test_three_diagonals() -> None:
    below, diagonal, above = (jnp.asarray(generator.standard_normal(5) + 2 * (n == 1)) for n in range(3))
    right = jnp.asarray(generator.standard_normal((5, 2)))
    same_values(lax.linalg.tridiagonal_solve, below, diagonal, above, right, bound=1e-9)


@pytest.mark.parametrize(
    "function",
    [
        lambda a, b: jsl.cho_solve(jsl.cho_factor(hermitian(a)), b),
        lambda a, b: jsl.lu_solve(jsl.lu_factor(a), b),
        lambda a, b: jsl.solve_triangular(a, b, lower=True),
        lambda a, b: jnp.linalg.lstsq(a, b)[0],
        lambda a, b: jnp.linalg.matrix_power(a, 5) @ b,
    ],
    ids=["cho_solve", "lu_solve", "solve_triangular", "lstsq", "matrix_power"],
)
def test_functions_made_of_factors(function: Callable[..., Any]) -> None:
    a, b = jnp.asarray(REAL), jnp.asarray(RIGHT)
    same_values(function, a, b, bound=1e-9)
    same_gradients(function, a, b, bound=1e-7)


@pytest.mark.parametrize("a", [REAL, COMPLEX], ids=["real", "complex"])
def test_left_eigenvectors_are_those_of_the_adjoint(a: np.ndarray) -> None:
    model = regauge.to_torch(lambda a: lax.linalg.eig(a), (jnp.asarray(a),), dynamic=None)
    values, left, right = leaves(model(*tensors([a])))
    np.testing.assert_allclose(a @ right, right * values[None], atol=1e-10)
    np.testing.assert_allclose(a.conj().T @ left, left * values.conj()[None], atol=1e-10)
    np.testing.assert_allclose(np.linalg.norm(left, axis=0), 1.0)
    np.testing.assert_allclose(np.max(np.abs(left.real), 0), np.max(np.abs(left), 0), rtol=1e-10)


@pytest.mark.parametrize("a", [REAL, COMPLEX, REAL[:1, :1], REAL[:2, :2]], ids=["real", "complex", "one", "two"])
def test_the_hessenberg_form_has_the_reflections_of_lapack(a: np.ndarray) -> None:
    same_values(lambda a: lax.linalg.hessenberg(a), jnp.asarray(a), bound=1e-12)


def test_a_matrix_that_is_not_positive_definite_has_no_factor() -> None:
    model = regauge.to_torch(jnp.linalg.cholesky, (jnp.eye(2),), dynamic=None)
    (found,) = leaves(model(-torch.eye(2, dtype=torch.float64)))
    assert np.isnan(found[np.tril_indices(2)]).all()


def test_a_schur_form_is_refused_with_a_reason() -> None:
    with pytest.raises(UnsupportedOps) as caught:
        regauge.to_torch(lambda a: lax.linalg.schur(a), (jnp.eye(3),), dynamic=None)
    assert "torch has no Schur form" in "\n".join(caught.value.details)


def test_matrices_of_a_batch_that_stays_open_and_torch_exports() -> None:
    def function(a: Any) -> Any:
        factor = jnp.linalg.cholesky(hermitian(a))
        return lax.linalg.triangular_solve(factor, a, left_side=True, lower=True), jnp.linalg.inv(a)

    model = regauge.to_torch(function, (jnp.asarray(BATCH[:2]),))
    other = torch.from_numpy(BATCH)
    for found, wanted in zip(leaves(model(other)), jax.tree.leaves(function(jnp.asarray(BATCH))), strict=True):
        np.testing.assert_allclose(found, wanted, atol=1e-10)
    exported = torch.export.export(model, (other,)).module()
    torch.testing.assert_close(exported(other), model(other))


def test_what_torch_lacks_is_a_limit_with_another_way() -> None:
    for op, instead in (
        ("lax.schur", "jnp.linalg.eig"),
        ("lax.tridiagonal", "jnp.linalg.eigh"),
        ("lax.geqp3", "jax.scipy.linalg.qr"),
    ):
        rule = TABLE.get(op)
        assert rule is not None
        (limit,) = rule.limits
        assert limit.applies({})
        assert limit.effect == "unsupported"
        assert instead in limit.reason
