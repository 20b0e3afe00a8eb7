"""``x.item()`` while a model is traced: the number stays a tensor, without axes and without a gradient.

Python's number is not known before the model runs. What a model computes with it, tensors compute as well; what needs a
number of Python (a size, a loop, a text) asks again, and is refused there.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode

from regauge.capture import known_values
from regauge.capture.source_lines import is_own


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
        with _Kept(self) if self.as_tensors else nullcontext():
            yield


class _Kept(TorchFunctionMode):
    def __init__(self, numbers: Numbers) -> None:
        super().__init__()
        self._numbers = numbers

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func is Tensor.item and _is_unknown(args[0]) and _asked_by_own():
            self._numbers.used = True
            return as_number(args[0])
        return func(*args, **(kwargs or {}))


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
