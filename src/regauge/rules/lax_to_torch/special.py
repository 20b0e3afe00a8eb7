"""Special functions: gamma and beta integrals, zeta, derivatives of the gamma function, and arcs of complex numbers."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand, array
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.special")


@TABLE.rule("lax.digamma")
def digamma(x: Tensor) -> Tensor:
    """digamma(x): NaN of 0"""
    return torch.where(x == 0, math.nan, x.digamma())


@TABLE.rule("lax.polygamma")
def polygamma(x: Operand, y: Operand) -> Tensor:
    """polygamma(m, x)"""
    if not isinstance(x, Tensor) and x >= 0 and x == int(x):
        return torch.special.polygamma(int(x), y)
    return any_polygamma(array(x, y), array(y, x))


def any_polygamma(m: Tensor, x: Tensor) -> Tensor:
    """Derivatives of digamma of the orders m: (-1)**(m + 1) m! zeta(m + 1, x) (dlmf.nist.gov/5.15.E1)."""
    sign = torch.where(m % 2 == 0, -1, 1)
    found = torch.where(m == 0, x.digamma(), sign * (m + 1).lgamma().exp() * torch.special.zeta(m + 1, x))
    return torch.where((m < 0) | (m != m.floor()), math.nan, found)


@TABLE.rule("lax.zeta")
def zeta(x: Operand, y: Operand) -> Tensor:
    """zeta(x, q)"""
    return torch.special.zeta(x, y)


@TABLE.rule("lax.igamma")
def igamma(x: Operand, y: Operand) -> Tensor:
    """igamma(a, x)"""
    return lower_gamma(array(x, y), array(y, x))


@TABLE.rule("lax.igammac")
def igammac(x: Operand, y: Operand) -> Tensor:
    """igammac(a, x)"""
    return upper_gamma(array(x, y), array(y, x))


@TABLE.rule("lax.igamma_grad_a")
def igamma_grad_a(x: Operand, y: Operand) -> Tensor:
    """igamma_grad_a(a, x)"""
    return gamma_slope(array(x, y), array(y, x))


def lower_gamma(a: Tensor, x: Tensor) -> Tensor:
    """The regularised lower incomplete gamma function, with its derivatives by both arguments."""
    return GammaIntegral.apply(a, x, False)  # type: ignore[no-any-return, no-untyped-call]


def upper_gamma(a: Tensor, x: Tensor) -> Tensor:
    """The regularised upper incomplete gamma function, with its derivatives by both arguments."""
    return GammaIntegral.apply(a, x, True)  # type: ignore[no-any-return, no-untyped-call]


class GammaIntegral(torch.autograd.Function):
    """The regularised incomplete gamma functions; torch has no derivative by a, and no ten digits for large a."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, x: Tensor, upper: bool) -> Tensor:
        ctx.save_for_backward(a, x)
        ctx.upper = upper
        if x.dtype is torch.float64:
            return gamma_parts(a, x)[1 if upper else 0]
        return torch.special.gammaincc(a, x) if upper else torch.special.gammainc(a, x)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor, None]:  # type: ignore[override]
        a, x = ctx.saved_tensors
        gradient = -gradient if ctx.upper else gradient
        density = ((a - 1) * x.log() - x - a.lgamma()).exp()
        return gradient * gamma_slope(a, x), gradient * density, None


def gamma_slope(a: Tensor, x: Tensor) -> Tensor:
    """The derivative of the regularised lower incomplete gamma function P(a, x) by a."""
    return gamma_parts(a.double(), x.double())[2].to(x.dtype)


def gamma_parts(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """P(a, x), 1 - P(a, x) and the derivative of P by a, of float64.

    From the series where x is small against a, else from the continued fraction of 1 - P, term by term
    (dlmf.nist.gov/8.11.E4 and 8.9.E2).
    """
    a, x = torch.broadcast_tensors(a, x)
    by_fraction = (x > 1) & (x > a)
    factor = (a * x.log() - x - a.lgamma()).exp()
    wrong = (x < 0) | (a < 0) | ((a == 0) & (x == 0)) | a.isnan() | x.isnan()
    none = (x == 0) | (a == 0) | wrong | (factor == 0) | ~factor.isfinite()
    series = gamma_series(torch.where(none | by_fraction, 1.0, a), torch.where(none | by_fraction, 0.5, x))
    fraction = gamma_fraction(torch.where(by_fraction & ~none, a, 1.0), torch.where(by_fraction & ~none, x, 2.0))
    lower = torch.where(by_fraction, 1 - factor * fraction[0], factor * series[0])
    upper = torch.where(by_fraction, factor * fraction[0], 1 - factor * series[0])
    slope = factor * torch.where(by_fraction, -fraction[1], series[1])
    lower = torch.where(none, torch.where((x > a) & (x > 0), 1, 0), lower)
    upper = torch.where(none, torch.where((x > a) & (x > 0), 0, 1), upper)
    slope = torch.where(a == 0, math.nan, torch.where(none, 0, slope))
    return tuple(torch.where(wrong, math.nan, part) for part in (lower, upper, slope))  # type: ignore[return-value]


def gamma_series(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """P(a, x) and its derivative by a over x**a exp(-x) / gamma(a): the sum of x**n / (a (a+1) ... (a+n))."""

    def step(n: Tensor, term: Tensor, slope: Tensor, total: Tensor, slopes: Tensor) -> tuple[Tensor, ...]:
        ratio = x / (a + n)
        slope = slope * ratio - term * ratio / (a + n)
        term = term * ratio
        return n + 1, term, slope, total + term, slopes + slope

    def goes_on(n: Tensor, term: Tensor, slope: Tensor, total: Tensor, slopes: Tensor) -> Tensor:
        more = (term > 1e-17 * total) | (slope.abs() > 1e-17 * slopes.abs())
        return ((n < 2) | more.any()) & (n < 5000)

    one, zero = torch.ones_like(a), torch.zeros_like(a)
    _, _, _, total, slopes = repeated(goes_on, step, (one.new_ones(()), one, zero, one, zero))
    return total / a, (total * (x.log() - (a + 1).digamma()) + slopes) / a


def gamma_fraction(a: Tensor, x: Tensor) -> tuple[Tensor, Tensor]:
    """1 - P(a, x) and its derivative by a over x**a exp(-x) / gamma(a).

    Numerators p and denominators q of the convergents follow one recurrence, their derivatives that of the recurrence;
    all are divided by q at every step, which changes neither p / q nor its derivative.
    """

    def step(n: Tensor, value: Tensor, slope: Tensor, *state: Tensor) -> tuple[Tensor, ...]:
        p, q, p_before, q_before, dp, dq, dp_before, dq_before = state
        even, odd = x - a + 2 * n + 2, n * (n + 1 - a)
        p_next, q_next = p * even - p_before * odd, q * even - q_before * odd
        dp_next = dp * even - p - dp_before * odd + p_before * n
        dq_next = dq * even - q - dq_before * odd + q_before * n
        value = p_next / q_next
        slope = (dp_next - value * dq_next) / q_next
        found = (p_next, q_next, p, q, dp_next, dq_next, dp, dq)
        return n + 1, value, slope, *(part / q_next for part in found)

    def goes_on(n: Tensor, value: Tensor, slope: Tensor, *state: Tensor) -> Tensor:
        _, _, p, q, _, _, dp, dq = state  # of the step before
        moved = (value - p / q).abs() > 1e-15 * value.abs()
        turned = (slope - (dp - p / q * dq) / q).abs() > 1e-15 * slope.abs()
        return ((n < 3) | (moved | turned).any()) & (n < 2000)

    one, zero = torch.ones_like(a), torch.zeros_like(a)
    p, q = x + 1, (x - a + 2) * x
    state = (p, q, one, x, zero, -x, zero, zero)
    first = (one.new_ones(()), p / q, (zero + p / q * x) / q, *state)
    _, value, slope, *_ = repeated(goes_on, step, first)
    return value, value * (x.log() - a.digamma()) + slope


@TABLE.rule("lax.regularized_incomplete_beta")
def regularized_incomplete_beta(a: Operand, b: Operand, x: Operand) -> Tensor:
    """regularized_incomplete_beta(a, b, x): JAX has no derivative by a and b"""
    like = next(operand for operand in (a, b, x) if isinstance(operand, Tensor))
    return beta_integral(array(a, like), array(b, like), array(x, like))


def beta_integral(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The regularised incomplete beta function, with its derivative by x."""
    return BetaIntegral.apply(a, b, x)  # type: ignore[no-any-return, no-untyped-call]


class BetaIntegral(torch.autograd.Function):
    """The regularised incomplete beta function, computed in float64."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor, x: Tensor) -> Tensor:
        ctx.save_for_backward(a, b, x)
        return incomplete_beta(*torch.broadcast_tensors(a.double(), b.double(), x.double())).to(x.dtype)

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[None, None, Tensor]:  # type: ignore[override]
        a, b, x = ctx.saved_tensors
        size = a.lgamma() + b.lgamma() - (a + b).lgamma()
        return None, None, gradient * ((b - 1) * (-x).log1p() + (a - 1) * x.log() - size).exp()


def incomplete_beta(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """The regularised incomplete beta function of float64, from its continued fraction (dlmf.nist.gov/8.17.E22)."""
    left, right = (a == 0) | (b == math.inf), (b == 0) | (a == math.inf)  # all the mass at 0, or at 1
    wrong = (a < 0) | (b < 0) | (x < 0) | (x > 1) | (left & right) | a.isnan() | b.isnan() | x.isnan()
    known = left | right | wrong
    a, b, inner = (torch.where(known, 0.5, part) for part in (a, b, x))
    mirrored = inner >= (a + 1) / (a + b + 2)
    p, q = torch.where(mirrored, b, a), torch.where(mirrored, a, b)
    y = torch.where(mirrored, 1 - inner, inner)
    factor = (p * y.log() + q * (-y).log1p() - p.lgamma() - q.lgamma() + (p + q).lgamma()).exp() / p
    found = factor * beta_fraction(p, q, y)
    found = torch.where(mirrored, 1 - found, found)
    found = torch.where((left & (x > 0)) | (right & (x == 1)), 1, torch.where(left | right, 0, found))
    return torch.where(wrong, math.nan, found)


def beta_fraction(a: Tensor, b: Tensor, x: Tensor) -> Tensor:
    """1 / (1 + d1 / (1 + d2 / (1 + ...))) by Lentz's method: the ratios of numerators and of denominators."""
    tiny = 1e-300

    def extended(up: Tensor, down: Tensor, d: Tensor) -> tuple[Tensor, Tensor]:
        up, down = 1 + d / up, 1 + d * down
        up, down = torch.where(up.abs() < tiny, tiny, up), torch.where(down.abs() < tiny, tiny, down)
        return up, 1 / down

    def step(m: Tensor, value: Tensor, up: Tensor, down: Tensor, change: Tensor) -> tuple[Tensor, ...]:
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        up, down = extended(up, down, odd)
        value = value * up * down
        even = (m + 1) * (b - m - 1) * x / ((a + 2 * m + 1) * (a + 2 * m + 2))
        up, down = extended(up, down, even)
        return m + 1, value * up * down, up, down, up * down

    def goes_on(m: Tensor, value: Tensor, up: Tensor, down: Tensor, change: Tensor) -> Tensor:
        return ((m < 1) | ((change - 1).abs() > 1e-15).any()) & (m < 600)

    one = torch.ones_like(a)
    _, value, _, _, _ = repeated(goes_on, step, (one.new_zeros(()), one, one, torch.zeros_like(a), one))
    return 1 / value


@TABLE.rule("lax.acosh")
def acosh(x: Tensor) -> Tensor:
    """acosh(x)"""
    return complex_acosh(x) if x.dtype.is_complex else x.acosh()


def complex_acosh(x: Tensor) -> Tensor:
    """acosh of complex numbers; its derivative has the sign of JAX's, which is 1 / sqrt(x**2 - 1) everywhere."""
    found = x.acosh()
    other = ((x.square() - 1).sqrt() * ((x - 1).sqrt() * (x + 1).sqrt()).conj()).real < 0
    return torch.where(other, 2 * found.detach() - found, found)


def repeated(
    goes_on: Callable[..., Tensor], step: Callable[..., tuple[Tensor, ...]], values: tuple[Tensor, ...]
) -> tuple[Tensor, ...]:
    """Values after as many steps as a condition on them asks for, also where torch compiles or exports."""
    if torch.compiler.is_compiling():
        return torch.while_loop(goes_on, step, values)  # type: ignore[attr-defined, no-any-return]
    while goes_on(*values):
        values = step(*values)
    return values
