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
from regauge.run.steps import Arrays, Step, is_update, walk_function
from regauge.verify.result import Check, Distance, Tier, Verdict
from regauge.verify.slots import at_step, in_another_form, paired, slot_label, slot_tier
from regauge.verify.tolerance import LIMITS

STEPS = 20
# how large the generated gradients are, step after step: usual, small (where eps counts), large (where clipping
# counts), and none at all
_SIZES = (1.0, 1.0, 1e-3, 10.0, 0.0)


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
    parameters = slot_tier("optimizer parameters", by_step)
    slots = paired(ours[-1].slots, theirs[-1].slots)
    tiers = [parameters]
    for meaning, mine, other in slots.pairs:
        rows = [
            [
                _distance(at_step(name, n), b.slots[other][name], array, _norm([array]))
                for name, array in a.slots.get(mine, {}).items()
                if name in b.slots.get(other, {})
            ]
            for n, (a, b) in enumerate(zip(ours, theirs, strict=True), start=1)
        ]
        tier = slot_tier(slot_label(meaning, mine, other), rows)
        kept_otherwise = tier.verdict == "different" and parameters.verdict == "equal"
        tiers.append(in_another_form(tier) if kept_otherwise else tier)
    return tiers, slots.findings


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
