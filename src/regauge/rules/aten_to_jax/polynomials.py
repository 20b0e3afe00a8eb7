"""Orthogonal polynomials of a degree that is an array too, by their recurrences (DLMF 18.9).

torch has no derivatives of them.
"""

from __future__ import annotations

from collections.abc import Callable

import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("polynomials")


def by_recurrence(first: Array, n: Array | float, following: Callable[[Array, Array, Array], Array]) -> Array:
    """The polynomial of degree n, truncated to an integer; 0 for a negative one.

    Args:
        first: the polynomial of degree 1; that of degree 0 is 1.
        n: the degree, of a shape that broadcasts with `first`.
        following: the polynomial of degree k from k and those of the degrees k - 2 and k - 1.
    """
    degree = jnp.trunc(jnp.asarray(n, first.dtype))
    now = jnp.broadcast_to(first, jnp.broadcast_shapes(first.shape, degree.shape))

    def advance(k: Array, pair: tuple[Array, Array]) -> tuple[Array, Array]:
        before, now = pair
        reached = k <= degree
        return jnp.where(reached, now, before), jnp.where(reached, following(k.astype(now.dtype), before, now), now)

    highest = jnp.max(degree, initial=0).astype(int)
    now = lax.fori_loop(2, highest + 1, advance, (jnp.ones_like(now), now))[1]
    return jnp.where(degree < 0, 0, jnp.where(degree == 0, 1, now))


@TABLE.rule(
    "aten.special_chebyshev_polynomial_t.default",
    "aten.special_chebyshev_polynomial_t.x_scalar",
    "aten.special_chebyshev_polynomial_t.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def chebyshev_polynomial_t(x: Array | float, n: Array | float) -> Array:
    """special_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor
    special_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor
    special_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return 2 * x * now - before

    return by_recurrence(x, n, following)


@TABLE.rule(
    "aten.special_chebyshev_polynomial_u.default",
    "aten.special_chebyshev_polynomial_u.x_scalar",
    "aten.special_chebyshev_polynomial_u.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def chebyshev_polynomial_u(x: Array | float, n: Array | float) -> Array:
    """special_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor
    special_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor
    special_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return 2 * x * now - before

    return by_recurrence(2 * x, n, following)


@TABLE.rule(
    "aten.special_chebyshev_polynomial_v.default",
    "aten.special_chebyshev_polynomial_v.x_scalar",
    "aten.special_chebyshev_polynomial_v.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def chebyshev_polynomial_v(x: Array | float, n: Array | float) -> Array:
    """special_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor
    special_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor
    special_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return 2 * x * now - before

    return by_recurrence(2 * x - 1, n, following)


@TABLE.rule(
    "aten.special_chebyshev_polynomial_w.default",
    "aten.special_chebyshev_polynomial_w.x_scalar",
    "aten.special_chebyshev_polynomial_w.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def chebyshev_polynomial_w(x: Array | float, n: Array | float) -> Array:
    """special_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor
    special_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor
    special_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return 2 * x * now - before

    return by_recurrence(2 * x + 1, n, following)


@TABLE.rule(
    "aten.special_shifted_chebyshev_polynomial_t.default",
    "aten.special_shifted_chebyshev_polynomial_t.x_scalar",
    "aten.special_shifted_chebyshev_polynomial_t.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def shifted_chebyshev_polynomial_t(x: Array | float, n: Array | float) -> Array:
    """special_shifted_chebyshev_polynomial_t(Tensor x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_t.x_scalar(Scalar x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_t.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return (4 * x - 2) * now - before

    return by_recurrence(2 * x - 1, n, following)


@TABLE.rule(
    "aten.special_shifted_chebyshev_polynomial_u.default",
    "aten.special_shifted_chebyshev_polynomial_u.x_scalar",
    "aten.special_shifted_chebyshev_polynomial_u.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def shifted_chebyshev_polynomial_u(x: Array | float, n: Array | float) -> Array:
    """special_shifted_chebyshev_polynomial_u(Tensor x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_u.x_scalar(Scalar x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_u.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return (4 * x - 2) * now - before

    return by_recurrence(4 * x - 2, n, following)


@TABLE.rule(
    "aten.special_shifted_chebyshev_polynomial_v.default",
    "aten.special_shifted_chebyshev_polynomial_v.x_scalar",
    "aten.special_shifted_chebyshev_polynomial_v.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def shifted_chebyshev_polynomial_v(x: Array | float, n: Array | float) -> Array:
    """special_shifted_chebyshev_polynomial_v(Tensor x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_v.x_scalar(Scalar x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_v.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return (4 * x - 2) * now - before

    return by_recurrence(4 * x - 3, n, following)


@TABLE.rule(
    "aten.special_shifted_chebyshev_polynomial_w.default",
    "aten.special_shifted_chebyshev_polynomial_w.x_scalar",
    "aten.special_shifted_chebyshev_polynomial_w.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def shifted_chebyshev_polynomial_w(x: Array | float, n: Array | float) -> Array:
    """special_shifted_chebyshev_polynomial_w(Tensor x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_w.x_scalar(Scalar x, Tensor n) -> Tensor
    special_shifted_chebyshev_polynomial_w.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return (4 * x - 2) * now - before

    return by_recurrence(4 * x - 1, n, following)


@TABLE.rule(
    "aten.special_hermite_polynomial_h.default",
    "aten.special_hermite_polynomial_h.x_scalar",
    "aten.special_hermite_polynomial_h.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def hermite_polynomial_h(x: Array | float, n: Array | float) -> Array:
    """special_hermite_polynomial_h(Tensor x, Tensor n) -> Tensor
    special_hermite_polynomial_h.x_scalar(Scalar x, Tensor n) -> Tensor
    special_hermite_polynomial_h.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return 2 * x * now - 2 * (k - 1) * before

    # from these degrees on torch gives NaN
    highest = 512 if x.dtype == jnp.float64 else 128
    return jnp.where(jnp.asarray(n) > highest, jnp.nan, by_recurrence(2 * x, n, following))


@TABLE.rule(
    "aten.special_hermite_polynomial_he.default",
    "aten.special_hermite_polynomial_he.x_scalar",
    "aten.special_hermite_polynomial_he.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def hermite_polynomial_he(x: Array | float, n: Array | float) -> Array:
    """special_hermite_polynomial_he(Tensor x, Tensor n) -> Tensor
    special_hermite_polynomial_he.x_scalar(Scalar x, Tensor n) -> Tensor
    special_hermite_polynomial_he.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return x * now - (k - 1) * before

    # from these degrees on torch gives NaN
    highest = 512 if x.dtype == jnp.float64 else 128
    return jnp.where(jnp.asarray(n) > highest, jnp.nan, by_recurrence(x, n, following))


@TABLE.rule(
    "aten.special_laguerre_polynomial_l.default",
    "aten.special_laguerre_polynomial_l.x_scalar",
    "aten.special_laguerre_polynomial_l.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def laguerre_polynomial_l(x: Array | float, n: Array | float) -> Array:
    """special_laguerre_polynomial_l(Tensor x, Tensor n) -> Tensor
    special_laguerre_polynomial_l.x_scalar(Scalar x, Tensor n) -> Tensor
    special_laguerre_polynomial_l.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return ((2 * k - 1 - x) * now - (k - 1) * before) / k

    return by_recurrence(1 - x, n, following)


@TABLE.rule(
    "aten.special_legendre_polynomial_p.default",
    "aten.special_legendre_polynomial_p.x_scalar",
    "aten.special_legendre_polynomial_p.n_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def legendre_polynomial_p(x: Array | float, n: Array | float) -> Array:
    """special_legendre_polynomial_p(Tensor x, Tensor n) -> Tensor
    special_legendre_polynomial_p.x_scalar(Scalar x, Tensor n) -> Tensor
    special_legendre_polynomial_p.n_scalar(Tensor x, Scalar n) -> Tensor
    """
    x = jnp.asarray(x, jnp.result_type(x, n))

    def following(k: Array, before: Array, now: Array) -> Array:
        return ((2 * k - 1) * x * now - (k - 1) * before) / k

    return by_recurrence(x, n, following)
