"""Causes in how an axis is split and axes are joined: heads of attention, images made of vectors."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass

from regauge.verify.causes import Call, Situation, Trial, cause, replaced

_MOST_PARTS = 4


@dataclass(frozen=True)
class Split:
    """One axis that becomes several.

    Attributes:
        first: the first of them.
        parts: their sizes.
        written: the sizes as the call has them.
    """

    first: int
    parts: tuple[int, ...]
    written: tuple[int, ...]


def split_of(call: Call) -> Split | None:
    """What a call of view, reshape or unflatten splits; None where it does something else."""
    shape, written = call.shape(), _written(call)
    if not shape or not written:
        return None
    if call.function == "unflatten":
        first = call.value("dim", 0) % len(shape)
        target = [*shape[:first], *_resolved(written, shape[first]), *shape[first + 1 :]]
    else:
        target = _resolved(written, math.prod(shape))
    count = len(target) - len(shape) + 1
    if not 2 <= count <= _MOST_PARTS:
        return None
    for first in reversed(range(len(shape))):
        if target[:first] == shape[:first] and target[first + count :] == shape[first + 1 :]:
            return Split(first, tuple(target[first : first + count]), tuple(written))
    return None


def _written(call: Call) -> list[int]:
    given = next((call.arguments[name] for name in ("sizes", "shape", "size") if name in call.arguments), None)
    if given is None:  # view(x, 2, 3) has its sizes one by one
        given = [v for k, v in call.arguments.items() if k.isdigit()]
    whole = isinstance(given, list) and all(isinstance(v, int) and not isinstance(v, bool) for v in given)
    return list(given) if whole and isinstance(given, list) else []


def _resolved(sizes: list[int], total: int) -> list[int]:
    known = math.prod(size for size in sizes if size != -1)
    return [total // known if size == -1 and known else size for size in sizes]


_SPLITS = ("view", "reshape", "unflatten")


@cause("head-order", functions=_SPLITS, order=1)
def split(call: Call, situation: Situation) -> Iterator[Trial]:
    """An axis split into its parts in another order, in all calls that split alike."""
    own = split_of(call)
    if own is None:
        return
    is_image = len(call.shape()) == 2 and len(own.parts) > 2
    key = "flatten-layout" if is_image else "head-order"
    what = "an axis is split into its parts (heads and their width) in another order"
    if is_image:
        what = "a vector is read as an image with its channels last for channels first"
    others = [c for c in situation.calls if c.function == call.function and c.number != call.number]
    alike = [c.number for c in others if (other := split_of(c)) and other.written == own.written]
    groups = [[call.number, *alike], [call.number], *([number] for number in alike)] if alike else [[call.number]]
    for order in itertools.permutations(range(len(own.parts))):
        if order == tuple(range(len(own.parts))) or (len(order) == _MOST_PARTS and not _is_exchange(order)):
            continue
        ours, theirs = str(own.parts), str(tuple(own.parts[part] for part in order))
        for calls in groups[:4]:
            edit = replaced(calls, "split_in_order", first=own.first, order=list(order))
            yield Trial(key, what, (edit,), ours, theirs, call.number)


def _is_exchange(order: tuple[int, ...]) -> bool:
    """Whether two neighbours change places and the others stay."""
    return sum(place != part for place, part in enumerate(order)) == 2


@cause("head-merge", functions=("flatten", "reshape", "view", "contiguous"), order=3)
def merge(call: Call, situation: Situation) -> Iterator[Trial]:
    rank = len(call.shape())
    if rank < 3:
        return
    what = "axes are merged in the other order"
    others = [c for c in situation.calls if c.function == call.function and c.number != call.number]
    alike = [c.number for c in others if c.shape() == call.shape() and _plain(c) == _plain(call)]
    for axis in range(1, rank - 1):
        for calls in [[call.number], [call.number, *alike]] if alike else [[call.number]]:
            yield Trial("head-merge", what, (replaced(calls, "transposed_merge", axis=axis),), call=call.number)


def _plain(call: Call) -> dict[str, object]:
    return {name: value for name, value in call.arguments.items() if name != "input"}


@cause("flatten-layout", functions=("flatten", "reshape", "view"), order=2)
def flatten(call: Call, situation: Situation) -> Iterator[Trial]:
    if len(call.shape()) < 3:
        return
    what = "flattened with the channels last for channels first, before a weight that expects the other order"
    for how in ("channels_last", "channels_first"):
        yield Trial("flatten-layout", what, (replaced([call.number], how),), call=call.number)
