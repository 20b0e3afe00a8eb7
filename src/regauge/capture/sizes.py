"""Sizes of torch's symbolic shapes as text over the graph's own symbol names."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import sympy
import torch
from torch.utils._sympy import functions as torch_functions

from regauge.capture.whole_quotients import whole_quotient
from regauge.errors import CaptureError
from regauge.ir.graph import Dim, Sym, TensorSpec

_FLOOR_DIVISIONS = (torch_functions.FloorDiv, torch_functions.CleanDiv)
_MODULOS = (torch_functions.Mod, torch_functions.PythonMod, sympy.Mod)
_TRUE_DIVISIONS = (torch_functions.IntTrueDiv, torch_functions.FloatTrueDiv)
_NAMED = {"Max": "max", "Min": "min", "Abs": "abs", "ToFloat": "float"}

# binding strength of what an expression is printed as
_SUM, _PRODUCT, _POWER, _ATOM = range(4)


class NoCounterpart(CaptureError):
    """A size is a formula of others that Python does not write with `//` and the like."""

    def __init__(self, expression: sympy.Expr) -> None:
        self.expression = expression
        super().__init__(
            f"a size is computed in a way that has no counterpart: {expression}",
            code="C105",
            next="compute sizes with +, -, *, //, %, min and max only",
        )


def dtype_name(dtype: torch.dtype) -> str:
    """``float32`` of ``torch.float32``."""
    return str(dtype).removeprefix("torch.")


@dataclass
class Sizes:
    """Names for symbols, and the text of every size expression.

    Attributes:
        names: torch's symbol (``s77``) -> the graph's (``batch``).
    """

    names: Mapping[str, str] = field(default_factory=dict)
    _texts: dict[sympy.Expr, Dim | float] = field(default_factory=dict)

    def dim(self, size: Any) -> Dim:
        """An int or SymInt as an int or a `Sym`."""
        if type(size) is int:
            return size
        found = self.scalar(size)
        if isinstance(found, float):
            raise CaptureError(f"the size {size} is not an integer")
        return found

    def scalar(self, size: Any) -> Dim | float:
        """A SymInt or SymFloat as a number, or as a `Sym` where it depends on symbols."""
        if not isinstance(size, torch.SymInt | torch.SymFloat):
            return size
        expression = size.node.expr
        if expression not in self._texts:
            self._texts[expression] = self._convert(expression)
        return self._texts[expression]

    def spec(self, tensor: torch.Tensor) -> TensorSpec:
        """Shape and dtype of a (fake) tensor."""
        return TensorSpec(tuple(self.dim(size) for size in tensor.shape), dtype_name(tensor.dtype))

    def _convert(self, expression: sympy.Expr) -> Dim | float:
        if expression.is_Integer:
            return int(expression)
        if expression.is_number:
            return float(expression)
        return Sym(self._text(expression, _SUM))

    def _text(self, expression: sympy.Expr, around: int) -> str:
        text, strength = self._print(expression)
        return f"({text})" if strength < around else text

    def _print(self, expression: sympy.Expr) -> tuple[str, int]:
        if expression.is_Symbol:
            return self.names.get(expression.name, expression.name), _ATOM
        if expression.is_Integer:
            return str(expression), _ATOM if expression >= 0 else _SUM
        if expression.is_number:
            return repr(float(expression)), _ATOM
        if expression.is_Add:
            return self._sum(expression), _SUM
        if expression.is_Mul:
            factors = sorted(_beside_floats(expression.args), key=lambda factor: not factor.is_number)
            return " * ".join(self._text(factor, _POWER) for factor in factors), _PRODUCT
        if expression.is_Pow:
            base, exponent = expression.args
            return f"{self._text(base, _ATOM)} ** {self._text(exponent, _ATOM)}", _POWER
        return self._function(expression)

    def _sum(self, expression: sympy.Expr) -> str:
        text = ""
        for term in sorted(
            _beside_floats(expression.args), key=lambda term: (term.is_number, _is_negative(term), str(term))
        ):
            if _is_negative(term):
                text += f" - {self._text(-term, _PRODUCT)}" if text else self._text(term, _PRODUCT)
            else:
                text += f" + {self._text(term, _PRODUCT)}" if text else self._text(term, _PRODUCT)
        return text

    def _function(self, expression: sympy.Expr) -> tuple[str, int]:
        name, arguments = type(expression).__name__, expression.args
        if isinstance(expression, _FLOOR_DIVISIONS):
            return self._binary("//", arguments), _PRODUCT
        if isinstance(expression, _MODULOS):
            return self._binary("%", arguments), _PRODUCT
        if isinstance(expression, _TRUE_DIVISIONS):
            return self._binary("/", _plain(arguments)), _PRODUCT
        if isinstance(expression, torch_functions.PowByNatural | torch_functions.FloatPow):
            base, exponent = _plain(arguments)
            return f"{self._text(base, _ATOM)} ** {self._text(exponent, _ATOM)}", _POWER
        if name in _NAMED:
            return f"{_NAMED[name]}({', '.join(self._text(a, _SUM) for a in arguments)})", _ATOM
        if name == "OpaqueUnaryFn_sqrt":
            return f"{self._text(_plain(arguments)[0], _ATOM)} ** 0.5", _POWER
        whole = whole_quotient(expression)
        if whole is not None:
            return self._print(whole)
        raise NoCounterpart(expression)

    def _binary(self, operator: str, arguments: Sequence[sympy.Expr]) -> str:
        left, right = arguments
        return f"{self._text(left, _PRODUCT)} {operator} {self._text(right, _POWER)}"


def _plain(operands: Iterable[sympy.Expr]) -> list[sympy.Expr]:
    """Operands without the conversions of integers to floats, which the operator does as well."""
    return [item.args[0] if isinstance(item, torch_functions.ToFloat) else item for item in operands]


def _beside_floats(operands: tuple[sympy.Expr, ...]) -> Sequence[sympy.Expr]:
    return _plain(operands) if any(item.is_Float for item in operands) else operands


def _is_negative(term: sympy.Expr) -> bool:
    return bool(term.could_extract_minus_sign()) and not term.is_Symbol


@dataclass(frozen=True)
class FreeSize:
    """A symbol of torch, and where it is read from inputs.

    Attributes:
        symbol: whose whole numbers the size may be.
        hint: its value in the example.
        place: input and axis that it is the size of, or of which it is a part.
        part: whether the axis is a multiple of it, or so many more than it.
    """

    symbol: sympy.Symbol
    hint: int
    place: tuple[int, int]
    part: bool = False


def symbols_of(tensors: Sequence[torch.Tensor]) -> list[FreeSize]:
    """The free symbols in the sizes of tensors, in order: of axes that are one each, then of which axes are a multiple.

    An axis of any even size is `2 * s`, and `s` need not be the size of an axis.
    """
    found: dict[str, FreeSize] = {}
    sizes: list[tuple[sympy.Expr, int, tuple[int, int]]] = []
    for number, tensor in enumerate(tensors):
        for axis, size in enumerate(tensor.shape):
            if isinstance(size, torch.SymInt):
                sizes.append((size.node.expr, int(size.node.hint), (number, axis)))
    for expression, hint, place in sizes:
        if expression.is_Symbol:
            found.setdefault(expression.name, FreeSize(expression, hint, place))
    for expression, hint, place in sizes:
        for symbol in expression.free_symbols if len(expression.free_symbols) == 1 else ():
            factor, rest = expression.coeff(symbol, 1), expression.coeff(symbol, 0)
            whole = factor.is_Integer and rest.is_Integer and factor > 0
            if whole and sympy.expand(factor * symbol + rest - expression) == 0:
                own = (hint - int(rest)) // int(factor)
                found.setdefault(symbol.name, FreeSize(symbol, own, place, part=True))
    return list(found.values())
