"""Places that a tensor of one integer names, ``x[i]`` and ``x[:, i] = y``: torch would read its value for a view.

They become the operators of a tensor of indices, whose result is a new tensor. So what is written to ``x[i]``
afterwards must be put back, as ``x[i] += 1`` does, or the capture is refused; and after what is written to ``x``, parts
that were taken before are read again.
"""

from __future__ import annotations

import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._export.non_strict_utils import _NonStrictTorchFunctionHandler
from torch.overrides import TorchFunctionMode

from regauge.capture import known_values
from regauge.capture.source_lines import line_of_caller
from regauge.errors import CaptureError

_INTEGERS = (torch.int64, torch.int32, torch.int16, torch.int8)
_MARK = "_regauge_place"
# What gives another view of the same elements, or may; `__get__` is of properties: x.T, x.data.
_VIEWS = frozenset({
    "__get__", "__getitem__", "view", "view_as", "reshape", "reshape_as", "flatten", "unflatten", "ravel", "squeeze",
    "unsqueeze", "expand", "expand_as", "t", "transpose", "swapaxes", "swapdims", "permute", "movedim", "moveaxis",
    "narrow", "select", "diagonal", "unfold", "chunk", "split", "tensor_split", "unbind", "hsplit", "vsplit", "detach",
    "contiguous", "to", "type_as", "alias", "view_as_real", "view_as_complex", "real", "imag",
})  # fmt: skip


@contextmanager
def by_index() -> Iterator[None]:
    """Within the block such places are operators.

    Raises:
        CaptureError: something is written to a part that was taken by a tensor, and not put back.
    """
    mode = _ByIndex()
    own = _NonStrictTorchFunctionHandler._override

    def override(self: Any, func: Any, args: Any, kwargs: Any) -> Any:
        """What torch.export calls instead of a function; of an index it would ask the value."""
        if func is Tensor.__getitem__ and _split(*args) is not None:
            return func, args, kwargs
        return own(self, func, args, kwargs)

    with mock.patch.object(_NonStrictTorchFunctionHandler, "_override", override), mode:
        yield
    if mode.pending:
        raise _written(next(iter(mode.pending.values()))[1])


@dataclass
class _Part:
    """What was taken of a tensor, and how."""

    taken: weakref.ref[Tensor]
    whole: Tensor
    basic: tuple[Any, ...]
    indices: list[Tensor | None]

    def read(self) -> Tensor:
        part: Tensor = torch.ops.aten.index.Tensor(self.whole[self.basic], self.indices)
        return part


class _ByIndex(TorchFunctionMode):
    """Attributes: `pending` are the parts that were written to and not put back yet, by identity, with the lines."""

    def __init__(self) -> None:
        super().__init__()
        self.pending: dict[int, tuple[Tensor, str]] = {}
        self._parts: list[_Part] = []

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        target: Any = args[0] if args else None
        if func is Tensor.__getitem__ and (found := _split(target, args[1])) is not None:
            part = torch.ops.aten.index.Tensor(target[found[0]], found[1])
            places = [None if index is None else index.clone() for index in found[1]]  # which may count on
            self._parts.append(_Part(weakref.ref(part), target, found[0], places))
            return _marked(part)
        placed = None
        if func is Tensor.__setitem__:
            self.pending.pop(id(args[2]), None)
            placed = _split(target, args[1])
        result: Any = func(*args, **kwargs) if placed is None else _put(target, *placed, args[2])
        if self._parts and _writes(func, kwargs):
            self._read_again(target)
        if getattr(target, _MARK, False):
            if _writes(func, kwargs):  # which is what `x[i] += 1` calls before it puts it back
                self.pending[id(result)] = result, line_of_caller()
            elif getattr(func, "__name__", "") in _VIEWS:
                _marked(result)
        return result

    def _read_again(self, written: Any) -> None:
        """In torch the parts of a tensor are views, which are what was written to it or to another view of it."""
        self._parts = [part for part in self._parts if part.taken() is not None]
        for part in self._parts:
            taken = part.taken()
            if taken is not None and _memory(part.whole) == _memory(written):
                taken.copy_(part.read())


def _memory(tensor: Any) -> int | None:
    """Which memory a tensor looks at; None where it has none, as sparse tensors."""
    dense = isinstance(tensor, Tensor) and tensor.layout is torch.strided
    return tensor.untyped_storage()._cdata if dense else None


def _marked(parts: Any) -> Any:
    """A tensor, or several, that were taken by a tensor of one integer, with a mark of that."""
    for part in parts if isinstance(parts, tuple | list) else (parts,):
        if isinstance(part, Tensor):
            setattr(part, _MARK, True)
    return parts


def _writes(func: Any, kwargs: Mapping[str, Any]) -> bool:
    name = getattr(func, "__name__", "")
    in_place = name.endswith("_") and not name.endswith("__")
    return name == "__setitem__" or in_place or kwargs.get("inplace") is True


def _is_place(item: Any) -> bool:
    return isinstance(item, Tensor) and item.ndim == 0 and item.dtype in _INTEGERS and not known_values.is_known(item)


def _split(x: Tensor, index: Any) -> tuple[tuple[Any, ...], list[Tensor | None]] | None:
    """The basic part of an index, and for each axis of what it gives the tensor that names a place; None without any.

    None too where other tensors are among the indices.
    """
    items = index if isinstance(index, tuple) else (index,)
    if not any(map(_is_place, items)):
        return None
    if any(not (_is_place(item) or item is None or item is Ellipsis or _is_plain(item)) for item in items):
        return None
    used = sum(item is not None and item is not Ellipsis for item in items)
    basic: list[Any] = []
    indices: list[Tensor | None] = []
    for item in items:
        if item is Ellipsis:
            rest = x.ndim - used
            basic += [slice(None)] * rest
            indices += [None] * rest
        else:
            basic.append(slice(None) if _is_place(item) else item)
            indices += [item] if _is_place(item) else [] if not (item is None or isinstance(item, slice)) else [None]
    return tuple(basic), indices


def _is_plain(item: Any) -> bool:
    return isinstance(item, slice | int | torch.SymInt) and not isinstance(item, bool)


def _put(x: Tensor, basic: tuple[Any, ...], indices: list[Tensor | None], value: Any) -> Tensor:
    view = x[basic] if any(item != slice(None) for item in basic) else x
    value = value.to(x.dtype) if isinstance(value, Tensor) else torch.full((), value, dtype=x.dtype, device=x.device)
    ndim = view.ndim - sum(index is not None for index in indices)
    while value.ndim > ndim and value.shape[0] == 1:
        value = value[0]
    written: Tensor = torch.ops.aten.index_put_(view, indices, value)
    return written


def _written(line: str) -> CaptureError:
    return CaptureError(
        "the model writes to a part of a tensor that another tensor names",
        code="C104",
        where=line,
        why="x[i] is a view in torch where i holds one integer, whose value is not known while the model is captured",
        next="write to the whole: x[i] = x[i] + 1, or x[i] += 1",
    )
