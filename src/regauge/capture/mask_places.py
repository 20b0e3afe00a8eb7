"""Loops over the places of a mask's Trues: ``for e in hit.nonzero(): ...`` as a step for every place of the mask.

How many places there are depends on values, how many there may be does not: the loop runs over all elements of the
mask, each step under the condition that its element is True. So a mixture of experts that only calls the experts which
some token chose has all of them, and runs those.
"""

from __future__ import annotations

import functools
import itertools
import operator
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import sympy
import torch
from torch import Tensor
from torch._ops import OpOverload
from torch.utils.weak import WeakIdKeyDictionary

_ATEN = torch.ops.aten
_TABLES = (_ATEN.nonzero.default, _ATEN.argwhere.default)
_LISTS = (_ATEN.nonzero_numpy.default, _ATEN.where.default)
# What may give one column of a table, or a table of one column, as a list.
_COLUMNS = frozenset({
    _ATEN.select.int, _ATEN.unbind.int, _ATEN.squeeze.default, _ATEN.squeeze.dim, _ATEN.squeeze.dims,
    _ATEN.flatten.using_ints, _ATEN.view.default, _ATEN.reshape.default, _ATEN.ravel.default,
})  # fmt: skip
_COMPARISONS = {
    sympy.Eq: operator.eq, sympy.Ne: operator.ne, sympy.Lt: operator.lt, sympy.Le: operator.le, sympy.Gt: operator.gt,
    sympy.Ge: operator.ge,
}  # fmt: skip


@dataclass(frozen=True)
class _Places:
    """Places of a mask's Trues.

    Attributes:
        mask: of any dtype; elements that are not 0 count as True.
        version: of the mask when it was asked.
        axis: of the mask, for the indices along it; None for a table with a row for each True.
    """

    mask: Tensor
    version: int
    axis: int | None = None

    @property
    def is_valid(self) -> bool:
        """Whether the mask is still what it was."""
        return self.mask._version == self.version

    def trues(self) -> Tensor:
        """The mask as booleans."""
        return self.mask if self.mask.dtype == torch.bool else self.mask != 0


# Of the trace that runs now.
_found: Any = WeakIdKeyDictionary()  # tensors that hold places
_counts: dict[str, _Places] = {}  # sizes that are numbers of Trues, by their symbols
_rows: Any = WeakIdKeyDictionary()  # rows of one number that a loop runs over, with the number


def begin() -> None:
    """Forget what was noted of another trace."""
    for noted in (_found, _counts, _rows):
        noted.clear()


def note(made_by: OpOverload, args: Any, out: Any) -> None:
    """Remember a tensor of the trace if it holds places of a mask."""
    if made_by in _LISTS and len(args) == 1 and len(out):
        _found.update({one: _Places(args[0], args[0]._version, axis) for axis, one in enumerate(out)})
        _counts[str(out[0].shape[0])] = _found[out[0]]
    elif made_by in _TABLES:
        _found[out] = _counts[str(out.shape[0])] = _Places(args[0], args[0]._version)
    elif made_by in _COLUMNS and (places := _found.get(args[0])) is not None and places.axis is None:
        _note_columns(places, made_by, args, out)


def _note_columns(places: _Places, made_by: OpOverload, args: Any, out: Any) -> None:
    rank = places.mask.ndim
    if made_by is _ATEN.select.int and args[1] in (1, -1) and isinstance(args[2], int):
        _found[out] = replace(places, axis=args[2] % rank)
    elif made_by is _ATEN.unbind.int and args[1:] in ((1,), (-1,)):
        _found.update({one: replace(places, axis=axis) for axis, one in enumerate(out)})
    elif rank == 1 and isinstance(out, Tensor) and out.ndim == 1 and made_by is not _ATEN.select.int:
        _found[out] = replace(places, axis=0)


def steps(iterated: Any, numbers: bool = False) -> Iterator[tuple[Any, Any]]:
    """What a loop runs over, each with whether its step is one of the loop: a bool, or a tensor without a value.

    Args:
        iterated: anything; for places of a mask there is a step for each of its elements.
        numbers: give numbers of Python, as ``iterated.tolist()`` does.
    """
    places = _found.get(iterated) if isinstance(iterated, Tensor) else None
    if places is None or not places.is_valid:
        for item in iterated.tolist() if numbers else iterated:
            yield item, True
        return
    for place in itertools.product(*(range(int(size)) for size in places.mask.shape)):
        item = list(place) if places.axis is None else place[places.axis]
        given = item if numbers else torch.tensor(item)
        if isinstance(given, Tensor) and given.shape == (1,):
            _rows[given] = place[0]
        yield given, places.mask[place]


def only_place(indices: Sequence[Any]) -> tuple[int, int] | None:
    """The axis and the place of the only index, if it is a row of one number that a loop over places gave."""
    given = [(axis, index) for axis, index in enumerate(indices) if index is not None]
    if len(given) != 1 or given[0][1] not in _rows:
        return None
    return given[0][0], _rows[given[0][1]]


def counted(size: Any) -> Any:
    """A number of Trues, or a comparison of such numbers, as a tensor without axes; what else it is given as it is.

    ``rows.numel() == 0`` for ``rows = torch.where(mask)[0]`` is ``mask.sum() == 0``.
    """
    if not isinstance(size, torch.SymInt | torch.SymBool):
        return size
    expression: sympy.Basic = size.node.expr
    compares = _COMPARISONS.get(type(expression))
    sides = [_number(side) for side in (expression.args if compares else (expression,))]
    if any(side is None for side in sides):
        return size
    return compares(*sides) if compares else sides[0]


def _number(expression: sympy.Basic) -> Any:
    """A sum or product of numbers of Trues and integers: a tensor, or an int; None for anything else."""
    if isinstance(expression, sympy.Integer):
        return int(expression)
    if isinstance(expression, sympy.Symbol):
        places = _counts.get(str(expression))
        return places.trues().sum() if places is not None and places.is_valid else None
    combine = {sympy.Add: operator.add, sympy.Mul: operator.mul}.get(type(expression))
    parts = [_number(part) for part in expression.args]
    return functools.reduce(combine, parts) if combine and parts and None not in parts else None
