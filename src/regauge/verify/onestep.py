"""Verdicts on one forward and backward pass: outputs, loss, gradients and state, in float64 and in float32."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from regauge.verify.evaluations import WIDE, Arrays, Evaluations, Mode, Outcome, of_kind
from regauge.verify.result import Distance, Tier, Verdict
from regauge.verify.tolerance import (
    LIMITS,
    Error,
    alone,
    compare,
    judged_same,
    kind_scale,
    rms,
    same_function,
)
from regauge.verify.ways import Ways

KINDS = {
    "outputs": "outputs",
    "loss": "loss",
    "gradients": "gradients",
    "input gradients": "input gradients",
    "state": "state",
    "after": "outputs with the updated state",
}
MASKED = " with dropout masks"  # ends the name of a tier of passes in which both sides drop the same elements


@dataclass(frozen=True)
class Pass:
    """One task that both sides ran: an input set in a mode, with dropout off or with the same masks."""

    task: str
    input: str
    typical: bool
    noise: tuple[str, ...] = ()  # tasks of the original with weights one unit in the last place away
    sequential: bool = False  # whether the converted side sums positions one after the other, the original in pairs
    silent: bool = False  # with weights of which half of the units are zero: for gradients at kinks

    @property
    def is_constant(self) -> bool:
        """Whether every position of the input holds the same numbers, so that rounding errors do not average out."""
        return self.input == "zeros"

    def is_amplified(self, kind: str) -> bool:
        """Whether rounding of this kind is amplified here as much as an implementation lets it (docs/equivalence.md).

        The mean of a constant image, divided by the root of eps: the order of a sum decides whether its rounding
        is 0. Far from zero torch's batch norm multiplies and adds where JAX subtracts the mean first: its gradients,
        sums that cancel, are hundreds of times further from float64.
        """
        if self.is_constant:
            return kind != "state"
        return self.sequential and self.input == "offset" and kind == "gradients"


def same_function_tiers(found: Evaluations, passes: Sequence[Pass], mode: Mode, suffix: str = "") -> list[Tier]:
    """Tier 1, one tier for each kind that the passes hold."""
    failed = [(p.input, error) for p in passes if (error := _error(found.get("C64", p.task)))]
    if failed:
        why = f"the converted model raises on {failed[0][0]}: {failed[0][1]}"
        return [Tier(f"tier 1 outputs{suffix}", "different", mode, len(passes), math.inf, LIMITS.same_norm, why)]
    worst: dict[str, dict[str, Distance]] = {}
    unstable: dict[str, list[str]] = {}
    counts: Counter[str] = Counter()
    usual: dict[str, float] = {}
    for step in passes:
        original = found.original("M64", step.task)
        converted = found.converted("C64", step.task, original)
        noisy = [found.original("M64", task) for task in step.noise if found.get("M64", task)]
        missing = _missing(found.outcomes["M64"][step.task])
        kinds = _kinks(original, converted) if step.silent else KINDS
        excused: set[str] = set()
        for kind in kinds:
            reference = of_kind(original, kind)
            candidate = of_kind(converted, kind)
            scale = usual.setdefault(kind, _scale(reference))
            distances = list(_kind_distances(reference, candidate, missing.get(kind, frozenset()), scale))
            moved = _moved(reference, [of_kind(copy, kind) for copy in noisy])
            counts[kind] += bool(distances)
            for distance in distances:
                # A loss is one number of the outputs; how far noise moves it once may be little by chance.
                is_moved = moved.get(distance.name, 0.0) > LIMITS.stable or (kind == "loss" and "outputs" in excused)
                if is_moved and not distance.passed:
                    excused.add(kind)
                    unstable.setdefault(kind, []).append(f"{distance.name} on {step.input}")
                    continue
                kept = worst.setdefault(kind, {})
                shown = replace(distance, note=_on(distance, step.input))
                kept[distance.name] = _worse(kept.get(distance.name), shown)
    seconds = sum(found.outcomes[side][p.task].seconds for p in passes for side in WIDE)
    tiers = []
    for kind in KINDS:
        if kind in worst or kind in unstable:
            name = f"tier 1 {KINDS[kind]}{suffix}"
            tiers.append(_tier(name, mode, counts[kind], worst.get(kind, {}), unstable.get(kind, []), seconds))
    return tiers


def _kinks(original: Arrays, converted: Arrays) -> tuple[str, ...]:
    """The kinds that a pass with silent units is for: gradients, if its outputs are equal and everything is finite.

    Where outputs differ, equal numbers were put in another order, which no data does; other inputs show what is wrong.
    """
    outputs = of_kind(original, "outputs"), of_kind(converted, "outputs")
    equal = all(distance.passed for distance in _kind_distances(*outputs, ()))
    arrays = [array for array in (*original.values(), *converted.values()) if array.dtype.kind in "fc"]
    finite = all(bool(np.all(np.isfinite(array))) for array in arrays)
    return ("gradients", "input gradients") if equal and finite else ()


def _tier(
    name: str, mode: Mode, inputs: int, worst: Mapping[str, Distance], unstable: list[str], seconds: float
) -> Tier:
    why = ""
    if unstable:
        shown = ", ".join(unstable[:3]) + (", ..." if len(unstable) > 3 else "")
        why = f"not judged, because one unit in the last place of the weights moves the original itself: {shown}"
    if not worst:
        return Tier(name, "not checked", mode, inputs, why=why, seconds=seconds)
    failed = [distance for distance in worst.values() if not distance.passed]
    bound = max(distance.norm for distance in worst.values())
    if failed:
        why = describe(failed)
    verdict: Verdict = "different" if failed else "equal"
    distances = tuple(worst.values())
    return Tier(name, verdict, mode, inputs, bound, LIMITS.same_norm, why, distances, seconds)


def describe(failed: Sequence[Distance]) -> str:
    """The first few tensors that differ, each with its distance."""
    texts = [f"{d.name} ({d.note})" if math.isinf(d.norm) and d.note else f"{d.name} {d.norm:.2g}" for d in failed[:5]]
    more = len(failed) - 5
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")


def _on(distance: Distance, name: str) -> str:
    where = f"on {name}"
    return f"{distance.note}, {where}" if distance.note else where


def inputs_that_differ(tier: Tier) -> set[str]:
    """Names of the input sets on which a tensor of a tier is furthest beyond its limit."""
    return {distance.note.rpartition("on ")[2] for distance in tier.distances if not distance.passed}


def _worse(one: Distance | None, other: Distance) -> Distance:
    if one is None:
        return other
    if one.passed != other.passed:
        return other if one.passed else one
    return other if (other.norm, other.largest) > (one.norm, one.largest) else one


def _scale(arrays: Arrays) -> float:
    return rms(array for array in arrays.values() if array.dtype.kind in "fc")


def _kind_distances(
    reference: Arrays, candidate: Arrays, missing: Iterable[str], usual: float = 0.0
) -> Iterable[Distance]:
    """Every tensor of a kind once: names of one side only differ, a gradient that torch leaves out must be zero.

    Args:
        reference: the original's.
        candidate: the converted model's.
        missing: gradients that torch leaves out.
        usual: the scale of the kind on the reference inputs: of a kind that cancels to zero exactly on others, where
            another order of the same sum leaves rounding.
    """
    compared = {n: compare(candidate[n], array) if n in candidate else alone(array) for n, array in reference.items()}
    scale = kind_scale(compared.values()) or usual
    for name, array in reference.items():
        if name in candidate:
            yield judged_same(name, candidate[name], array, compared[name], scale)
        else:
            yield Distance(name, math.inf, math.inf, LIMITS.same_norm, False, note="missing in the converted model")
    for name, array in candidate.items():
        if name in reference:
            continue
        if name in missing:
            largest = float(np.abs(array).max()) if array.size else 0.0
            note = "None in the original, zero in the converted model"
            yield Distance(name, largest, largest, 0.0, largest == 0, null=True, note=note)
        else:
            yield Distance(name, math.inf, math.inf, LIMITS.same_norm, False, note="missing in the original")


def _missing(outcome: Outcome) -> dict[str, set[str]]:
    missing: dict[str, set[str]] = {}
    for name in outcome.info.get("missing", ()):
        kind, _, rest = name.partition(".")
        missing.setdefault(kind, set()).add(rest)
    return missing


def _moved(reference: Arrays, copies: Sequence[Arrays]) -> dict[str, float]:
    """How far noise moves each tensor of the original, at most; a branch that flips counts as far."""
    if not copies:
        return {}
    scale = _scale(reference)
    moved: dict[str, float] = {}
    for copy in copies:
        for name in [name for name in reference if name in copy]:
            distance = same_function(name, copy[name], reference[name], scale)
            norm = distance.norm if distance.passed else math.inf
            moved[name] = max(norm, moved.get(name, 0.0))
    return moved


def no_worse_tiers(found: Evaluations, passes: Sequence[Pass], mode: Mode, suffix: str = "") -> list[Tier]:
    """Tier 2, one tier for each kind: both in their own precision against the original in float64."""
    failed = [(p.input, error) for p in passes if (error := _error(found.get("C32", p.task)))]
    if failed:
        why = f"the converted model raises on {failed[0][0]}: {failed[0][1]}"
        return [Tier(f"tier 2 outputs{suffix}", "different", mode, len(passes), math.inf, why=why)]
    errors: dict[str, list[tuple[Pass, Error, Error]]] = {}
    for step in passes:
        reference = found.original("M64", step.task)
        ways = {kind: Ways(expected) for kind in KINDS if (expected := of_kind(reference, kind))}
        for task in (step.task, *step.noise):
            if found.get("M32", task):
                copy = found.original("M32", task)
                for kind, known in ways.items():
                    known.add(of_kind(copy, kind))
        converted = found.converted("C32", step.task, reference)
        for kind, known in ways.items():
            errors.setdefault(kind, []).append((step, *known.judged(of_kind(converted, kind))))
    seconds = sum(found.outcomes[side][p.task].seconds for p in passes for side in ("M32", "C32"))  # type: ignore[index]
    return [_no_worse(f"tier 2 {KINDS[kind]}{suffix}", mode, kind, errors[kind], seconds) for kind in errors]


def _no_worse(name: str, mode: Mode, kind: str, errors: list[tuple[Pass, Error, Error]], seconds: float) -> Tier:
    """One kind: the typical inputs set the original's error, a special input may have a larger one of its own."""
    judged = [e for e in errors if e[1].together <= LIMITS.free_pass and not e[1].notes]
    skipped = [e for e in errors if e not in judged]
    why = ""
    if skipped:
        largest = max(e[1].together for e in skipped)
        shown = ", ".join(e[0].input for e in skipped)
        why = f"not judged on {shown}: the original's own rounding is {largest:.1g} there"
    if not judged:
        return Tier(name, "not checked", mode, len(errors), why=why, seconds=seconds)
    worst: dict[str, Distance] = {}
    for step, own, other in judged:
        typical = [e[1] for e in judged if e[0].typical] or [own]
        for distance in _against_rounding(kind, step, own, other, typical):
            placed = replace(distance, note=_on(distance, step.input))
            worst[distance.name] = _excess(worst.get(distance.name), placed)
    failed = [distance for distance in worst.values() if not distance.passed]
    together = worst[TOGETHER]
    if failed:
        why = describe(failed)
    verdict: Verdict = "different" if failed else "equal"
    return Tier(
        name,
        verdict,
        mode,
        len(judged),
        together.norm,
        together.limit,
        why,
        tuple(worst.values()),
        seconds,
    )


TOGETHER = "all together"


def _against_rounding(kind: str, step: Pass, own: Error, other: Error, typical: Sequence[Error]) -> Iterable[Distance]:
    amplified = step.is_amplified(kind)

    def allowed(factor: float, errors: Iterable[float]) -> float:
        limit = factor * max(*errors, LIMITS.floor)
        return max(limit, LIMITS.cap) if amplified else limit

    own_together = max(own.together, *(e.together for e in typical))
    # the loss is one number, and a special input lets few elements decide (saturated units, cancellation): three draws
    # of their rounding say little, and nothing averages out
    factor = LIMITS.together if step.typical and kind != "loss" else LIMITS.alone
    alone = LIMITS.coherent if kind == "state" and step.is_constant else LIMITS.alone
    if step.sequential and kind in ("gradients", "state"):
        alone = LIMITS.sequential
        factor = LIMITS.sequential if kind == "state" else factor  # statistics of many positions are all alike
    limit = min(allowed(factor, [own_together]), LIMITS.cap)
    yield Distance(TOGETHER, other.together, other.together, limit, other.together <= limit, own_together)
    for name, norm in other.norms.items():
        own_norm = max(own.norms[name], *(e.norms.get(name, 0.0) for e in typical))
        own_largest = max(own.largest[name], *(e.largest.get(name, 0.0) for e in typical))
        limit = allowed(alone, [own_norm])
        passed = norm <= limit
        if kind == "outputs":
            passed = passed and other.largest[name] <= allowed(LIMITS.element, [own_largest])
        yield Distance(name, norm, other.largest[name], limit, passed, own_norm, note=other.notes.get(name, ""))


def _excess(one: Distance | None, other: Distance) -> Distance:
    """The one that is further beyond (or nearer to) its own limit."""
    if one is None:
        return other
    if one.passed != other.passed:
        return other if one.passed else one
    return other if other.norm / other.limit > one.norm / one.limit else one


def _error(outcome: Outcome | None) -> str:
    return "it was not run" if outcome is None else outcome.error
