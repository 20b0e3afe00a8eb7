"""One value of two: what a condition on values gives, from what its two ways give."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from regauge.capture.number_values import kind_of_number, standing_for
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError

DTYPES: dict[type, torch.dtype] = {bool: torch.bool, int: torch.int64, float: torch.float64}


class OtherWayFirst(Exception):
    """The way that was traced first gives a number where the other gives a tensor, which says what dtype it gets."""


class Unset:
    """The value of a name that one way does not set, and that had none before: whatever uses it is refused."""

    def __init__(self, name: str) -> None:
        self._name = name

    def _used(self, *_: Any, **__: Any) -> Any:
        raise CaptureError(
            f"{self._name} is set in one way of a condition on values, and used after both",
            code="C104",
            where=line_of_caller(),
            why="a captured graph is one sequence of operators for all values",
            next="give it a value before the condition, or in both ways",
        )

    def __getattr__(self, name: str) -> Any:
        return self._used()

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        next(leaf for leaf in pytree.tree_leaves((args, kwargs)) if isinstance(leaf, cls))._used()


for _operation in ("bool", "add", "radd", "sub", "rsub", "mul", "rmul", "truediv", "rtruediv", "lt", "gt", "getitem"):
    setattr(Unset, f"__{_operation}__", Unset._used)


@dataclass(frozen=True)
class Joined:
    """One leaf of two results: two tensors, or what is the same in both and no tensor."""

    first: Tensor | None = None
    second: Tensor | None = None
    plain: Any = None
    number: type | None = None  # bool, int or float, if the tensors stand for numbers

    def result(self, made: Iterator[Tensor]) -> Any:
        """What the person's code goes on with."""
        if self.first is None:
            return self.plain
        tensor = next(made)
        if self.number is not None:
            standing_for(self.number, tensor)
        return tensor

    @classmethod
    def of(cls, first: Any, first_tensor: Any, second: Any, place: str, swapped: bool) -> Joined:
        """The leaves `first` and `second`, `first_tensor` the first as a tensor if it is a number of Python.

        Raises:
            CaptureError: they cannot be one value.
        """
        for leaf in (first, second):
            if isinstance(leaf, Unset):
                return cls(plain=leaf)
        if first is second:  # a tensor that was there before, and that the ways may have written to
            return cls(plain=first)
        tensors = [isinstance(leaf, Tensor) for leaf in (first, second)]
        if not any(tensors) and type(first) is type(second) and first == second:
            return cls(plain=first)
        kinds = [kind_of_number(leaf) for leaf in (first, second)]
        kind = kinds[0] if kinds[0] is kinds[1] else None
        if not any(tensors) and kind in DTYPES:
            return cls(first_tensor, as_tensor(second), number=kind)
        fits = kinds[1] in DTYPES and tensors[0] and torch.can_cast(DTYPES[kinds[1]], first.dtype)
        if fits:
            return cls(first, _like(first, second), number=kind)
        if tensors[1] and kinds[0] in DTYPES and not swapped:
            raise OtherWayFirst(place)
        if all(tensors):
            return cls(first, second, number=kind)
        raise not_joined(first, second)


def as_tensor(leaf: Any) -> Any:
    return torch.full((), leaf, dtype=DTYPES[type(leaf)]) if type(leaf) in DTYPES else leaf


def _like(tensor: Tensor, number: Any) -> Tensor:
    """A number of Python, or a tensor that stands for one, with the shape and dtype of a tensor."""
    if isinstance(number, Tensor):
        return number.to(tensor.dtype).expand(tensor.shape)
    return torch.full(tensor.shape, number, dtype=tensor.dtype)


def not_joined(first: Any, second: Any) -> CaptureError:
    kinds = [f"a tensor of {list(v.shape)}" if isinstance(v, Tensor) else repr(v)[:60] for v in (first, second)]
    return CaptureError(
        "the two ways of a condition on values do not give the same kind of thing",
        code="C104",
        where=line_of_caller(),
        received=" or ".join(kinds),
        why="a captured graph is one sequence of operators for all values",
        next="let both ways give tensors of one shape and dtype",
    )
