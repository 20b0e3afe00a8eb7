"""Layouts: how an array of the original becomes an array of the converted module, step by step, bit for bit."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from typing import Any, Literal

import numpy as np

from regauge.errors import WeightMismatch

Step = tuple[Literal["permute", "reshape"], tuple[int, ...]]
Layout = tuple[Step, ...]
Shape = tuple[int, ...]

IDENTITY: Layout = ()


def layout(steps: Iterable[Sequence[Any]]) -> Layout:
    """A layout of lists, as JSON has it, in its checked form.

    Raises:
        WeightMismatch: a step is neither ``["permute", axes]`` nor ``["reshape", shape]``.
    """
    checked: list[Step] = []
    for step in steps:
        if len(step) != 2 or step[0] not in ("permute", "reshape"):
            raise WeightMismatch(
                'a layout step must be ["permute", axes] or ["reshape", shape]',
                code="W110",
                received=repr(list(step)),
            )
        checked.append((step[0], tuple(int(size) for size in step[1])))
    return tuple(checked)


def to_json(steps: Layout) -> list[list[Any]]:
    return [[kind, list(sizes)] for kind, sizes in steps]


def result_shape(steps: Layout, shape: Shape) -> Shape:
    """The shape that an array of `shape` has after all steps.

    Raises:
        WeightMismatch: a step does not fit the shape that it receives.
    """
    for step in steps:
        shape = _step_shape(step, shape)
    return shape


def _step_shape(step: Step, shape: Shape) -> Shape:
    kind, sizes = step
    if kind == "permute":
        fits = sorted(sizes) == list(range(len(shape)))
        result = tuple(shape[axis] for axis in sizes) if fits else ()
    else:
        fits = math.prod(sizes) == math.prod(shape)
        result = sizes
    if not fits:
        raise WeightMismatch(f"{kind} {list(sizes)} does not fit the shape {list(shape)}", code="W110")
    return result


def inverse(steps: Layout, shape: Shape) -> Layout:
    """The layout that undoes `steps` for arrays whose shape was `shape` before them."""
    undone: list[Step] = []
    for step in steps:
        kind, sizes = step
        if kind == "permute":
            undone.append(("permute", tuple(sizes.index(axis) for axis in range(len(sizes)))))
        else:
            undone.append(("reshape", tuple(shape)))
        shape = _step_shape(step, shape)
    return tuple(reversed(undone))


def apply(array: np.ndarray, steps: Layout) -> np.ndarray:
    """The array after all steps: a view where numpy can give one, no arithmetic, the same bits.

    Raises:
        WeightMismatch: a step does not fit the array's shape.
    """
    result_shape(steps, array.shape)
    for kind, sizes in steps:
        array = array.transpose(sizes) if kind == "permute" else array.reshape(sizes)
    return array


def invert(array: np.ndarray, steps: Layout, shape: Shape) -> np.ndarray:
    """The array of the original, of shape `shape`, that `apply` turned into this one."""
    return apply(array, inverse(steps, shape))
