"""Elementary functions: torch has them under the same names."""

from __future__ import annotations

import torch
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand, array, dtype_of
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.functions")


@TABLE.rule("lax.exp")
def exp(x: Tensor) -> Tensor:
    """exp(x)"""
    return x.exp()


@TABLE.rule("lax.exp2")
def exp2(x: Tensor) -> Tensor:
    """exp2(x)"""
    return x.exp2()


@TABLE.rule("lax.expm1")
def expm1(x: Tensor) -> Tensor:
    """expm1(x)"""
    return x.expm1()


@TABLE.rule("lax.log")
def log(x: Tensor) -> Tensor:
    """log(x)"""
    return x.log()


@TABLE.rule("lax.log1p")
def log1p(x: Tensor) -> Tensor:
    """log1p(x)"""
    return x.log1p()


@TABLE.rule("lax.logistic")
def logistic(x: Tensor) -> Tensor:
    """logistic(x)"""
    return x.sigmoid()


@TABLE.rule("lax.sqrt")
def sqrt(x: Tensor) -> Tensor:
    """sqrt(x)"""
    return x.sqrt()


@TABLE.rule("lax.rsqrt")
def rsqrt(x: Tensor) -> Tensor:
    """rsqrt(x)"""
    return x.rsqrt()


@TABLE.rule("lax.cbrt")
def cbrt(x: Tensor) -> Tensor:
    """cbrt(x)"""
    return cube_root(x)


def cube_root(x: Tensor) -> Tensor:
    """The real cube root; one step of Newton's method makes up for 1/3, which no float holds."""
    root = (x.abs() ** (1 / 3)).copysign(x)
    exact = root.detach()
    step = (exact - x.detach() / exact.square()) / 3
    return root - torch.where(step.isfinite(), step, 0)


@TABLE.rule("lax.sin")
def sin(x: Tensor) -> Tensor:
    """sin(x)"""
    return x.sin()


@TABLE.rule("lax.cos")
def cos(x: Tensor) -> Tensor:
    """cos(x)"""
    return x.cos()


@TABLE.rule("lax.tan")
def tan(x: Tensor) -> Tensor:
    """tan(x)"""
    return x.tan()


@TABLE.rule("lax.asin")
def asin(x: Tensor) -> Tensor:
    """asin(x)"""
    return x.asin()


@TABLE.rule("lax.acos")
def acos(x: Tensor) -> Tensor:
    """acos(x)"""
    return x.acos()


@TABLE.rule("lax.atan")
def atan(x: Tensor) -> Tensor:
    """atan(x)"""
    return x.atan()


@TABLE.rule("lax.atan2")
def atan2(x: Operand, y: Operand) -> Tensor:
    """atan2(x, y)"""
    return (
        complex_atan2(array(x, y), array(y, x)) if dtype_of(x, y).is_complex else torch.atan2(array(x, y), array(y, x))
    )


def complex_atan2(x: Tensor, y: Tensor) -> Tensor:
    """-i log((y + i x) / sqrt(x**2 + y**2))"""
    return -1j * ((y + 1j * x) / (x * x + y * y).sqrt()).log()


@TABLE.rule("lax.sinh")
def sinh(x: Tensor) -> Tensor:
    """sinh(x)"""
    return x.sinh()


@TABLE.rule("lax.cosh")
def cosh(x: Tensor) -> Tensor:
    """cosh(x)"""
    return x.cosh()


@TABLE.rule("lax.tanh")
def tanh(x: Tensor) -> Tensor:
    """tanh(x)"""
    return x.tanh()


@TABLE.rule("lax.asinh")
def asinh(x: Tensor) -> Tensor:
    """asinh(x)"""
    return x.asinh()


@TABLE.rule("lax.atanh")
def atanh(x: Tensor) -> Tensor:
    """atanh(x)"""
    return x.atanh()


@TABLE.rule("lax.erf")
def erf(x: Tensor) -> Tensor:
    """erf(x)"""
    return x.erf()


@TABLE.rule("lax.erfc")
def erfc(x: Tensor) -> Tensor:
    """erfc(x)"""
    return x.erfc()


@TABLE.rule("lax.erf_inv")
def erf_inv(x: Tensor) -> Tensor:
    """erf_inv(x)"""
    return x.erfinv()


@TABLE.rule("lax.lgamma")
def lgamma(x: Tensor) -> Tensor:
    """lgamma(x)"""
    return x.lgamma()


@TABLE.rule("lax.bessel_i0e")
def bessel_i0e(x: Tensor) -> Tensor:
    """bessel_i0e(x)"""
    return torch.special.i0e(x)


@TABLE.rule("lax.bessel_i1e")
def bessel_i1e(x: Tensor) -> Tensor:
    """bessel_i1e(x)"""
    return torch.special.i1e(x)
