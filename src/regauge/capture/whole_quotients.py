"""Sizes that Python rounds to whole numbers, as quotients of whole numbers.

`math.ceil(n / 3)`, and the length of `torch.arange(n - 1, -1, -1.0)`, are floats that torch rounds. Where the float is
a whole number times a fraction that floats hold, or divided by a whole number, and that once, rounding it gives what
`//` gives: the next whole number is farther away than the float's own rounding reaches.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

import sympy
from torch.utils._sympy import functions as torch_functions

_ROUNDINGS = (torch_functions.CeilToInt, torch_functions.FloorToInt, torch_functions.TruncToInt)
_DIVISIONS = (torch_functions.IntTrueDiv, torch_functions.FloatTrueDiv)
_LARGEST = 2**20  # of numerators and denominators: with sizes below 2**32 the products fit a float's 53 bits


@dataclass(frozen=True)
class _Scaled:
    """A float: a whole number times a fraction.

    Attributes:
        whole: an expression that is an integer.
        factor: the fraction.
        exact: whether the float is this number itself, and not the nearest that a float holds.
    """

    whole: sympy.Expr
    factor: Fraction = Fraction(1)
    exact: bool = True


def whole_quotient(expression: sympy.Expr) -> sympy.Expr | None:
    """The expression with `//` in the place of a rounded float, or None where the two may differ.

    Args:
        expression: a rounding of torch (`CeilToInt`, `FloorToInt`, `TruncToInt`); of anything else the result is None.
    """
    scaled = _scaled(expression.args[0]) if isinstance(expression, _ROUNDINGS) else None
    if scaled is None:
        return None
    numerator, denominator = scaled.whole * scaled.factor.numerator, scaled.factor.denominator
    if isinstance(expression, torch_functions.TruncToInt) and not numerator.is_nonnegative:
        return None
    if isinstance(expression, torch_functions.CeilToInt):
        numerator += denominator - 1
    return torch_functions.FloorDiv(numerator, sympy.Integer(denominator))


def _scaled(expression: sympy.Expr) -> _Scaled | None:
    if expression.is_integer:
        return _Scaled(expression)
    if isinstance(expression, torch_functions.ToFloat):
        return _scaled(expression.args[0])
    if isinstance(expression, _DIVISIONS):
        inner, number = _scaled(expression.args[0]), _fraction(expression.args[1])
        return _times(inner, 1 / number) if inner is not None and number else None
    if expression.is_Mul and len(expression.args) == 2 and expression.args[0].is_number:
        inner, number = _scaled(expression.args[1]), _fraction(expression.args[0])
        return _times(inner, number) if inner is not None and number else None
    return None


def _fraction(number: sympy.Expr) -> Fraction | None:
    """A number that is not too long, exactly; None otherwise."""
    if not number.is_number:
        return None
    found = Fraction(float(number))
    return found if max(abs(found.numerator), found.denominator) <= _LARGEST else None


def _times(scaled: _Scaled, number: Fraction) -> _Scaled | None:
    factor = scaled.factor * number
    if max(abs(factor.numerator), factor.denominator) > _LARGEST:
        return None
    if _is_power(abs(number.numerator)) and _is_power(number.denominator):
        return replace(scaled, factor=factor)
    exact = _is_power(number.denominator)
    return replace(scaled, factor=factor, exact=exact) if scaled.exact else None


def _is_power(number: int) -> bool:
    """Whether a positive whole number is a power of two."""
    return number & (number - 1) == 0
