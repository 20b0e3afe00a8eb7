"""The gamma function's logarithm and its derivatives, and the zeta function that the higher ones are made of.

JAX has all of them; what stands here is exact at zeros and poles, for negative arguments and in all derivatives, as in
torch, where each function's derivative is the next one.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("gamma")

# Bernoulli numbers B2, B4, ... (DLMF 24.2.4)
BERNOULLI = (1 / 6, -1 / 30, 1 / 42, -1 / 30, 5 / 66, -691 / 2730, 7 / 6, -3617 / 510, 43867 / 798, -174611 / 330)


def hurwitz(s: Array, q: Array) -> Array:
    """The Hurwitz zeta function, the sum of ``(k + q) ** -s`` over k >= 0, by Euler and Maclaurin's formula (DLMF
    25.11.28 and 2.10.1): the terms up to 9, then the integral and its corrections. For q <= 0 it is defined where s is
    an integer; its poles are infinite. It is differentiated by q alone.
    """

    @jax.custom_jvp
    def value(s: Array, q: Array) -> Array:
        def running(state: tuple[Array, Array, Array]) -> Array:
            return jnp.any(going_on(state)) & (state[2] < 10**6)

        def going_on(state: tuple[Array, Array, Array]) -> Array:
            return (state[2] < 9) | (state[0] <= 9)

        def add(state: tuple[Array, Array, Array]) -> tuple[Array, Array, Array]:
            at, total, count = state
            more = going_on(state)
            term = jnp.where(more, at, 1) ** -s
            return jnp.where(more, at + 1, at), jnp.where(more, total + term, total), count + 1

        start = jnp.where(q == jnp.floor(q), jnp.maximum(q, 1), q)  # from a pole the terms are never used
        at, total = lax.while_loop(running, add, (start, jnp.zeros_like(q), jnp.asarray(0)))[:2]
        power = at**-s
        total = total + at * power / (s - 1) + power / 2
        factor = s * power / at
        for i, number in enumerate(BERNOULLI):
            total = total + number / math.factorial(2 * i + 2) * factor
            factor = factor * (s + 2 * i + 1) * (s + 2 * i + 2) / at**2
        pole = (q <= 0) & (q == jnp.floor(q))
        undefined = (s < 1) | ((q <= 0) & (s != jnp.floor(s)) & ~pole) | jnp.isnan(s) | jnp.isnan(q)
        return jnp.where(s == 1, jnp.inf, jnp.where(undefined, jnp.nan, jnp.where(pole, jnp.inf, total)))

    @value.defjvp
    def derivative(primals: tuple[Array, Array], tangents: tuple[Array, Array]) -> tuple[Array, Array]:
        s, q = primals
        return value(s, q), -s * hurwitz(s + 1, q) * tangents[1]

    return value(*jnp.broadcast_arrays(s, q))


def polygamma_of(n: int, x: Array) -> Array:
    """The n-th derivative of the digamma function for n >= 2, by the zeta function (DLMF 25.11.12)."""
    return (-1) ** (n + 1) * math.factorial(n) * hurwitz(jnp.full_like(x, n + 1), x)


def trigamma_of(x: Array) -> Array:
    """The derivative of the digamma function: six steps of the recurrence and four terms of the asymptotic series
    (Abramowitz and Stegun 6.4.6 and 6.4.12), by reflection below 1/2 (6.4.7). These are torch's steps and terms, which
    leave a relative error of 5e-10.
    """

    @jax.custom_jvp
    def value(x: Array) -> Array:
        at = jnp.where(x < 0.5, 1 - x, x)
        total = jnp.zeros_like(x)
        for _ in range(6):
            total = total + 1 / at**2
            at = at + 1
        square = 1 / at**2
        total = total + (1 + 1 / (2 * at) + square * (1 / 6 - square * (1 / 30 - square / 42))) / at
        return jnp.where(x < 0.5, (jnp.pi / jnp.sin(jnp.pi * (x - jnp.round(x)))) ** 2 - total, total)

    @value.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return value(*primals), tangents[0] * polygamma_of(2, primals[0])

    return value(x)


def digamma_of(x: Array) -> Array:
    """The derivative of the gamma function's logarithm, by reflection below 0 (DLMF 5.5.4)."""

    @jax.custom_jvp
    def value(x: Array) -> Array:
        near = x - jnp.round(x)
        reflected = jax.scipy.special.digamma(1 - x) - jnp.pi / jnp.tan(jnp.pi * jnp.where(near == 0, 0.5, near))
        pole = jnp.where(x == 0, -jnp.copysign(jnp.inf, x), jnp.nan)
        positive = jax.scipy.special.digamma(jnp.where(x > 0, x, 1))
        return jnp.where(x > 0, positive, jnp.where(near == 0, pole, jnp.where(jnp.isnan(x), x, reflected)))

    @value.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return value(*primals), tangents[0] * trigamma_of(primals[0])

    return value(x)


def log_gamma_of(x: Array) -> Array:
    """The logarithm of the gamma function's absolute value, exactly 0 at 1 and 2."""

    @jax.custom_jvp
    def value(x: Array) -> Array:
        return jnp.where((x == 1) | (x == 2), 0, jax.scipy.special.gammaln(x))

    @value.defjvp
    def derivative(primals: tuple[Array], tangents: tuple[Array]) -> tuple[Array, Array]:
        return value(*primals), tangents[0] * digamma_of(primals[0])

    return value(x)


@TABLE.rule("aten.lgamma.default", "aten.special_gammaln.default", promotes=Promotes.INT_TO_FLOAT)
def log_gamma(self: Array) -> Array:
    """lgamma(Tensor self) -> Tensor
    special_gammaln(Tensor self) -> Tensor
    """
    if self.dtype == jnp.bfloat16:
        return log_gamma_of(self.astype(jnp.float32)).astype(self.dtype)
    return log_gamma_of(self)


@TABLE.rule(
    "aten.digamma.default", "aten.special_digamma.default", "aten.special_psi.default", promotes=Promotes.INT_TO_FLOAT
)
def digamma(self: Array) -> Array:
    """digamma(Tensor self) -> Tensor
    special_digamma(Tensor self) -> Tensor
    special_psi(Tensor self) -> Tensor
    """
    if self.dtype == jnp.bfloat16:
        return digamma_of(self.astype(jnp.float32)).astype(self.dtype)
    return digamma_of(self)


@TABLE.rule("aten.polygamma.default", "aten.special_polygamma.default", promotes=Promotes.INT_TO_FLOAT)
def polygamma(n: int, self: Array) -> Array:
    """polygamma(int n, Tensor self) -> Tensor
    special_polygamma(int n, Tensor self) -> Tensor
    """
    x = self.astype(jnp.float32) if self.dtype == jnp.bfloat16 else self
    if n == 0:
        return digamma_of(x).astype(self.dtype)
    if n == 1:
        return trigamma_of(x).astype(self.dtype)
    return polygamma_of(n, x).astype(self.dtype)


@TABLE.rule("aten.mvlgamma.default", "aten.special_multigammaln.default", promotes=Promotes.INT_TO_FLOAT)
def log_gamma_many(self: Array, p: int) -> Array:
    """mvlgamma(Tensor self, int p) -> Tensor
    special_multigammaln(Tensor self, int p) -> Tensor
    """
    halves = self[..., None] - jnp.arange(p).astype(self.dtype) / 2
    return jnp.sum(log_gamma_of(halves), axis=-1) + p * (p - 1) / 4 * math.log(math.pi)


@TABLE.rule(
    "aten.special_zeta.default",
    "aten.special_zeta.self_scalar",
    "aten.special_zeta.other_scalar",
    promotes=Promotes.INT_TO_FLOAT,
)
def zeta(self: Array | float, other: Array | float) -> Array:
    """special_zeta(Tensor self, Tensor other) -> Tensor
    special_zeta.self_scalar(Scalar self, Tensor other) -> Tensor
    special_zeta.other_scalar(Tensor self, Scalar other) -> Tensor
    """
    dtype = jnp.result_type(self, other)
    return hurwitz(jnp.asarray(self, dtype), jnp.asarray(other, dtype))


@TABLE.rule("aten.igamma.default", "aten.special_gammainc.default", promotes=Promotes.INT_TO_FLOAT)
def incomplete_gamma(self: Array, other: Array) -> Array:
    """igamma(Tensor self, Tensor other) -> Tensor
    special_gammainc(Tensor self, Tensor other) -> Tensor
    """
    return jax.scipy.special.gammainc(self, other)


@TABLE.rule("aten.igammac.default", "aten.special_gammaincc.default", promotes=Promotes.INT_TO_FLOAT)
def incomplete_gamma_complement(self: Array, other: Array) -> Array:
    """igammac(Tensor self, Tensor other) -> Tensor
    special_gammaincc(Tensor self, Tensor other) -> Tensor
    """
    return jax.scipy.special.gammaincc(self, other)
