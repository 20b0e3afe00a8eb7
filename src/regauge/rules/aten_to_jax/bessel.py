"""Bessel functions, modified ones, spherical ones, and Airy's.

Where JAX has none, each is computed by formulas that need no tables: recurrences, series and integrals whose
trapezoidal sums converge geometrically. All are accurate to a few units in the last place of float64 relative to the
function's own amplitude. None of them but I0 and I1 has a derivative in torch.
"""

from __future__ import annotations

import math

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array, lax

from regauge.rules.table import Promotes, RuleTable

TABLE = RuleTable("bessel")

EULER = 0.5772156649015329  # DLMF 5.2.3
LARGE = 25.0  # from here on Hankel's expansions are exact to float64


def ordinary_bessel(x: Array) -> tuple[Array, Array, Array, Array]:
    """J0, J1, Y0, Y1 for ``0 < x``.

    Up to 25 by Miller's backward recurrence (DLMF 3.6 and 10.74), which gives all J together, and Neumann's series of
    them for Y (Abramowitz and Stegun 9.1.88); above by Hankel's expansions (DLMF 10.17.3 and 10.17.4).
    """
    orders = np.arange(80)
    even, odd = (orders % 2 == 0) & (orders > 0), (orders % 2 == 1) & (orders > 1)
    half = np.maximum(orders // 2, 1)
    sign = np.where(half % 2 == 0, 1.0, -1.0)
    to_one = jnp.asarray(np.where(even, 2.0, np.where(orders == 0, 1.0, 0.0)), x.dtype)
    to_y0 = jnp.asarray(np.where(even, sign * 2 / half, 0.0), x.dtype)
    to_y1 = jnp.asarray(np.where(odd, sign * (2 * half + 1) / (half * (half + 1)), 0.0), x.dtype)
    at = jnp.clip(x, 1e-30, LARGE)

    def down(step: Array, state: tuple[Array, ...]) -> tuple[Array, ...]:
        order = 79 - step
        before, now, one, y0, y1 = state
        after = 2 * (order + 1) / at * now - before
        scale = 1 / jnp.maximum(jnp.abs(after), jnp.abs(now))
        one, y0, y1 = one + to_one[order] * after, y0 + to_y0[order] * after, y1 + to_y1[order] * after
        return now * scale, after * scale, one * scale, y0 * scale, y1 * scale

    nothing = jnp.zeros_like(at)
    j1, j0, one, y0, y1 = lax.fori_loop(0, 80, down, (nothing, nothing + 1, nothing, nothing, nothing))
    j0, j1, y0, y1 = j0 / one, j1 / one, y0 / one, y1 / one
    logarithm = jnp.log(at / 2) + EULER
    y0, y1 = (
        2 / jnp.pi * (logarithm * j0 - y0),
        2 / jnp.pi * ((logarithm - 1) * j1 - j0 / at - y1),
    )
    large_j0, large_y0 = hankel(0, jnp.maximum(x, LARGE))
    large_j1, large_y1 = hankel(1, jnp.maximum(x, LARGE))
    small = x < LARGE
    return (
        jnp.where(small, j0, large_j0),
        jnp.where(small, j1, large_j1),
        jnp.where(small, y0, large_y0),
        jnp.where(small, y1, large_y1),
    )


def hankel(order: int, x: Array) -> tuple[Array, Array]:
    """J and Y of an order for large x (DLMF 10.17.3 and 10.17.4)."""
    phase = x - (order / 2 + 0.25) * jnp.pi
    along, across = jnp.zeros_like(x), jnp.zeros_like(x)
    term = jnp.ones_like(x)
    for k in range(20):
        sign = 1 if k // 2 % 2 == 0 else -1
        along, across = (along + sign * term, across) if k % 2 == 0 else (along, across + sign * term)
        term = term * ((4 * order**2 - (2 * k + 1) ** 2) / (8 * (k + 1))) / x
    size = jnp.sqrt(2 / (jnp.pi * x))
    return (
        size * (jnp.cos(phase) * along - jnp.sin(phase) * across),
        size * (jnp.sin(phase) * along + jnp.cos(phase) * across),
    )


@TABLE.rule("aten.special_bessel_j0.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_j0(self: Array) -> Array:
    """special_bessel_j0(Tensor self) -> Tensor"""
    return jnp.where(self == 0, 1, ordinary_bessel(jnp.abs(self))[0])


@TABLE.rule("aten.special_bessel_j1.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_j1(self: Array) -> Array:
    """special_bessel_j1(Tensor self) -> Tensor"""
    return jnp.sign(self) * ordinary_bessel(jnp.abs(self))[1]


@TABLE.rule("aten.special_bessel_y0.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_y0(self: Array) -> Array:
    """special_bessel_y0(Tensor self) -> Tensor"""
    return jnp.where(self > 0, ordinary_bessel(self)[2], jnp.where(self == 0, -jnp.inf, jnp.nan))


@TABLE.rule("aten.special_bessel_y1.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_y1(self: Array) -> Array:
    """special_bessel_y1(Tensor self) -> Tensor"""
    return jnp.where(self > 0, ordinary_bessel(self)[3], jnp.where(self == 0, -jnp.inf, jnp.nan))


@TABLE.rule("aten.special_spherical_bessel_j0.default", promotes=Promotes.INT_TO_FLOAT)
def spherical_bessel_j0(x: Array) -> Array:
    """special_spherical_bessel_j0(Tensor x) -> Tensor"""
    return jnp.where(jnp.isinf(x), 0, jnp.where(x == 0, 1, jnp.sin(x) / x))


@TABLE.rule("aten.i0.default", "aten.special_i0.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i0(self: Array) -> Array:
    """i0(Tensor self) -> Tensor
    special_i0(Tensor self) -> Tensor
    """
    # jax.scipy.special.i0 goes through abs, whose derivative at 0 is 1
    return jnp.exp(self * lax.stop_gradient(jnp.sign(self))) * jax.scipy.special.i0e(self)


@TABLE.rule("aten.special_i0e.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i0e(self: Array) -> Array:
    """special_i0e(Tensor self) -> Tensor"""
    return jax.scipy.special.i0e(self)


@TABLE.rule("aten.special_i1.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i1(self: Array) -> Array:
    """special_i1(Tensor self) -> Tensor"""
    return jax.scipy.special.i1(self)


@TABLE.rule("aten.special_i1e.default", promotes=Promotes.INT_TO_FLOAT)
def bessel_i1e(self: Array) -> Array:
    """special_i1e(Tensor self) -> Tensor"""
    return jax.scipy.special.i1e(self)


@TABLE.rule("aten.special_modified_bessel_i0.default", promotes=Promotes.INT_TO_FLOAT)
def modified_bessel_i0(self: Array) -> Array:
    """special_modified_bessel_i0(Tensor self) -> Tensor"""
    return jax.scipy.special.i0(self)


@TABLE.rule("aten.special_modified_bessel_i1.default", promotes=Promotes.INT_TO_FLOAT)
def modified_bessel_i1(self: Array) -> Array:
    """special_modified_bessel_i1(Tensor self) -> Tensor"""
    return jax.scipy.special.i1(self)


def modified_bessel_k(order: int, x: Array, scaled: bool) -> Array:
    """K0 or K1, times ``exp(x)`` if scaled: up to 1 by the series (DLMF 10.31.1 and 10.31.2), above by the trapezoidal
    sum of the integral of ``exp(-x cosh t) cosh(order t)`` (DLMF 10.32.9).
    """
    small, large = jnp.clip(x, 0, 1), jnp.maximum(x, 1)
    quarter, digamma = jnp.square(small / 2), -EULER
    power, total = jnp.ones_like(x), jnp.zeros_like(x)
    logarithm = jnp.log(jnp.where(small == 0, 1, small / 2))
    for k in range(13):
        if order == 0:
            total = total + power * (digamma - logarithm)
        else:
            total = total + power * (logarithm - digamma - 1 / (2 * k + 2)) * small / 2
        power = power * quarter / ((k + 1) * (k + 1 + order))
        digamma += 1 / (k + 1)
    series = total if order == 0 else total + 1 / small
    step = 2 * jnp.arcsinh(jnp.sqrt(22.5 / large)) / 24

    def add(count: Array, total: Array) -> Array:
        t = count * step
        return total + jnp.exp(-2 * large * jnp.square(jnp.sinh(t / 2))) * jnp.cosh(order * t)

    integral = step * lax.fori_loop(1, 25, add, jnp.full_like(x, 0.5))
    series, integral = (series * jnp.exp(small), integral) if scaled else (series, integral * jnp.exp(-large))
    outside = jnp.where(x == 0, jnp.inf, jnp.nan)
    return jnp.where(x > 1, integral, jnp.where(x > 0, series, outside))


@TABLE.rule("aten.special_modified_bessel_k0.default", promotes=Promotes.INT_TO_FLOAT)
def modified_bessel_k0(self: Array) -> Array:
    """special_modified_bessel_k0(Tensor self) -> Tensor"""
    return modified_bessel_k(0, self, False)


@TABLE.rule("aten.special_modified_bessel_k1.default", promotes=Promotes.INT_TO_FLOAT)
def modified_bessel_k1(self: Array) -> Array:
    """special_modified_bessel_k1(Tensor self) -> Tensor"""
    return modified_bessel_k(1, self, False)


@TABLE.rule("aten.special_scaled_modified_bessel_k0.default", promotes=Promotes.INT_TO_FLOAT)
def scaled_modified_bessel_k0(x: Array) -> Array:
    """special_scaled_modified_bessel_k0(Tensor x) -> Tensor"""
    return modified_bessel_k(0, x, True)


@TABLE.rule("aten.special_scaled_modified_bessel_k1.default", promotes=Promotes.INT_TO_FLOAT)
def scaled_modified_bessel_k1(x: Array) -> Array:
    """special_scaled_modified_bessel_k1(Tensor x) -> Tensor"""
    return modified_bessel_k(1, x, True)


@TABLE.rule("aten.special_airy_ai.default", promotes=Promotes.INT_TO_FLOAT)
def airy_ai(x: Array) -> Array:
    """special_airy_ai(Tensor x) -> Tensor"""
    # from -9 up: the integral of cos(t^3 / 3 + x t) (DLMF 9.5.1) along a line above the real axis, through the saddle
    # point where x is positive, as a trapezoidal sum; below: DLMF 9.7.9
    above = jnp.maximum(x, -9)
    height = jnp.maximum(jnp.sqrt(jnp.maximum(above, 0)), 0.3)
    step = jnp.sqrt(40 / height) / 300

    def add(count: Array, total: Array) -> Array:
        t = count * step
        return total + jnp.exp(-height * t**2) * jnp.cos(t**3 / 3 + (above - height**2) * t)

    scale = jnp.exp(height**3 / 3 - above * height) / jnp.pi
    integral = scale * step * lax.fori_loop(1, 301, add, jnp.full_like(above, 0.5))
    below = jnp.maximum(-x, 9)
    argument = 2 / 3 * below**1.5
    along, across, term = jnp.zeros_like(x), jnp.zeros_like(x), jnp.ones_like(x)
    for k in range(16):
        sign = 1 if k // 2 % 2 == 0 else -1
        along, across = (along + sign * term, across) if k % 2 == 0 else (along, across + sign * term)
        term = term * ((6 * k + 1) * (6 * k + 3) * (6 * k + 5) / (216 * (k + 1) * (2 * k + 1))) / argument
    phase = argument - jnp.pi / 4
    expansion = (jnp.cos(phase) * along + jnp.sin(phase) * across) / (math.sqrt(math.pi) * below**0.25)
    return jnp.where(jnp.isinf(x), jnp.nan, jnp.where(x < -9, expansion, jnp.where(x > 103.892, 0, integral)))
