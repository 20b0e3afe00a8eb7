"""Two optimizers on the same parameters and gradients in float64: the first step, and the slot, that differ."""

from __future__ import annotations

import importlib
import math
import time
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from regauge import optimizers
from regauge.errors import BadCase
from regauge.findings import Finding
from regauge.run.evaluation import seeded
from regauge.run.frameworks import framework_of
from regauge.run.steps import ONCE, Arrays, Step, is_update, walk_function
from regauge.verify.result import Check, Distance, Tier, Verdict
from regauge.verify.tolerance import LIMITS

STEPS = 20
# how large the generated gradients are, step after step: usual, small (where eps counts), large (where clipping
# counts), and none at all
_SIZES = (1.0, 1.0, 1e-3, 10.0, 0.0)

# what libraries and people call one and the same slot
SLOTS: dict[str, tuple[str, ...]] = {
    "first moment": ("exp_avg", "mu", "m", "first_moment", "moment1"),
    "second moment": ("exp_avg_sq", "nu", "v", "second_moment", "moment2", "square_avg"),
    "largest second moment": ("max_exp_avg_sq", "nu_max", "vmax"),
    "momentum": ("momentum_buffer", "trace", "momentum", "velocity", "buf"),
    "sum of squares": ("sum", "sum_of_squares", "accumulator"),
    "mean gradient": ("grad_avg", "mean_grad"),
    "step": ("step", "count", "t", "steps"),
}
_MEANING = {name: meaning for meaning, names in SLOTS.items() for name in names}


def check_optimizers(
    original: Any,
    converted: Any,
    params: Mapping[str, Any],
    gradients: Sequence[Mapping[str, Any]] | None = None,
    *,
    steps: int = STEPS,
    frameworks: tuple[str, str] | None = None,
) -> Check:
    """Judge whether two optimizers make the same steps.

    Args:
        original: a torch.optim.Optimizer (of which the settings count), a function of a list of parameters that makes
            one, a spec of `regauge.optimizers`, an optax transformation, or ``update(params, grads, state)``, which
            returns the new parameters and state and is given None as its first state.
        converted: the same.
        params: arrays by name, of any framework.
        gradients: of each step, by name; generated when None.
        steps: how many, where gradients are generated.
        frameworks: ``("torch", "jax")`` where functions do not tell; ``""`` is numpy.

    Raises:
        BadCase: an optimizer is none of these, or gradients lack a parameter.
    """
    started = time.monotonic()
    start = {name: _numpy(array) for name, array in params.items()}
    slopes = _gradients(start, gradients, steps)
    sides = []
    for index, (role, optimizer) in enumerate((("original", original), ("converted", converted))):
        framework = frameworks[index] if frameworks else _framework(optimizer)
        try:
            sides.append(_walk(optimizer, framework, start, slopes))
        except BadCase:
            raise
        except Exception as error:
            raise BadCase(
                f"the {role} optimizer raises: {type(error).__name__}: {error}",
                received=_name(optimizer),
                next="call it with float64 parameters and gradients of the same names",
            ) from error
    tiers, findings = _tiers(start, *sides)
    verdict: Verdict = "different" if any(t.verdict == "different" for t in tiers) else "equal"
    return Check(
        f"{_name(original)} {_name(converted)}",
        verdict,
        tuple(tiers),
        first_difference=_first(tiers),
        findings=tuple(findings),
        inputs_tried=("given gradients" if gradients is not None else "generated gradients",),
        seconds=time.monotonic() - started,
        sides=(_name(original), _name(converted)),
    )


def _numpy(array: Any) -> np.ndarray:
    return np.array(array.detach().cpu() if hasattr(array, "detach") else array, np.float64)


def _gradients(start: Arrays, given: Sequence[Mapping[str, Any]] | None, steps: int) -> list[Arrays]:
    if given is None:
        return [
            {
                name: _SIZES[step % len(_SIZES)] * np.asarray(seeded(f"gradient {name}", step).standard_normal(a.shape))
                for name, a in start.items()
            }
            for step in range(steps)
        ]
    for number, found in enumerate(given, start=1):
        lacking = [name for name in start if name not in found]
        if lacking:
            raise BadCase(
                f"the gradients of step {number} lack {', '.join(lacking)}",
                received=", ".join(found) or "none",
                next="give one gradient for each parameter",
            )
    return [{name: _numpy(found[name]) for name in start} for found in given]


def _framework(optimizer: Any) -> str:
    if isinstance(optimizer, optimizers.Optimizer):
        return "torch"
    if hasattr(optimizer, "init") and hasattr(optimizer, "update"):
        return "jax"
    lineage = [cls.__module__ for cls in (optimizer if isinstance(optimizer, type) else type(optimizer)).__mro__]
    if any(name.startswith("torch.") for name in lineage):
        return "torch"
    found = framework_of(optimizer)
    if not found and not is_update(optimizer):
        raise BadCase(
            "it cannot be told what kind of optimizer this is",
            received=_name(optimizer),
            next="give a torch.optim.Optimizer, an optax transformation or a function update(params, grads, state)",
        )
    return found


def _walk(optimizer: Any, framework: str, start: Arrays, slopes: list[Arrays]) -> list[Step]:
    if framework not in ("torch", "jax"):
        return walk_function(optimizer, start, slopes, np.array)
    module: Any = importlib.import_module(f"regauge.run.{framework}_steps")
    found: list[Step] = module.walk(optimizer, start, slopes)
    return found


def _name(optimizer: Any) -> str:
    return getattr(optimizer, "__name__", type(optimizer).__name__)


def _tiers(start: Arrays, ours: list[Step], theirs: list[Step]) -> tuple[list[Tier], list[Finding]]:
    moved = _norm([ours[-1].params[name] - array for name, array in start.items()])
    by_step = [
        [_distance(f"{name} at step {n}", b.params[name], a.params[name], moved) for name in start]
        for n, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1)
    ]
    parameters = _tier("optimizer parameters", by_step)
    slots, findings = _pairs(ours[-1].slots, theirs[-1].slots)
    tiers = [parameters]
    for meaning, mine, other in slots:
        rows = [
            [
                _distance(_at(name, n), b.slots[other][name], array, _norm([array]))
                for name, array in a.slots.get(mine, {}).items()
                if name in b.slots.get(other, {})
            ]
            for n, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1)
        ]
        tier = _tier(f"optimizer slot {meaning} ({mine}, {other})", rows)
        if tier.verdict == "different" and parameters.verdict == "equal":
            why = f"kept in another form, for the parameters stay equal; {tier.why}"
            tier = Tier(tier.name, "not checked", "train", tier.inputs, tier.bound, tier.limit, why, tier.distances)
        tiers.append(tier)
    return tiers, findings


def _pairs(
    ours: Mapping[str, Arrays], theirs: Mapping[str, Arrays]
) -> tuple[list[tuple[str, str, str]], list[Finding]]:
    """Slots of one meaning, or of one name: (meaning, name of the original, name of the converted)."""
    meanings = [{_MEANING.get(name, name): name for name in reversed(list(slots))} for slots in (ours, theirs)]
    pairs = [(meaning, name, meanings[1][meaning]) for meaning, name in meanings[0].items() if meaning in meanings[1]]
    pairs.reverse()
    findings = []
    lonely = [
        [name for meaning, name in mine.items() if meaning not in other]
        for mine, other in (meanings, list(reversed(meanings)))
    ]
    if lonely[0]:
        text = f"Slots of the original alone: {', '.join(lonely[0])}; they were not compared"
        findings.append(Finding("V148", "info", "", text))
    if lonely[1]:
        text = f"Slots of the converted optimizer alone: {', '.join(lonely[1])}; they were not compared"
        findings.append(Finding("V148", "info", "", text))
    return pairs, findings


def _at(name: str, step: int) -> str:
    return f"at step {step}" if name == ONCE else f"{name} at step {step}"


def _norm(arrays: Sequence[np.ndarray]) -> float:
    return math.sqrt(sum(float(np.vdot(array, array)) for array in arrays))


def _distance(name: str, candidate: np.ndarray, reference: np.ndarray, scale: float) -> Distance:
    limit = LIMITS.trajectory
    if candidate.size == reference.size == 1:  # a count that is kept once may be kept for each parameter
        candidate = candidate.reshape(reference.shape)
    if candidate.shape != reference.shape:
        note = f"shape {candidate.shape}, the original's is {reference.shape}"
        return Distance(name, math.inf, math.inf, limit, False, note=note)
    if not np.array_equal(np.isnan(candidate), np.isnan(reference)):
        return Distance(name, math.inf, math.inf, limit, False, note="NaN at other places")
    difference = np.nan_to_num(candidate - reference)
    away = _norm([difference])
    norm = 0.0 if away == 0 else away / scale if scale > 0 else math.inf
    largest = float(np.abs(difference).max(initial=0.0))
    return Distance(name, norm, largest, limit, norm <= limit)


def _tier(name: str, by_step: list[list[Distance]]) -> Tier:
    """Every distance that fails, or where none does the largest of each tensor."""
    every = [distance for row in by_step for distance in row]
    failed = [distance for distance in every if not distance.passed]
    bound = max((distance.norm for distance in every), default=0.0)
    steps = len(by_step)
    if not failed:
        return Tier(name, "equal", "train", steps, bound, LIMITS.trajectory, f"{steps} steps", tuple(by_step[-1]))
    first = failed[0]
    why = f"they part with {first.name}: {first.norm:.2g}" + (f" ({first.note})" if first.note else "")
    return Tier(name, "different", "train", steps, bound, LIMITS.trajectory, why, tuple(failed))


def _first(tiers: Sequence[Tier]) -> str:
    """What differs at the earliest step; of one step the slot, because the parameters follow from it."""
    found = []
    for order, tier in enumerate(reversed(tiers)):
        failed = [d for d in tier.distances if not d.passed] if tier.verdict == "different" else []
        if failed:
            step = int(failed[0].name.rpartition(" ")[2])
            what = tier.name.removeprefix("optimizer ")
            found.append((step, order, f"{what}: {failed[0].name}"))
    return min(found)[2] if found else ""
