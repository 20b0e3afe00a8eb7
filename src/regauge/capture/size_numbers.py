"""Numbers that Python makes of sizes, while a model is traced: `int(n / 2)`, `float(n)`, `len(x)`, `math.sqrt(n)`.

Python wants a number of its own from `int`, `float` and `len`, so that torch would fix the size. Functions that call
them on sizes run as `capture.size_calls` rewrites them: with the functions of this module, which give a size where it
is what Python would give for every size that there can be, and call the original otherwise.
"""

from __future__ import annotations

import builtins
import math
from collections.abc import Callable
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor
from torch.utils._sympy import functions as torch_functions

from regauge.capture.whole_quotients import whole_quotient

_ROOTS = (math.sqrt, np.sqrt)


def converted(function: Any, *arguments: Any) -> Any:
    """``function(*arguments)``, where the function may be `int`, `float`, `len`, `divmod` or the root of a size.

    Args:
        function: what the name stands for in the person's code.
        arguments: that it is called with.
    """
    match arguments:
        case (value,) if function is builtins.len:
            return length(value)
        case (torch.SymInt() as size,) if function is builtins.int:
            return size
        case (torch.SymFloat() as size,) if function is builtins.int:
            found = rounded(size, torch_functions.TruncToInt)
            return int(size) if found is None else found
        case (torch.SymInt() | torch.SymFloat() as size,) if function is builtins.float:
            return torch.sym_float(size)
        case (torch.SymInt() | torch.SymFloat() as size,) if function in _ROOTS:
            return torch.sym_sqrt(size)
        case (torch.SymInt() as number, torch.SymInt() | int() as by) if function is builtins.divmod:
            return number // by, number % by
        case _:
            return function(*arguments)


def numel(value: Any) -> Any:
    """``value.numel()``: of `torch.Size` a product, which may be symbolic."""
    return math.prod(value) if isinstance(value, torch.Size) else value.numel()


def each(function: Any) -> Callable[..., Any]:
    """What ``map`` is given in the place of a function."""
    return lambda *arguments: converted(function, *arguments)


def length(value: Any) -> Any:
    """``len(value)``, which may be symbolic."""
    plain = isinstance(value, Tensor) and value.ndim and type(value).__len__ is Tensor.__len__
    return value.shape[0] if plain else len(value)


def rounded(size: torch.SymFloat, rounding: type[sympy.Function]) -> torch.SymInt | int | None:
    """A float of sizes, rounded, as a quotient of whole numbers; None where that may be another number.

    Args:
        size: what is rounded.
        rounding: torch's function for it, such as `TruncToInt`.
    """
    env = size.node.shape_env
    if not size.node.has_hint():
        return None  # it depends on values

    def is_nonnegative(number: sympy.Expr) -> bool:
        return bool(number.is_nonnegative) or bool(env.bound_sympy(number).lower >= 0)

    quotient = whole_quotient(rounding(size.node.expr), is_nonnegative)
    if quotient is None:
        return None
    # torch proves more of a quotient of whole numbers than of a rounded float
    hint = int(rounding(sympy.Float(size.node.hint)))
    made: torch.SymInt | int = env.create_symintnode(quotient, hint=hint)
    return made
