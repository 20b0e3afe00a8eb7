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
    sequential: float = 50.0  # tier 2, factor k for gradients and buffers that torch sums one by one, JAX in pairs
    cap: float = 1e-2  # tier 2, never further than this
    free_pass: float = 1e-3  # tier 2, an original further than this from float64 judges nothing
    trajectory: float = 1e-9  # ||t_C - t_M|| / ||t_M,T - t_0|| after T steps in float64
    trajectory_loss: float = 1e-10  # |L_C - L_M| / max(1, |L_M|) at every step in float64
    amplified: float = 100.0  # times what a copy one unit in the last place away parts by, in a float64 trajectory
    unstable: float = 1e-7  # such a copy parts by more: from there on a trajectory says nothing
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
    return _is_null(_norm(reference), reference.size, kind_rms, limits)


def _is_null(norm: float, size: int, kind_rms: float, limits: Limits) -> bool:
    return kind_rms > 0 and norm <= limits.null * kind_rms * math.sqrt(max(1, size))


@dataclass(frozen=True)
class Compared:
    """A tensor beside what it is compared with, from one pass over both.

    2-norms and largest magnitudes are over what is finite in both; the places of NaN and inf are the same if there is
    no note.

    Attributes:
        note: what makes the two incomparable: shape, kind of dtype, places that are not finite; or empty.
        unequal: elements of integers and booleans that differ.
        difference: norm of the difference.
        largest_difference: its largest magnitude.
        reference: norm of what it is compared with.
        largest_reference: its largest magnitude.
        finite: finite elements of the reference.
    """

    note: str = ""
    unequal: int = 0
    difference: float = 0.0
    largest_difference: float = 0.0
    reference: float = 0.0
    largest_reference: float = 0.0
    finite: int = 0


def compare(candidate: np.ndarray, reference: np.ndarray) -> Compared:
    """Everything that a verdict asks of two arrays."""
    if candidate.shape != reference.shape:
        return _apart(f"shape {candidate.shape}, the original's is {reference.shape}", reference)
    if candidate.dtype.kind != reference.dtype.kind:
        return _apart(f"dtype {candidate.dtype}, the original's is {reference.dtype}", reference)
    if not _is_float(reference):
        return Compared(unequal=int(np.sum(candidate != reference)))
    squares, largest, finite = [0.0, 0.0], [0.0, 0.0], 0
    for one, other in pieces(candidate, reference):
        found, expected = _float(one), _float(other)
        with np.errstate(invalid="ignore"):  # inf - inf
            difference = found - expected
        totals = _square(difference), _square(expected)
        if not math.isfinite(totals[0] + totals[1]):
            if _unlike(found, expected):
                return _apart(_unlike(candidate, reference), reference)
            difference, expected = difference[np.isfinite(found) & np.isfinite(expected)], _finite(expected)
            totals = _square(difference), _square(expected)
        finite += expected.size
        for n, values in enumerate((difference, expected)):
            squares[n] += totals[n]
            largest[n] = max(largest[n], _largest(values))
    return Compared("", 0, math.sqrt(squares[0]), largest[0], math.sqrt(squares[1]), largest[1], finite)


def _apart(note: str, reference: np.ndarray) -> Compared:
    """Arrays that cannot be compared: the reference alone still counts for the scale of its kind."""
    if not _is_float(reference):
        return Compared(note)
    return Compared(note, reference=_norm(reference), finite=_count(reference))


def kind_scale(found: Iterable[Compared]) -> float:
    """The root mean square G of a kind, of what its tensors were compared with: that of `rms`."""
    tensors = list(found)
    count = sum(one.finite for one in tensors)
    return math.sqrt(sum(one.reference**2 for one in tensors) / count) if count else 0.0


def alone(reference: np.ndarray) -> Compared:
    """A tensor of the original that the other side does not have."""
    return _apart("missing in the converted model", reference)


def same_function(name: str, candidate: np.ndarray, reference: np.ndarray, kind_rms: float) -> Distance:
    """Tier 1 for one tensor: float64 against float64; integers and booleans must be equal.

    Args:
        name: of the tensor in the original.
        candidate: C64.
        reference: M64.
        kind_rms: G of the tensor's kind in M64.
    """
    return judged_same(name, candidate, reference, compare(candidate, reference), kind_rms)


def judged_same(name: str, candidate: np.ndarray, reference: np.ndarray, found: Compared, kind_rms: float) -> Distance:
    """`same_function` of arrays that were compared before."""
    limits = LIMITS
    if found.note:
        return Distance(name, math.inf, math.inf, limits.same_norm, False, note=found.note)
    if not _is_float(reference):
        return _exact(name, reference, found.unequal)
    null = _is_null(found.reference, reference.size, kind_rms, limits)
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
    compared = {n: compare(result[n], array) if n in result else alone(array) for n, array in reference.items()}
    kind_rms = kind_scale(compared.values())
    norms: dict[str, float] = {}
    largest: dict[str, float] = {}
    notes: dict[str, str] = {}
    squares, total = 0.0, 0.0
    for name, expected in reference.items():
        found = compared[name]
        if found.note:
            notes[name] = "missing" if name not in result else found.note
            norms[name] = largest[name] = math.inf
            continue
        if not _is_float(expected):
            norms[name] = largest[name] = 0.0 if found.unequal == 0 else math.inf
            if found.unequal:
                notes[name] = f"{found.unequal} of {expected.size} elements differ"
            continue
        share = 1.0 if _is_null(found.reference, expected.size, kind_rms, limits) else limits.smallest_share
        root = math.sqrt(max(1, expected.size))
        norms[name] = _ratio(found.difference, max(found.reference, share * kind_rms * root))
        largest[name] = _ratio(found.largest_difference, max(found.largest_reference, share * kind_rms))
        squares += found.difference**2
        total += found.reference**2
    return Error(norms, largest, _ratio(math.sqrt(squares), math.sqrt(total)), notes)


def _unlike(candidate: np.ndarray, reference: np.ndarray) -> str:
    """Places that are not finite in one of two arrays alone, or not in the same way."""
    for what, places in (("NaN", np.isnan), ("+inf", np.isposinf), ("-inf", np.isneginf)):
        if reference.dtype.kind == "c" and what != "NaN":
            continue
        unequal = int(np.sum(places(candidate) != places(reference)))
        if unequal:
            return f"{what} at other places: {unequal} of {reference.size} elements"
    return ""


def _exact(name: str, reference: np.ndarray, unequal: int) -> Distance:
    note = f"{unequal} of {reference.size} elements differ" if unequal else ""
    distance = math.inf if unequal else 0.0
    return Distance(name, distance, distance, 0.0, not unequal, note=note)


def _is_float(array: np.ndarray) -> bool:
    return array.dtype.kind in "fc"


def _float(array: np.ndarray) -> np.ndarray:
    return np.asarray(array, np.complex128 if array.dtype.kind == "c" else np.float64)


def _square(values: np.ndarray) -> float:
    """The square of the 2-norm; not finite if an element is not, or if it overflows."""
    return float(np.vdot(values, values).real)


def _largest(values: np.ndarray) -> float:
    if values.dtype.kind == "c":
        return float(np.abs(values).max(initial=0.0))
    return max(float(values.max(initial=0.0)), -float(values.min(initial=0.0)))


def _finite(array: np.ndarray) -> np.ndarray:
    finite = np.isfinite(array)
    return array if finite.all() else array[finite]


def _norm(array: np.ndarray) -> float:
    return math.sqrt(sum(_square(_finite(_float(piece))) for (piece,) in pieces(array)))


def _count(array: np.ndarray) -> int:
    return sum(_finite(piece).size for (piece,) in pieces(array))


def _ratio(distance: float, scale: float) -> float:
    if distance == 0:
        return 0.0
    return distance / scale if scale > 0 else math.inf
