"""Sizes that Python rounds to whole numbers, as quotients of whole numbers.

`math.ceil(n / 3)`, `int(n / (h * w))`, and the length of `torch.arange(n - 1, -1, -1.0)`, are floats that are rounded.
Rounding gives what `//` gives where the float is the number itself whenever floats hold that number, and is close to it
otherwise: the next whole number is then farther away than the float's own rounding reaches.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from fractions import Fraction

import sympy
from torch.utils._sympy import functions as torch_functions

_ROUNDINGS = (
    torch_functions.CeilToInt,
    torch_functions.FloorToInt,
    torch_functions.TruncToInt,
    torch_functions.RoundToInt,
)
_DIVISIONS = (torch_functions.IntTrueDiv, torch_functions.FloatTrueDiv)
# Numerators and denominators of factors. With sizes below 2**32 both sides of a quotient stay below 2**48, so that one
# that is not whole differs from the next whole number by 2**-48 of itself; a float has 53 bits.
_LARGEST = 2**16


@dataclass(frozen=True)
class _Scaled:
    """A float that follows from sizes: ``whole * factor / by``, rounded after some of the steps.

    It is the number itself wherever floats hold this number.

    Attributes:
        whole: an expression that is an integer.
        factor: the fraction.
        by: an expression that is an integer, not zero.
        exact: whether floats hold the number for all sizes.
    """

    whole: sympy.Expr
    factor: Fraction = Fraction(1)
    by: sympy.Expr = sympy.S.One
    exact: bool = True


def whole_quotient(
    expression: sympy.Expr, is_nonnegative: Callable[[sympy.Expr], bool | None] = lambda number: number.is_nonnegative
) -> sympy.Expr | None:
    """The expression with `//` in the place of a rounded float, or None where the two may differ.

    Args:
        expression: a rounding of torch (`CeilToInt`, `FloorToInt`, `TruncToInt`, `RoundToInt`); of anything else the
            result is None.
        is_nonnegative: whether an integer expression is never negative.
    """
    scaled = _scaled(expression.args[0]) if isinstance(expression, _ROUNDINGS) else None
    if scaled is None:
        return None
    above, below = scaled.whole * scaled.factor.numerator, scaled.by * scaled.factor.denominator
    divide = torch_functions.FloorDiv
    if isinstance(expression, torch_functions.FloorToInt):
        return divide(above, below)
    if not is_nonnegative(below):
        return None
    if isinstance(expression, torch_functions.CeilToInt):
        return divide(above + below - 1, below)
    if not is_nonnegative(above):
        return None
    if isinstance(expression, torch_functions.TruncToInt):
        return divide(above, below)
    # a half goes to the even neighbour
    odd = 0 if below.is_odd else torch_functions.Mod(divide(above, below), sympy.Integer(2))
    return divide(2 * above + below - 1 + odd, 2 * below)


def _scaled(expression: sympy.Expr) -> _Scaled | None:
    if isinstance(expression, _ROUNDINGS):
        inside = whole_quotient(expression)
        return None if inside is None else _Scaled(inside)
    if expression.is_integer:
        return _Scaled(expression)
    if isinstance(expression, torch_functions.ToFloat):
        return _scaled(expression.args[0])
    if isinstance(expression, _DIVISIONS):
        inner, number = _scaled(expression.args[0]), _fraction(expression.args[1])
        if inner is None:
            return None
        if number is not None:
            return _times(inner, 1 / number) if number else None
        by = _scaled(expression.args[1])
        return _over(inner, by) if by is not None else None
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
    """The product with a number, or None where it is a float's neighbour although floats hold it."""
    factor = scaled.factor * number
    if max(abs(factor.numerator), factor.denominator) > _LARGEST:
        return None
    # Where floats hold a quotient by a whole number, they hold what was divided. Of a product this is not so:
    # n / 10 * 3 may be next to a whole number.
    if not scaled.exact and not _is_power(abs(number.numerator)):
        return None
    return _judged(replace(scaled, factor=factor, exact=scaled.exact and _is_power(number.denominator)))


def _over(scaled: _Scaled, by: _Scaled) -> _Scaled | None:
    """The quotient by a float that is a whole number, or None where it may be next to one."""
    numerator, denominator = by.factor.numerator, by.factor.denominator
    if not by.exact or by.by != 1 or denominator != 1:
        return None
    factor = scaled.factor / numerator
    if max(abs(factor.numerator), factor.denominator) > _LARGEST:
        return None
    return _judged(replace(scaled, factor=factor, by=scaled.by * by.whole, exact=False))


def _judged(scaled: _Scaled) -> _Scaled:
    """A quotient that is known to be whole, as a whole number: floats hold it."""
    if scaled.exact and scaled.factor.denominator == 1:
        return scaled
    quotient = scaled.whole * scaled.factor.numerator / (scaled.by * scaled.factor.denominator)
    return _Scaled(quotient) if quotient.is_integer else scaled


def _is_power(number: int) -> bool:
    """Whether a positive whole number is a power of two."""
    return number & (number - 1) == 0
