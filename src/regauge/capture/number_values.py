"""``x.item()`` while a model is traced: the number stays a tensor, without axes and without a gradient.

Python's number is not known before the model runs. What a model computes with it, tensors compute as well; what needs a
number of Python (a size, a loop, a text) asks again, and is refused there. Tensors that stand for numbers are marked:
``n += 1`` gives a new one and leaves the old as it was, as it does with numbers.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from regauge.capture import known_values
from regauge.capture.source_lines import is_own

_MARK = "_regauge_number"
_KINDS = (bool, int, float, complex)
# What `n += 1` calls, and what gives a new number instead.
_NEW = {
    getattr(Tensor, f"{name}_"): getattr(Tensor, name)
    for name in ("add", "sub", "mul", "div", "floor_divide", "remainder", "pow", "bitwise_and", "bitwise_or")
} | {Tensor.__ipow__: Tensor.pow}


@dataclass
class Numbers:
    """How numbers of tensors are taken in a capture.

    Attributes:
        as_tensors: whether `.item()` gives a tensor.
        used: whether one was given in the newest trace.
    """

    as_tensors: bool = True
    used: bool = False

    def learn(self) -> bool:
        """Whether a capture that failed may be tried again: a tensor stood for a number in it.

        What torch says of the number itself is better to read than what fails because of the tensor.
        """
        again = self.as_tensors and self.used
        self.as_tensors = self.as_tensors and not self.used
        return again

    @contextmanager
    def in_place(self) -> Iterator[None]:
        """Within the block numbers that a person's code asks for are tensors."""
        self.used = False
        with _Kept(self):
            yield


class _Kept(TorchFunctionMode):
    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self._numbers = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.item and self._numbers.as_tensors and _is_unknown(args[0]) and _asked_by_own():
            self._numbers.used = True
            return standing_for(_kind(args[0]), as_number(args[0]))
        if func is Tensor.__format__ and args[0].numel() == 1 and known_values.is_known(args[0]):
            return format(args[0].item(), *args[1:])
        given = [leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
        if not given or any(kind_of_number(tensor) is None for tensor in given):
            return func(*args, **(kwargs or {}))
        made = _NEW.get(func, func)(*args, **(kwargs or {}))
        return standing_for(_kind(made), made) if isinstance(made, Tensor) and not made.ndim else made


def standing_for(kind: type, tensor: Tensor) -> Tensor:
    """The tensor, which stands for a number of Python of this type from now on."""
    setattr(tensor, _MARK, kind)
    return tensor


def kind_of_number(value: Any) -> type | None:
    """bool, int, float or complex for a number of Python, and for a tensor that stands for one; else None."""
    return type(value) if type(value) in _KINDS else getattr(value, _MARK, None) if isinstance(value, Tensor) else None


def _kind(tensor: Tensor) -> type:
    if tensor.dtype == torch.bool:
        return bool
    return complex if tensor.is_complex() else float if tensor.is_floating_point() else int


def as_number(value: Tensor) -> Tensor:
    """A tensor of one element as ``value.item()`` gives it: without axes and gradient, half precision widened."""
    plain = value.detach().reshape(())
    return plain.float() if plain.dtype in (torch.float16, torch.bfloat16) else plain


def _is_unknown(tensor: Any) -> bool:
    return isinstance(tensor, Tensor) and tensor.numel() == 1 and not known_values.is_known(tensor)


def _asked_by_own() -> bool:
    """Whether a person's code made the call that reaches the mode, past the modes above it."""
    frame = sys._getframe(2)
    while frame.f_code.co_name == "__torch_function__" and frame.f_back is not None:
        frame = frame.f_back
    return is_own(frame.f_code.co_filename)
