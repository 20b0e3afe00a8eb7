"""The gate's reference: what the original computes in float64, and how far its own float32 is from that.

What is the same for both frameworks; `torch_gate` and `jax_gate` run the original.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from safetensors.numpy import save_file

from regauge.run.gate import relative_distance
from regauge.run.protocol import write_json

# How much further from float64 than the original's own rounding a variant may be. One input gives a noisy estimate
# of that rounding, and fused kernels sum in another order.
ALLOWED_RATIO = 10.0
# Rounding that is granted even where the original is exact, and the distance above which nothing passes.
FLOORS = {"strict32": 1.2e-7, "tf32": 2.0**-10}
CAPS = {"strict32": 1e-2, "tf32": 1e-1}
# Without a float64 run the original's rounding is not known.
UNKNOWN_LIMITS = {"strict32": 1e-4, "tf32": 3e-2}
# Adam divides a gradient by its own size: where it is zero but for rounding (a bias before a normalization), float32
# moves the weight by a full learning rate and float64 does not.
UPDATE_TOLERANCE = 0.05
SEEDS = 8
FALSE_ALARMS = 1e-5


class Original(Protocol):
    """The original as the gate runs it; `wide` is float64 throughout."""

    def outputs(self, wide: bool) -> Mapping[str, np.ndarray]:
        """Outputs in evaluation mode, by leaf name."""

    def first_step(self, seed: int, wide: bool) -> tuple[float, float]:
        """Loss and norm of the update of the first training step."""


def write_gate(original: Callable[[], Original], tasks: Sequence[str], precision: str, out: Path) -> dict[str, Any]:
    """Write gate.json and outputs.safetensors.

    Args:
        original: loads it anew.
        tasks: infer, train.
        precision: a profile of `measure.plan`.
        out: directory.

    Returns:
        The reply of the job.
    """
    gate: dict[str, Any] = {}
    for task in tasks:
        gate[task] = _infer(original(), precision, out) if task == "infer" else _train(original(), precision)
    write_json(out / "gate.json", gate)
    return {"tasks": sorted(gate)}


def _infer(original: Original, precision: str, out: Path) -> dict[str, Any]:
    low = original.outputs(False)
    try:
        reference, note = original.outputs(True), ""
        limit = ALLOWED_RATIO * max(relative_distance(low, reference), FLOORS[precision])
    except (RuntimeError, TypeError, ValueError) as error:
        reference, limit = low, UNKNOWN_LIMITS[precision]
        note = f"the original does not run in float64, so its float32 outputs are the reference: {_first_line(error)}"
    save_file({name: np.asarray(array, order="C") for name, array in reference.items()}, out / "outputs.safetensors")
    return {"outputs": {"limit": min(limit, CAPS[precision])}, "note": note}


def _train(original: Original, precision: str) -> dict[str, Any]:
    seeds = [original.first_step(seed, False) for seed in range(2)]
    if seeds[0] == seeds[1]:
        return _deterministic_train(original, seeds[0], precision)
    seeds += [original.first_step(seed, False) for seed in range(2, SEEDS)]
    losses, updates = zip(*seeds, strict=True)
    return {
        "loss": _spread_limit(losses, 10 * FLOORS[precision]),
        "update": _spread_limit(updates, UPDATE_TOLERANCE),
        "note": f"the step draws random numbers: its first loss shall lie within the spread of {SEEDS} seeds",
    }


def _deterministic_train(original: Original, low: tuple[float, float], precision: str) -> dict[str, Any]:
    try:
        (loss, update), note = original.first_step(0, True), ""
        error = abs(low[0] - loss) / max(abs(loss), np.finfo(np.float64).tiny)
        relative = min(ALLOWED_RATIO * max(error, FLOORS[precision]), CAPS[precision])
    except (RuntimeError, TypeError, ValueError) as failure:
        (loss, update), relative = low, UNKNOWN_LIMITS[precision]
        note = f"the original does not train in float64, so its float32 step is the reference: {_first_line(failure)}"
    return {
        "loss": {"value": loss, "limit": max(relative * abs(loss), np.finfo(np.float32).tiny)},
        "update": {"value": update, "limit": max(UPDATE_TOLERANCE * update, np.finfo(np.float32).tiny)},
        "note": note,
    }


def _spread_limit(values: tuple[float, ...], relative: float) -> dict[str, float]:
    """Student's prediction interval for one more draw: ``t s sqrt(1 + 1/n)`` around the mean, plus rounding."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    quantile = _t_quantile(1 - FALSE_ALARMS / 2, len(values) - 1)
    half = quantile * spread * math.sqrt(1 + 1 / len(values))
    return {"value": mean, "limit": half + relative * abs(mean)}


def _t_quantile(share: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(share, freedom))


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
