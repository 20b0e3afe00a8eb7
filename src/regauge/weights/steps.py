"""Steps between two arrays of the same elements: those of `layout`, and the flip that transposed convolutions need."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from regauge.errors import WeightMismatch
from regauge.weights import layout as layouts
from regauge.weights.layout import Shape

KINDS = ("permute", "reshape", "flip")

Steps = tuple[tuple[str, tuple[int, ...]], ...]


def parse(given: Iterable[Sequence[Any]]) -> Steps:
    """Steps of lists, as JSON has them, in their checked form.

    Raises:
        WeightMismatch: a step is none of ``["permute", axes]``, ``["reshape", shape]`` and ``["flip", axes]``.
    """
    checked: list[tuple[str, tuple[int, ...]]] = []
    for step in given:
        if len(step) != 2 or step[0] not in KINDS or isinstance(step[1], str):
            raise WeightMismatch(
                'a step must be ["permute", axes], ["reshape", shape] or ["flip", axes]',
                code="W110",
                received=repr(list(step)),
            )
        checked.append((str(step[0]), tuple(int(size) for size in step[1])))
    return tuple(checked)


def to_json(steps: Steps) -> list[list[Any]]:
    return [[kind, list(sizes)] for kind, sizes in steps]


def result_shape(steps: Steps, shape: Shape) -> Shape:
    """The shape that an array of `shape` has after all steps.

    Raises:
        WeightMismatch: a step does not fit the shape that it receives.
    """
    for kind, sizes in steps:
        if kind != "flip":
            shape = layouts.result_shape(layouts.layout([(kind, sizes)]), shape)
        elif len(set(sizes)) != len(sizes) or any(not 0 <= axis < len(shape) for axis in sizes):
            raise WeightMismatch(f"{kind} {list(sizes)} does not fit the shape {list(shape)}", code="W110")
    return tuple(shape)


def apply(array: np.ndarray, steps: Steps) -> np.ndarray:
    """The array after all steps: a view where numpy can give one, no arithmetic, the same bits.

    Raises:
        WeightMismatch: a step does not fit the array's shape.
    """
    result_shape(steps, array.shape)
    for kind, sizes in steps:
        if kind == "permute":
            array = array.transpose(sizes)
        elif kind == "reshape":
            array = array.reshape(sizes)
        else:
            array = np.flip(array, sizes)
    return array


def inverse(steps: Steps, shape: Shape) -> Steps:
    """The steps that undo `steps` for arrays whose shape was `shape` before them."""
    undone: list[tuple[str, tuple[int, ...]]] = []
    for kind, sizes in steps:
        if kind == "flip":
            undone.append((kind, sizes))
        else:
            step = layouts.layout([(kind, sizes)])
            undone.extend(layouts.inverse(step, shape))
            shape = layouts.result_shape(step, shape)
    return tuple(reversed(undone))


def simplified(steps: Steps, shape: Shape) -> Steps:
    """The same steps without those that change nothing, and without a reshape that the next one undoes."""
    kept: list[tuple[str, tuple[int, ...]]] = []
    for kind, sizes in steps:
        after = result_shape(((kind, sizes),), shape)
        idle = {"permute": sizes == tuple(range(len(sizes))), "reshape": after == shape, "flip": not sizes}[kind]
        if not idle:
            if kind == "reshape" and kept and kept[-1][0] == "reshape":
                kept.pop()
            kept.append((kind, sizes))
        shape = after
    return tuple(kept)
