"""Whether a number that follows from sizes is the same for all of them, as that of the parts of ``x.chunk(2)``."""

from __future__ import annotations

import itertools
import math
from collections.abc import Mapping
from typing import Any

import sympy
from torch.utils._sympy import functions as torch_functions
from torch.utils._sympy.value_ranges import ValueRanges

_MOST = 64  # cases of a proof
_DIVISIONS = (torch_functions.FloorDiv, torch_functions.CleanDiv, torch_functions.Mod, torch_functions.PythonMod)


def is_constant(expression: sympy.Expr, known: Mapping[sympy.Symbol, ValueRanges[Any]]) -> bool:
    """Whether an integer expression can be shown to have one value.

    For every remainder r of sizes by the numbers that the expression divides by, the sizes are ``n * k + r``. Then
    inner quotients are sums, and an outer one is q where q times the divisor fits, and q + 1 times does not.

    Args:
        expression: of few symbols.
        known: the range of each symbol, of positive numbers.
    """
    symbols = sorted(expression.free_symbols, key=str)
    period = math.lcm(*(int(d) for part in expression.atoms(*_DIVISIONS) if (d := part.args[1]).is_Integer and d > 0))
    if not symbols or period ** len(symbols) > _MOST or not all(known[s].lower.is_Integer for s in symbols):
        return False
    values = set()
    for remainders in itertools.product(range(period), repeat=len(symbols)):
        sizes, least = {}, {}
        for symbol, remainder in zip(symbols, remainders, strict=True):
            times = sympy.Symbol(f"{symbol}_times", integer=True, nonnegative=True)
            sizes[symbol] = period * times + remainder
            least[times] = max(0, math.ceil((int(known[symbol].lower) - remainder) / period))
        values.add(_value(expression.xreplace(sizes), least))
    return len(values) == 1 and None not in values


def _value(expression: sympy.Expr, least: Mapping[sympy.Symbol, int]) -> int | None:
    """The only value of a number or of a quotient of sums, or None."""
    if expression.is_Integer:
        return int(expression)
    if not isinstance(expression, torch_functions.FloorDiv):
        return None
    above, below = expression.args
    at_least = expression.xreplace(dict(least))
    if not at_least.is_Integer or not _is_positive(below, least):
        return None
    found = int(at_least)
    fits = _is_positive(above - found * below + 1, least) and _is_positive((found + 1) * below - above, least)
    return found if fits else None


def _is_positive(number: sympy.Expr, least: Mapping[sympy.Symbol, int]) -> bool:
    """Whether a polynomial of symbols is above zero wherever they are at least so large: it grows with each."""
    number = sympy.expand(number)
    for term, factor in number.as_coefficients_dict().items():
        if term != 1 and (factor < 0 or not term.is_polynomial() or not term.free_symbols <= least.keys()):
            return False
    return bool(number.xreplace(dict(least)) > 0)
