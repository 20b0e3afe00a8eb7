"""What is paired: whole tensors, pieces of fused and stacked ones, sums of two."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np

from regauge.weights import casting
from regauge.weights.layout import Shape
from regauge.weights.names import Name, read
from regauge.weights.pair_map import Ranges, box_shape

SAMPLE = 64  # elements looked at before a whole array is


@dataclass(frozen=True, eq=False)
class TensorInfo:
    """One tensor of a model.

    Attributes:
        name: its path.
        shape: its sizes.
        dtype: framework-neutral name.
        role: ``parameter`` or ``buffer`` (statistics, tables, counters, random state).
        trainable: whether the optimizer may change it.
        values: its array, bfloat16 also as the uint16 array of its bits; None if there are none.
        module_type: class of the module that holds it, if known.
    """

    name: str
    shape: Shape
    dtype: str = "float32"
    role: Literal["parameter", "buffer"] = "parameter"
    trainable: bool = True
    values: np.ndarray | None = None
    module_type: str = ""


@dataclass(frozen=True, eq=False)
class Unit:
    """A tensor, a piece of one, or the sum of the same piece of two.

    Attributes:
        tensors: one, or the two that are added.
        name: the path, with the words of the piece if its place in the whole says what it is.
        shape: as the piece is compared: axes that were cut into single rows are left out.
        view: the shape that the tensor is given before `box` is taken.
        box: the ranges of the piece; empty for a whole tensor.
        piece: which part of a fused tensor, counted along the axis; -1 for a whole one.
        layer: which member of a stack; -1 if it is not one.
        assumed: whether only custom says that the parts stand one after the other, and in which order.
    """

    tensors: tuple[TensorInfo, ...]
    name: Name
    shape: Shape
    view: Shape | None = None
    box: Ranges = ()
    piece: int = -1
    layer: int = -1
    assumed: bool = False

    @property
    def info(self) -> TensorInfo:
        return self.tensors[0]

    @property
    def label(self) -> str:
        """How the piece is named to a person."""
        names = " + ".join(tensor.name for tensor in self.tensors)
        return names + "".join(f"[{n}]" for n in (self.layer, self.piece) if n >= 0)

    @cached_property
    def size(self) -> int:
        return math.prod(self.shape)

    @cached_property
    def prefixes(self) -> tuple[str, ...]:
        """The beginnings of its path: a member of a stack has its own, a part of a fused tensor its own last one."""
        modules = [self.name.module, *(read(tensor.name).module for tensor in self.tensors[1:])]
        found = [*self.name.around, *modules[1:]]
        if self.layer >= 0:
            found = [f"{path}[{self.layer}]" for path in found]
            modules = [f"{path}[{self.layer}]" for path in modules]
        if self.piece >= 0:
            found += [f"{path}:{self.piece}" for path in modules]
        return tuple(found)

    @property
    def box_shape(self) -> Shape:
        return box_shape(self.view or self.info.shape, self.box)

    @cached_property
    def values(self) -> np.ndarray | None:
        """The array of the piece in its compared shape, None where a tensor has no values."""
        arrays = [self._taken(tensor) for tensor in self.tensors]
        found = [array for array in arrays if array is not None]
        if len(found) < len(arrays):
            return None
        return found[0] if len(found) == 1 else casting.added(found[0], found[1], self.info.dtype)

    def _taken(self, tensor: TensorInfo) -> np.ndarray | None:
        if tensor.values is None:
            return None
        array = tensor.values if self.view is None else tensor.values.reshape(self.view)
        index = [slice(None)] * array.ndim
        for axis, start, stop in self.box:
            index[axis] = slice(start, stop)
        return array[tuple(index)].reshape(self.shape)

    @cached_property
    def distinct(self) -> bool:
        """Whether the values can tell this tensor from others: they are there, and not all equal."""
        values = self.values
        if values is None or not values.size:
            return False
        if values.size == 1:
            return bool(abs(casting.as_float64(values.reshape(1), self.info.dtype)[0]) not in (0.0, 1.0))
        bits = casting.bits(values, self.info.dtype, self.info.dtype)
        first = bits[(0,) * values.ndim]
        some = bits.reshape(-1)[:SAMPLE] if bits.flags.c_contiguous else bits[..., :1]
        return bool((some != first).any()) or bool((bits != first).any())

    @cached_property
    def _signatures(self) -> dict[str, tuple[int, int, int]]:
        return {}

    def signature(self, dtype: str) -> tuple[int, int, int] | None:
        """Size, sum and exclusive or of the bits in a dtype: equal for any layout of the same elements."""
        if self.values is None:
            return None
        if dtype not in self._signatures:
            bits = casting.bits(self.values, self.info.dtype, dtype)
            total = int(bits.sum(dtype=np.uint64)) if bits.size else 0
            folded = int(np.bitwise_xor.reduce(bits, axis=None)) if bits.size else 0
            self._signatures[dtype] = (self.size, total, folded)
        return self._signatures[dtype]


def whole(info: TensorInfo) -> Unit:
    return Unit((info,), read(info.name), tuple(info.shape))


def same_elements(a: Unit, b: Unit) -> bool | None:
    """Whether two units hold the same elements in any order; None if one of them has no values."""
    if a.size != b.size:
        return False
    mine, other = a.info.dtype, b.info.dtype
    dtype = mine if mine == other else casting.narrower(mine, other)
    if dtype is None:
        return None if a.values is None or b.values is None else False
    left, right = a.signature(dtype), b.signature(dtype)
    return None if left is None or right is None else left == right


def module_sizes(units: Sequence[Unit]) -> Counter[str]:
    """How many units lie under each prefix."""
    return Counter(prefix for unit in units for prefix in set(unit.prefixes))
