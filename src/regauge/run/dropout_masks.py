"""Dropout masks that two frameworks can share: drawn by call, in the original's layout, and aligned by shape.

The random streams of two frameworks can never match, so the check draws the masks itself. Call i of the original has
shape s and keep rate k; its mask depends on (i, s, k) alone. The converted model's call i may see the same values in
another layout (channels last, time first, heads split), which `align` finds from the shapes. Where a shape equals its
own permuted form the layout cannot be told, so the mask is drawn symmetric and is right in either.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

from regauge.run.evaluation import seeded

Shape = tuple[int, ...]


@dataclass(frozen=True)
class DropoutCall:
    """One call of dropout in the original: the shape of its mask, and the probability to keep an element."""

    shape: Shape
    keep: float

    def to_json(self) -> dict[str, Any]:
        return {"shape": list(self.shape), "keep": self.keep}

    @staticmethod
    def from_json(data: dict[str, Any]) -> DropoutCall:
        return DropoutCall(tuple(data["shape"]), data["keep"])


class MasksDoNotFit(ValueError):
    """The converted model drops in other places, or arrays of other shapes, than the original."""


def too_many_calls(calls: int) -> str:
    return f"the converted model drops more often than the original, which does {calls} times"


def unlike_shapes(index: int, shape: Shape, original: Shape) -> str:
    return (
        f"dropout call {index} has shape {shape}, the original's has {original}, "
        "and no exchange or splitting of axes turns one into the other"
    )


def _permutations(rank: int) -> list[tuple[int, ...]]:
    """The layouts that a converted model may use for an array of this rank, the original's own first."""
    found = [tuple(range(rank))]
    if rank >= 3:
        found.append((0, *range(2, rank), 1))  # channels last
        found.append((0, rank - 1, *range(1, rank - 1)))  # channels first
        found.append((1, 0, *range(2, rank)))  # time and batch exchanged
    return found


def keep_mask(index: int, call: DropoutCall, seed: int = 0) -> np.ndarray:
    """bool[call.shape]: which elements call number `index` keeps."""
    uniform = seeded(f"dropout {index}", seed).random(call.shape)
    places = np.arange(uniform.size).reshape(call.shape)
    same = [axes for axes in _permutations(len(call.shape))[1:] if places.transpose(axes).shape == call.shape]
    while same:
        smaller = places
        for axes in same:
            smaller = np.minimum(smaller, smaller.transpose(axes))
        if np.array_equal(smaller, places):
            break
        places = smaller
    return uniform.ravel()[places] < call.keep


def align(mask: Any, wanted: Shape) -> Any | None:
    """A mask in the layout of `wanted`, or None if no layout fits; works on numpy and on JAX arrays."""
    for axes in _permutations(len(mask.shape)):
        if tuple(mask.shape[axis] for axis in axes) == wanted:
            return mask.transpose(axes)
    if _refines(mask.shape, wanted) or _refines(wanted, mask.shape):
        return mask.reshape(wanted)
    return None


def _refines(coarse: Shape, fine: Shape) -> bool:
    """Whether `fine` splits axes of `coarse` into neighbours, as heads into groups."""
    remaining = list(fine)
    for size in coarse:
        product = 1
        while remaining and product < size:
            product *= remaining.pop(0)
        if product != size:
            return False
    return not [size for size in remaining if size != 1]
