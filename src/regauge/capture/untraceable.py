"""Operators of torch that torch.export cannot trace by itself: shapes of their results, and other spellings.

Histograms have no shape function in torch; ``ctc_loss`` reads lengths that are given as a list, and the shape of what
it keeps for its derivative depends on values; ``histogramdd`` returns a list within a tuple; ``fill_diagonal_`` has no
form that gives a new tensor; an index that is a list of tensors is made of their values, and so is ``torch.tensor`` of
such a list.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import reduce
from typing import Any
from unittest import mock

import torch
from torch import Tensor
from torch._dynamo import _trace_wrapped_higher_order_op
from torch.nn import functional
from torch.overrides import TorchFunctionMode

_LIBRARY = torch.library.Library("aten", "IMPL")


def _ctc(log_probs: Tensor, targets: Tensor, *_: Any, **__: Any) -> tuple[Tensor, Tensor]:
    steps, batch = log_probs.shape[:2]
    return log_probs.new_empty((batch,)), log_probs.new_empty((batch, steps, 2 * targets.shape[-1] + 1))


def _counts(self: Tensor, bins: int = 100, **_: Any) -> tuple[Tensor, Tensor]:
    return self.new_empty((bins,)), self.new_empty((bins + 1,))


def _counts_between(self: Tensor, bins: Tensor, **_: Any) -> tuple[Tensor, Tensor]:
    return self.new_empty((bins.shape[0] - 1,)), self.new_empty((bins.shape[0],))


def _edges(self: Tensor, bins: Sequence[int], **_: Any) -> list[Tensor]:
    return [self.new_empty((count + 1,)) for count in bins]


def _counts_by_dimension(self: Tensor, bins: Sequence[Any], **_: Any) -> Tensor:
    return self.new_empty(tuple(b.shape[0] - 1 if isinstance(b, Tensor) else b for b in bins))


_SHAPES: dict[str, Callable[..., Any]] = {
    "_ctc_loss": _ctc,
    "_ctc_loss.Tensor": _ctc,
    "histogram.bin_ct": _counts,
    "histogram.bins_tensor": _counts_between,
    "_histogramdd_bin_edges": _edges,
    "_histogramdd_from_bin_cts": _counts_by_dimension,
    "_histogramdd_from_bin_tensors": _counts_by_dimension,
}
for _name, _shape in _SHAPES.items():
    # torch 2.11 has a shape function of its own for some of them
    torch.library.register_fake(f"aten::{_name}", _shape, lib=_LIBRARY, allow_override=True)


class Respelled(TorchFunctionMode):
    """Within the block, what cannot be traced is called in a form that can."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func in (functional.ctc_loss, torch.ctc_loss):
            names = inspect.signature(functional.ctc_loss).parameters
            given = dict(zip(names, args, strict=False)) | kwargs
            for name in ("input_lengths", "target_lengths"):
                if isinstance(given[name], list | tuple):
                    given[name] = torch.tensor(given[name], dtype=torch.int64, device=given["log_probs"].device)
            return func(**given)  # by name: what was given by keyword stands in no order
        if func is torch.histogramdd:
            return _histogram_of_points(*args, **kwargs)
        if func is torch.Tensor.fill_diagonal_:
            return _filled_diagonal(*args, **kwargs)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__) and isinstance(args[1], tuple):
            return func(args[0], tuple(_stacked(place) for place in args[1]), *args[2:])
        if func is torch.tensor and args and not kwargs.get("requires_grad") and _holds_tensors(args[0]):
            return _tensor_of(*args, **kwargs)
        return func(*args, **kwargs)


def _holds_sizes(data: Any) -> bool:
    """Whether there are symbolic sizes in lists of numbers."""
    if isinstance(data, tuple | list):
        return any(_holds_sizes(item) for item in data)
    return isinstance(data, torch.SymInt | torch.SymFloat)


def _holds_tensors(data: Any) -> bool:
    """Whether there are tensors of one number in lists of numbers."""
    if isinstance(data, tuple | list):
        return any((isinstance(item, Tensor) and item.ndim == 0) or _holds_tensors(item) for item in data)
    return False


def _tensor_of(data: Any, dtype: torch.dtype | None = None, device: Any = None, **_: Any) -> Tensor:
    """``torch.tensor`` of lists that hold tensors of one number, as a stack of them: torch would read their values."""

    def made(item: Any) -> Tensor:
        if isinstance(item, tuple | list):
            parts = [made(part) for part in item]
            common = reduce(torch.promote_types, (part.dtype for part in parts))
            return torch.stack([part.to(common) for part in parts])
        return (item.detach() if isinstance(item, Tensor) else torch.tensor(item)).to(device)

    found = made(data)
    return found if dtype is None else found.to(dtype)


def _stacked(place: Any) -> Any:
    """An index that is a list of tensors, as one tensor: torch would read their values to make it."""
    if not isinstance(place, tuple | list) or not any(isinstance(item, Tensor) for item in place):
        return place
    return torch.stack([item if isinstance(item, Tensor) else torch.tensor(item) for item in place])


@contextmanager
def sizes_in_tensors() -> Iterator[None]:
    """Within the block ``torch.as_tensor`` keeps sizes symbolic, as ``torch.tensor`` does; no mode sees its calls."""
    plain = torch.as_tensor

    def as_tensor(data: Any, *args: Any, **kwargs: Any) -> Tensor:
        return (torch.tensor if _holds_sizes(data) else plain)(data, *args, **kwargs)

    with mock.patch.object(torch, "as_tensor", as_tensor):
        yield


@contextmanager
def plain_indices() -> Iterator[None]:
    """Within the block ``x[i, j]`` under `TransformGetItemToIndex` is the operator itself."""

    def index(x: Tensor, indices: list[Tensor]) -> Tensor:
        found: Tensor = torch.ops.aten.index(x, indices)
        return found

    with mock.patch.object(_trace_wrapped_higher_order_op, "mod_index", index):
        yield


def _histogram_of_points(
    input: Tensor, bins: Any, range: Any = None, weight: Tensor | None = None, density: bool = False
) -> Any:
    """``torch.histogramdd`` by the operators that it is made of."""
    counts: list[Any] = [bins] * input.shape[-1] if isinstance(bins, int) else list(bins)
    if counts and isinstance(counts[0], Tensor):
        filled = torch._histogramdd_from_bin_tensors(input, counts, weight=weight, density=density)
        return torch.return_types.histogramdd((filled, tuple(counts)))
    settings: dict[str, Any] = {"range": range, "weight": weight, "density": density}
    edges = torch._histogramdd_bin_edges(input, counts, **settings)
    filled = torch._histogramdd_from_bin_cts(input, counts, **settings)
    return torch.return_types.histogramdd((filled, tuple(edges)))


def _filled_diagonal(self: Tensor, fill_value: float, wrap: bool = False) -> Tensor:
    """``fill_diagonal_`` as a write to the places that it fills.

    Where the diagonal of a tall matrix is wrapped, every (columns + 1)-th element of the whole matrix is filled: it
    begins again one row below the one that follows its end.
    """
    if self.ndim == 2 and not wrap:
        self.diagonal().fill_(fill_value)
    elif self.ndim == 2:
        columns = self.shape[1]
        places = torch.arange(0, self.numel(), columns + 1, device=self.device)
        self[places // columns, places % columns] = fill_value
    else:
        self[(torch.arange(self.shape[0], device=self.device),) * self.ndim] = fill_value
    return self
