"""Which input, target and output of one side is which of the other, and in which layout."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import permutations
from typing import Any

import numpy as np

from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.run.naming import Link
from regauge.run.protocol import leaf_names
from regauge.weights.layout import IDENTITY, Layout, Shape

Arrays = Mapping[str, np.ndarray]

_MOST_AXES = 5


def link_given(kind: str, ours: Any, theirs: Any, reference: Arrays, other: Arrays) -> tuple[list[Link], list[Finding]]:
    """Links of the arrays that both sides are given: by name where the names are the same, else in order.

    Layouts come from the shapes, and where those do not decide from the values that both cases give.

    Args:
        kind: ``inputs`` or ``targets``.
        ours: skeleton of the original.
        theirs: skeleton of the converted side.
        reference: arrays of the original.
        other: arrays of the converted side.

    Raises:
        BadCase: the numbers differ, a shape fits no layout, or several that nothing decides between.
    """
    sources, targets = _names(ours), _names(theirs)
    if len(sources) != len(targets):
        raise BadCase(
            f"the two sides take different numbers of {kind}: {len(sources)} and {len(targets)}",
            received=f"{', '.join(sources) or 'none'} and {', '.join(targets) or 'none'}",
            next=f"give both cases the same {kind} in the same order",
        )
    findings = []
    links = []
    for source, target in _pairs(sources, targets):
        steps = _given_layout(source, target, reference[source], other[target])
        links.append(Link(source, target, steps, str(other[target].dtype)))
        if steps:
            findings.append(_moved(source, steps))
        elif not _same_values(reference[source], other[target]):
            text = f"The cases give different {source}; both sides are run on those of the original"
            findings.append(Finding("V121", "info", "", text))
    return links, findings


def link_outputs(ours: Any, theirs: Any, reference: Arrays, other: Arrays) -> tuple[list[Link], list[Finding]]:
    """Links of the outputs; those that one side alone returns are left to the verdict, which says them missing."""
    sources, targets = _names(ours), _names(theirs)
    findings = []
    if set(sources) != set(targets):
        text = f"The outputs are named differently and compared in order: {', '.join(sources)}; {', '.join(targets)}"
        if len(sources) != len(targets):
            text = (
                f"The sides return different numbers of arrays: {len(sources)} ({', '.join(sources)}) and "
                f"{len(targets)} ({', '.join(targets)})"
            )
        findings.append(Finding("V122", "warning", "", text))
    links = []
    for source, target in _pairs(sources, targets):
        steps = _output_layout(reference[source].shape, other[target].shape)
        links.append(Link(source, target, steps))
        if steps:
            findings.append(_moved(source, steps))
    return links, findings


def _names(skeleton: Any) -> list[str]:
    return [] if skeleton is None else leaf_names(skeleton)


def _pairs(sources: list[str], targets: list[str]) -> list[tuple[str, str]]:
    if set(sources) == set(targets):
        return [(name, name) for name in sources]
    return list(zip(sources, targets, strict=False))


def _moved(source: str, steps: Layout) -> Finding:
    axes = ", ".join(map(str, steps[0][1]))
    return Finding("V123", "info", "", f"The converted side has {source} with its axes in the order {axes}")


def _same_values(one: np.ndarray, other: np.ndarray) -> bool:
    return one.shape == other.shape and np.array_equal(one, other, equal_nan=one.dtype.kind in "fc")


def _given_layout(source: str, target: str, one: np.ndarray, other: np.ndarray) -> Layout:
    if one.ndim == other.ndim <= _MOST_AXES:
        fitting = [axes for axes in permutations(range(one.ndim)) if _shape(one.shape, axes) == other.shape]
        proven = [axes for axes in fitting if _same_values(one.transpose(axes), other)]
        # the first permutation is the identity, which needs no proof
        chosen = proven or fitting[:1] if one.shape == other.shape else proven or _usual(fitting, one.ndim)
        if len(chosen) == 1 or (chosen and proven):
            return _steps(chosen[0])
        if fitting:
            raise BadCase(
                f"{source} of the original has shape {one.shape}, {target} of the converted side {other.shape}: "
                f"{len(fitting)} orders of axes fit",
                next="give both cases the same values, so that they decide",
            )
    raise BadCase(
        f"{source} of the original has shape {one.shape}, {target} of the converted side {other.shape}",
        why="no order of axes turns one into the other",
        next="give both cases inputs of the same size",
    )


def _output_layout(one: Shape, other: Shape) -> Layout:
    """The usual move that fits, where exactly one does; a shape that fits none is for the verdict."""
    if one == other or len(one) != len(other) or len(one) > _MOST_AXES:
        return IDENTITY
    fitting = _usual([axes for axes in permutations(range(len(one))) if _shape(one, axes) == other], len(one))
    return _steps(fitting[0]) if len(fitting) == 1 else IDENTITY


def _usual(candidates: list[tuple[int, ...]], rank: int) -> list[tuple[int, ...]]:
    """Channels moved last or first, and time exchanged with batch; whatever fits if none of them does."""
    middle = tuple(range(2, rank))
    usual = {(0, *middle, 1), (0, rank - 1, *range(1, rank - 1)), (1, 0, *middle)} if rank >= 3 else set()
    return [axes for axes in candidates if axes in usual] or candidates


def _shape(shape: Shape, axes: tuple[int, ...]) -> Shape:
    return tuple(shape[axis] for axis in axes)


def _steps(axes: tuple[int, ...]) -> Layout:
    return IDENTITY if axes == tuple(range(len(axes))) else (("permute", axes),)
