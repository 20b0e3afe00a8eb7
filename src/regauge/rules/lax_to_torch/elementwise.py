"""Arithmetic: sums, products, quotients, powers, extrema and signs, with JAX's derivatives at kinks."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from regauge.rules.lax_to_torch.operands import Operand, array, dtype_of, word
from regauge.rules.lax_to_torch.unsigned import SIGNED, from_ordered, ordered, unsigned_div, unsigned_rem
from regauge.rules.table import RuleTable

TABLE = RuleTable("lax_to_torch.elementwise")


@TABLE.rule("lax.add", "lax.add_any")
def add(x: Operand, y: Operand) -> Tensor:
    """add(x, y)"""
    dtype = dtype_of(x, y)
    return (word(x, dtype) + word(y, dtype)).view(dtype) if dtype in SIGNED else x + y  # type: ignore[no-any-return]


@TABLE.rule("lax.sub")
def sub(x: Operand, y: Operand) -> Tensor:
    """sub(x, y)"""
    dtype = dtype_of(x, y)
    return (word(x, dtype) - word(y, dtype)).view(dtype) if dtype in SIGNED else x - y  # type: ignore[no-any-return]


@TABLE.rule("lax.mul")
def mul(x: Operand, y: Operand) -> Tensor:
    """mul(x, y)"""
    dtype = dtype_of(x, y)
    return (word(x, dtype) * word(y, dtype)).view(dtype) if dtype in SIGNED else x * y  # type: ignore[no-any-return]


@TABLE.rule("lax.div")
def div(x: Operand, y: Operand) -> Tensor:
    """div(x, y): of integers the quotient towards zero"""
    dtype = dtype_of(x, y)
    if dtype.is_floating_point or dtype.is_complex:
        return x / y  # type: ignore[no-any-return]
    if dtype in SIGNED:
        return unsigned_div(array(x, y), array(y, x))
    if not isinstance(y, Tensor) and y not in (0, -1):
        return torch.div(x, y, rounding_mode="trunc")
    return integer_div(array(x, y), array(y, x))


def integer_div(x: Tensor, y: Tensor) -> Tensor:
    """Quotients towards zero: -1 for a division by zero, and the smallest number divided by -1 stays what it is."""
    quotient = torch.div(x, torch.where(y.abs() <= 1, 1, y), rounding_mode="trunc")
    return torch.where(y == 0, -1, torch.where(y == 1, x, torch.where(y == -1, -x, quotient))).to(x.dtype)


@TABLE.rule("lax.rem")
def rem(x: Operand, y: Operand) -> Tensor:
    """rem(x, y): with the sign of x"""
    dtype = dtype_of(x, y)
    if dtype in SIGNED:
        return unsigned_rem(array(x, y), array(y, x))
    if dtype.is_floating_point or not (isinstance(y, Tensor) or y in (0, -1)):
        return torch.fmod(array(x, y), y)
    return integer_rem(array(x, y), array(y, x))


def integer_rem(x: Tensor, y: Tensor) -> Tensor:
    """Remainders with the sign of x; of a division by zero x itself."""
    return torch.where(y == 0, x, torch.fmod(x, torch.where(y.abs() <= 1, 1, y)))


@TABLE.rule("lax.mulhi")
def mulhi(x: Operand, y: Operand) -> Tensor:
    """mulhi(x, y): the upper half of the product's bits"""
    return upper_product(array(x, y), array(y, x))


def upper_product(x: Tensor, y: Tensor) -> Tensor:
    """The upper half of the bits of products of integers."""
    bits, is_signed = x.dtype.itemsize * 8, torch.iinfo(x.dtype).min < 0
    if bits < 64:
        return (x.to(torch.int64) * y.to(torch.int64) >> bits).to(x.dtype)
    a, b = x.view(torch.int64), y.view(torch.int64)
    low = (1 << 32) - 1
    a_low, a_high, b_low, b_high = a & low, a >> 32 & low, b & low, b >> 32 & low
    middle, other = a_low * b_high, a_high * b_low
    carry = (middle & low) + (other & low) + (a_low * b_low >> 32 & low)
    upper = a_high * b_high + (middle >> 32 & low) + (other >> 32 & low) + (carry >> 32)
    if is_signed:
        upper = upper + (a >> 63) * b + (b >> 63) * a
    return upper.view(x.dtype)


@TABLE.rule("lax.max")
def maximum(x: Operand, y: Operand) -> Tensor:
    """max(x, y): equal operands share the derivative"""
    dtype = dtype_of(x, y)
    if dtype.is_complex:
        return complex_maximum(array(x, y), array(y, x))
    if dtype in SIGNED:
        return from_ordered(torch.maximum(ordered(array(x, y)), ordered(array(y, x))), dtype)
    if not dtype.is_floating_point and dtype is not torch.bool and not isinstance(y, Tensor):
        return x.clamp(min=y)  # type: ignore[no-any-return]
    if not dtype.is_floating_point and dtype is not torch.bool and not isinstance(x, Tensor):
        return y.clamp(min=x)  # type: ignore[no-any-return]
    return torch.maximum(array(x, y), array(y, x))


@TABLE.rule("lax.min")
def minimum(x: Operand, y: Operand) -> Tensor:
    """min(x, y): equal operands share the derivative"""
    dtype = dtype_of(x, y)
    if dtype.is_complex:
        return -complex_maximum(-array(x, y), -array(y, x))
    if dtype in SIGNED:
        return from_ordered(torch.minimum(ordered(array(x, y)), ordered(array(y, x))), dtype)
    if not dtype.is_floating_point and dtype is not torch.bool and not isinstance(y, Tensor):
        return x.clamp(max=y)  # type: ignore[no-any-return]
    if not dtype.is_floating_point and dtype is not torch.bool and not isinstance(x, Tensor):
        return y.clamp(max=x)  # type: ignore[no-any-return]
    return torch.minimum(array(x, y), array(y, x))


def complex_maximum(x: Tensor, y: Tensor) -> Tensor:
    """The larger of complex numbers: by their real parts, then by their imaginary ones; halves of both where equal."""
    larger = torch.where(x.real == y.real, x.imag > y.imag, x.real > y.real)
    return torch.where(x == y, (x + y) / 2, torch.where(larger, x, y))


@TABLE.rule("lax.neg")
def neg(x: Tensor) -> Tensor:
    """neg(x)"""
    return (-x.view(SIGNED[x.dtype])).view(x.dtype) if x.dtype in SIGNED else -x


@TABLE.rule("lax.sign")
def sign(x: Tensor) -> Tensor:
    """sign(x): NaN of NaN and -0.0 of -0.0, without a derivative"""
    if x.dtype.is_complex:
        return x.sgn().detach()
    if x.dtype.is_floating_point:
        return torch.where(x.abs() > 0, x.sign(), x.detach())
    return (x != 0).to(x.dtype) if x.dtype in SIGNED else x.sign()


@TABLE.rule("lax.abs")
def absolute(x: Tensor) -> Tensor:
    """abs(x): its derivative at 0 is 1; the sum makes -0.0 a 0.0"""
    return torch.where(x < 0, -x, x + 0.0) if x.dtype.is_floating_point else x.abs()


@TABLE.rule("lax.square")
def square(x: Tensor) -> Tensor:
    """square(x)"""
    return (x.view(SIGNED[x.dtype]).square()).view(x.dtype) if x.dtype in SIGNED else x.square()


@TABLE.rule("lax.integer_pow")
def integer_pow(x: Tensor, y: int) -> Tensor:
    """integer_pow(x, *, y)"""
    if y == -1:
        return 1 / x
    if x.dtype in SIGNED:
        return (x.view(SIGNED[x.dtype]) ** y).view(x.dtype)
    if x.dtype.is_complex and y < 0:
        return 1 / multiplied(x, -y)
    if x.dtype.is_complex and y > 2:
        return multiplied(x, y)
    return x**y


def multiplied(x: Tensor, count: int) -> Tensor:
    """The power with a positive integer, by squaring: exact where logarithms of complex numbers are not."""
    result = None
    while count:
        if count % 2:
            result = x if result is None else result * x
        count //= 2
        x = x * x if count else x
    return torch.ones_like(x) if result is None else result


@TABLE.rule("lax.pow")
def power(x: Operand, y: Operand) -> Tensor:
    """pow(x, y)"""
    return x**y  # type: ignore[no-any-return]


@TABLE.rule("lax.floor")
def floor(x: Tensor) -> Tensor:
    """floor(x)"""
    return x.floor()


@TABLE.rule("lax.ceil")
def ceil(x: Tensor) -> Tensor:
    """ceil(x)"""
    return x.ceil()


@TABLE.rule("lax.round")
def round_to_integer(x: Tensor, rounding_method: str = "AWAY_FROM_ZERO") -> Tensor:
    """round(x, *, rounding_method)"""
    return x.round() if rounding_method == "TO_NEAREST_EVEN" else round_away(x)


def round_away(x: Tensor) -> Tensor:
    """The nearest integer; halves away from zero, and -0.0 where a negative number becomes zero."""
    whole = x.trunc()
    return torch.where((x - whole).abs() >= 0.5, whole + x.sign(), whole)


@TABLE.rule("lax.is_finite")
def is_finite(x: Tensor) -> Tensor:
    """is_finite(x)"""
    return x.isfinite()


@TABLE.rule("lax.nextafter")
def nextafter(x: Operand, y: Operand) -> Tensor:
    """nextafter(x, y)"""
    return torch.nextafter(array(x, y), array(y, x))


@TABLE.rule("lax.clamp")
def clamp(min: Operand, x: Tensor, max: Operand) -> Tensor:
    """clamp(min, x, max): no derivative at the bounds and beyond"""
    if x.dtype in SIGNED:
        low, high = ordered(array(min, x)), ordered(array(max, x))
        return from_ordered(ordered(x).clamp(low, high), x.dtype)
    if not x.dtype.is_floating_point:
        return x.clamp(min, max)
    if not isinstance(min, Tensor) and not isinstance(max, Tensor):
        return F.hardtanh(x, min, max)
    return clamp_between(x, array(min, x), array(max, x))


def clamp_between(x: Tensor, low: Tensor, high: Tensor) -> Tensor:
    """The middle one of three where low <= high; the derivative goes to x strictly inside, else to a bound."""
    bounded = torch.minimum(torch.maximum(x, low), high).detach()
    inside = torch.where((x > low) & (x < high), x, bounded)
    return torch.where(high < x, high, torch.where((low > x) & (low < high), low, inside))


@TABLE.rule("lax.select_n")
def select_n(which: Tensor, cases: tuple[Operand, ...], dtype: torch.dtype | None = None) -> Tensor:
    """select_n(which, *cases); a dtype where all cases are numbers"""
    if len(cases) == 1:
        return cases[0]  # type: ignore[no-any-return]
    if which.dtype is not torch.bool:
        return chosen(which, cases)
    if dtype is None:
        held = cases[0] if isinstance(cases[0], Tensor) else cases[1]
        if held.dtype in SIGNED:  # torch.compile chooses among no unsigned integers
            return torch.where(which, word(cases[1], held.dtype), word(cases[0], held.dtype)).view(held.dtype)
        return torch.where(which, cases[1], cases[0])
    if cases == (0, 1):
        return which if dtype is torch.bool else which.to(dtype)
    return torch.where(which, torch.tensor(cases[1], dtype=dtype, device=which.device), cases[0])


def chosen(which: Tensor, cases: tuple[Tensor, ...]) -> Tensor:
    """Of several arrays the elements that an index names; indices beyond the ends name the first or last array."""
    result = cases[0]
    for number in range(1, len(cases)):
        result = torch.where(which >= number, cases[number], result)
    return result


@TABLE.rule("lax.complex")
def make_complex(x: Operand, y: Operand) -> Tensor:
    """complex(x, y)"""
    return torch.complex(array(x, y), array(y, x))


@TABLE.rule("lax.real")
def real(x: Tensor) -> Tensor:
    """real(x)"""
    return x.real


@TABLE.rule("lax.imag")
def imag(x: Tensor) -> Tensor:
    """imag(x)"""
    return x.imag


@TABLE.rule("lax.conj")
def conj(x: Tensor, input_dtype: torch.dtype | None = None) -> Tensor:
    """conj(x, *, input_dtype)"""
    return x.conj() if x.dtype.is_complex else torch.complex(x, torch.zeros_like(x))
