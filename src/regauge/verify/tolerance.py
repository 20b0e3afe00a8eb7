"""How far apart two results may be: scales, distances and limits of docs/equivalence.md, as functions of numpy arrays.

Notation: M is the original, C the converted model, 64 and 32 their arithmetic. A *kind* is a group of tensors that
share a scale: all outputs, all gradients, all buffers.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from regauge.verify.result import Distance

Arrays = Mapping[str, np.ndarray]

_PIECE = 1 << 17  # elements that are compared at a time


@dataclass(frozen=True)
class Limits:
    """Every constant of the verdict; docs/equivalence.md says where each comes from."""

    same_norm: float = 1e-10  # tier 1, ||C64 - M64|| / s
    same_largest: float = 1e-8  # tier 1, largest element
    null: float = 1e-10  # a tensor this far below its kind is zero in theory
    stable: float = 1e-11  # one unit in the last place of the weights may move M64 by this and no more
    floor: float = 1.2e-7  # tier 2, the original's own error counts as at least this: eps of float32
    smallest_share: float = 1e-3  # tier 2, scale of a tensor is at least this share of its kind
    together: float = 4.0  # tier 2, factor k for all tensors of a kind
    alone: float = 10.0  # tier 2, factor k for one tensor
    element: float = 16.0  # tier 2, factor k for the largest element of an output
    coherent: float = 40.0  # tier 2, factor k for one buffer where all positions round alike
    cap: float = 1e-2  # tier 2, never further than this
    free_pass: float = 1e-3  # tier 2, an original further than this from float64 judges nothing
    trajectory: float = 1e-9  # ||t_C - t_M|| / ||t_M,T - t_0|| after T steps in float64
    trajectory_loss: float = 1e-10  # |L_C - L_M| / max(1, |L_M|) at every step in float64
    band: float = 10.0  # float32 losses, times the original's own band
    derivative: float = 1e-6  # finite differences in float64


LIMITS = Limits()


def rms(arrays: Iterable[np.ndarray]) -> float:
    """The root mean square G of all finite elements of a kind."""
    total, count = 0.0, 0
    for array in arrays:
        for (piece,) in pieces(array):
            finite = _finite(_float(piece))
            total += float(np.vdot(finite, finite).real)
            count += finite.size
    return math.sqrt(total / count) if count else 0.0


def pieces(*arrays: np.ndarray) -> Iterator[tuple[np.ndarray, ...]]:
    """Arrays of one shape, a cache full at a time: no temporary array is as large as a model's largest weight."""
    flat = [array.reshape(-1) for array in arrays]
    for start in range(0, flat[0].size, _PIECE):
        yield tuple(array[start : start + _PIECE] for array in flat)


def is_null(reference: np.ndarray, kind_rms: float, limits: Limits = LIMITS) -> bool:
    """Whether a tensor is zero in theory: ``||x|| <= 1e-10 G sqrt(n)``."""
    return kind_rms > 0 and _norm(reference) <= limits.null * kind_rms * math.sqrt(max(1, reference.size))


def same_function(name: str, candidate: np.ndarray, reference: np.ndarray, kind_rms: float) -> Distance:
    """Tier 1 for one tensor: float64 against float64; integers and booleans must be equal.

    Args:
        name: of the tensor in the original.
        candidate: C64.
        reference: M64.
        kind_rms: G of the tensor's kind in M64.
    """
    limits = LIMITS
    note = _unlike(candidate, reference)
    if note:
        return Distance(name, math.inf, math.inf, limits.same_norm, False, note=note)
    if not _is_float(reference):
        return _exact(name, candidate, reference)
    null = is_null(reference, kind_rms)
    found = _sizes(candidate, reference)
    scale = kind_rms * math.sqrt(max(1, reference.size)) if null else found.reference
    norm = _ratio(found.difference, scale)
    largest = _ratio(found.largest_difference, kind_rms if null else found.largest_reference)
    passed = norm <= limits.same_norm and largest <= limits.same_largest
    if candidate.dtype not in (np.float64, np.complex128):
        return Distance(name, norm, largest, limits.same_norm, False, null=null, note=f"computed in {candidate.dtype}")
    return Distance(name, norm, largest, limits.same_norm, passed, null=null)


@dataclass(frozen=True)
class Error:
    """How far one result is from float64: each tensor in two norms, and all of the kind together.

    Attributes:
        norms: ``||x - x_M64|| / s`` by tensor, with s of tier 2.
        largest: ``max|x - x_M64| / max|x_M64|`` by tensor, with the same lower bound of the scale.
        together: the 2-norm of all differences over the 2-norm of all references.
        notes: by tensor, why it cannot be compared (shape, places of NaN, unequal integers).
    """

    norms: Mapping[str, float]
    largest: Mapping[str, float]
    together: float
    notes: Mapping[str, str]


def rounding_error(result: Arrays, reference: Arrays) -> Error:
    """The distance of one result of a kind from M64; `reference` names the tensors."""
    limits = LIMITS
    kind_rms = rms(array for array in reference.values() if _is_float(array))
    norms: dict[str, float] = {}
    largest: dict[str, float] = {}
    notes: dict[str, str] = {}
    squares, total = 0.0, 0.0
    for name, expected in reference.items():
        found = result.get(name)
        note = "missing" if found is None else _unlike(found, expected)
        if found is None or note:
            notes[name] = note
            norms[name] = largest[name] = math.inf
            continue
        if not _is_float(expected):
            unequal = int(np.sum(found != expected))
            norms[name] = largest[name] = 0.0 if unequal == 0 else math.inf
            if unequal:
                notes[name] = f"{unequal} of {expected.size} elements differ"
            continue
        sizes = _sizes(found, expected)
        share = 1.0 if is_null(expected, kind_rms) else limits.smallest_share
        root = math.sqrt(max(1, expected.size))
        norms[name] = _ratio(sizes.difference, max(sizes.reference, share * kind_rms * root))
        largest[name] = _ratio(sizes.largest_difference, max(sizes.largest_reference, share * kind_rms))
        squares += sizes.difference**2
        total += sizes.reference**2
    return Error(norms, largest, _ratio(math.sqrt(squares), math.sqrt(total)), notes)


def _unlike(candidate: np.ndarray, reference: np.ndarray) -> str:
    """What makes two arrays incomparable: shape, kind of dtype, or places that are not finite."""
    if candidate.shape != reference.shape:
        return f"shape {candidate.shape}, the original's is {reference.shape}"
    if candidate.dtype.kind != reference.dtype.kind:
        return f"dtype {candidate.dtype}, the original's is {reference.dtype}"
    if not _is_float(reference):
        return ""
    if all(bool(np.isfinite(a).all() and np.isfinite(b).all()) for a, b in pieces(candidate, reference)):
        return ""
    for what, places in (("NaN", np.isnan), ("+inf", np.isposinf), ("-inf", np.isneginf)):
        if reference.dtype.kind == "c" and what != "NaN":
            continue
        unequal = int(np.sum(places(candidate) != places(reference)))
        if unequal:
            return f"{what} at other places: {unequal} of {reference.size} elements"
    return ""


def _exact(name: str, candidate: np.ndarray, reference: np.ndarray) -> Distance:
    unequal = int(np.sum(candidate != reference))
    note = f"{unequal} of {reference.size} elements differ" if unequal else ""
    distance = math.inf if unequal else 0.0
    return Distance(name, distance, distance, 0.0, not unequal, note=note)


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind in "fc"


def _float(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.complex128 if array.dtype.kind == "c" else np.float64)


@dataclass(frozen=True)
class _Sizes:
    """2-norms and largest magnitudes of a difference and of what it is taken from, over what is finite in both."""

    difference: float
    largest_difference: float
    reference: float
    largest_reference: float


def _sizes(candidate: np.ndarray, reference: np.ndarray) -> _Sizes:
    """Of ``candidate - reference``; the places of NaN and inf are compared before."""
    squares, largest = [0.0, 0.0], [0.0, 0.0]
    for one, other in pieces(candidate, reference):
        found, expected = _float(one), _float(other)
        with np.errstate(invalid="ignore"):  # inf - inf
            difference = found - expected
        if not np.isfinite(difference).all():
            difference = difference[np.isfinite(found) & np.isfinite(expected)]
            expected = _finite(expected)
        for n, values in enumerate((difference, expected)):
            squares[n] += float(np.vdot(values, values).real)
            largest[n] = max(largest[n], float(np.abs(values).max(initial=0.0)))
    return _Sizes(math.sqrt(squares[0]), largest[0], math.sqrt(squares[1]), largest[1])


def _finite(array: np.ndarray) -> np.ndarray:
    finite = np.isfinite(array)
    return array if finite.all() else array[finite]


def _norm(array: np.ndarray) -> float:
    total = 0.0
    for (piece,) in pieces(array):
        finite = _finite(_float(piece))
        total += float(np.vdot(finite, finite).real)
    return math.sqrt(total)


def _ratio(distance: float, scale: float) -> float:
    if distance == 0:
        return 0.0
    return distance / scale if scale > 0 else math.inf
