"""What partial evaluation knows about the arguments of a rule: arrays, modules, dtypes and symbolic sizes."""

from __future__ import annotations

import ast
import functools
import math
from dataclasses import dataclass
from typing import Any

from regauge.ir.graph import Sym, TensorSpec


class NotStatic(Exception):
    """The value depends on what is only known when the program runs."""


@dataclass(frozen=True)
class ArrayArgument:
    """An array operand: the expression that stands for it, and what is known about it."""

    expression: ast.expr
    spec: TensorSpec


@dataclass(frozen=True)
class ModuleArgument:
    """A module passed as a callable (an nnx.Dropout): only its expression is known."""

    expression: ast.expr


@dataclass(frozen=True)
class DTypeArgument:
    """A dtype: the object that rules compare with, and how it is written."""

    value: Any
    text: str


class SymbolicInt:
    """A size that is known by name only. Sizes are never negative; no other comparison is decided.

    To a rule that asks it is a number of Python: a float where its formula divides or has a float, else an int.
    """

    def __init__(self, text: str) -> None:
        self.text = text

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        return float if _is_float(self.text) else int

    def __repr__(self) -> str:
        return self.text

    def __hash__(self) -> int:
        return hash(self.text)

    def __eq__(self, other: object) -> bool:
        if isinstance(other, SymbolicInt) and other.text == self.text:
            return True
        if isinstance(other, int) and other < 0:
            return False
        raise NotStatic(self.text)

    def __lt__(self, other: Any) -> bool:
        if isinstance(other, int) and other <= 0:
            return False
        raise NotStatic(self.text)

    def __ge__(self, other: Any) -> bool:
        return not self < other

    def __le__(self, other: Any) -> bool:
        if isinstance(other, int) and other < 0:
            return False
        raise NotStatic(self.text)

    def __gt__(self, other: Any) -> bool:
        return not self <= other

    def __bool__(self) -> bool:
        raise NotStatic(self.text)

    def __index__(self) -> int:
        raise NotStatic(self.text)

    def _combine(self, symbol: str, other: Any, reverse: bool = False) -> SymbolicInt:
        if not isinstance(other, int | SymbolicInt):
            raise NotStatic("arithmetic on an array")
        left, right = (other, self) if reverse else (self, other)
        return SymbolicInt(f"{_operand(left)} {symbol} {_operand(right)}")

    def __add__(self, other: Any) -> SymbolicInt:
        return self._combine("+", other)

    def __radd__(self, other: Any) -> SymbolicInt:
        return self._combine("+", other, True)

    def __sub__(self, other: Any) -> SymbolicInt:
        return self._combine("-", other)

    def __rsub__(self, other: Any) -> SymbolicInt:
        return self._combine("-", other, True)

    def __mul__(self, other: Any) -> SymbolicInt:
        return self._combine("*", other)

    def __rmul__(self, other: Any) -> SymbolicInt:
        return self._combine("*", other, True)

    def __floordiv__(self, other: Any) -> SymbolicInt:
        return self._combine("//", other)

    def __mod__(self, other: Any) -> SymbolicInt:
        return self._combine("%", other)


@functools.cache
def _is_float(text: str) -> bool:
    """Whether a formula of sizes gives a float."""
    return any(
        isinstance(part, ast.Div)
        or isinstance(getattr(part, "value", None), float)
        or (isinstance(part, ast.Name) and part.id == "float")
        for part in ast.walk(ast.parse(text, mode="eval"))
    )


def _operand(size: int | SymbolicInt) -> str:
    """The text of a size as a part of a longer expression."""
    return repr(size) if repr(size).isidentifier() or repr(size).isdecimal() else f"({size!r})"


class ArrayProxy:
    """What a rule may ask of an array before it has values: rank, dtype, fixed sizes, element count, its class."""

    def __init__(self, spec: TensorSpec, dtype: Any, array_type: type | None = None) -> None:
        self._array_type = array_type
        self.spec = spec
        self.ndim = len(spec.shape)
        self.dtype = dtype
        self.shape = tuple(SymbolicInt(d.text) if isinstance(d, Sym) else d for d in spec.shape)

    @property  # type: ignore[misc]
    def __class__(self) -> type:  # type: ignore[override]
        """`isinstance(x, Tensor)` holds for what will be one."""
        return self._array_type or ArrayProxy

    @property
    def size(self) -> int:
        known = [d for d in self.shape if not isinstance(d, SymbolicInt)]
        if len(known) != len(self.shape):
            raise NotStatic("size")
        return math.prod(known)

    def __bool__(self) -> bool:
        raise NotStatic("truth of an array")

    def __len__(self) -> int:
        size = self.shape[0]
        if isinstance(size, SymbolicInt):
            raise NotStatic("length")
        return size

    def _refuse(self, *_: Any) -> Any:
        raise NotStatic("arithmetic on an array")

    __add__ = __radd__ = __sub__ = __rsub__ = __mul__ = __rmul__ = __truediv__ = __rtruediv__ = _refuse
    __lt__ = __le__ = __gt__ = __ge__ = __neg__ = __matmul__ = __getitem__ = __pow__ = __rpow__ = _refuse
    __eq__ = __ne__ = _refuse  # type: ignore[assignment]
    __hash__ = None  # type: ignore[assignment]

    def __iter__(self) -> Any:
        raise NotStatic("iteration over an array")
