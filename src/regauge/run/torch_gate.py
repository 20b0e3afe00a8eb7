"""The gate's reference: what the original computes in float64, and how far its own float32 is from that."""

from __future__ import annotations

import copy
import math
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors.numpy import save_file
from torch import Tensor
from torch.utils import _pytree as pytree

from regauge.run.gate import relative_distance
from regauge.run.protocol import write_json
from regauge.run.torch_subject import TorchSubject
from regauge.run.torch_time import configure, load_subject, output_arrays, train_step, update_norm

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


def run(job: dict[str, Any]) -> dict[str, Any]:
    """Write gate.json and outputs.safetensors into ``job["out"]``.

    Args:
        job: case, folder, tasks, threads, precision.
    """
    out = Path(job["out"])
    configure(job["threads"], job["precision"])
    precision = job["precision"]
    torch.set_float32_matmul_precision("highest")
    gate: dict[str, Any] = {}
    for task in job["tasks"]:
        subject = load_subject(job["case"], Path(job["folder"]), torch.device("cpu"))
        gate[task] = _infer(subject, precision, out) if task == "infer" else _train(subject, precision)
    write_json(out / "gate.json", gate)
    return {"tasks": sorted(gate)}


def _infer(subject: TorchSubject, precision: str, out: Path) -> dict[str, Any]:
    low = _outputs(subject)
    try:
        reference, note = _outputs(_widened(subject)), ""
        limit = ALLOWED_RATIO * max(relative_distance(low, reference), FLOORS[precision])
    except (RuntimeError, TypeError, ValueError) as error:
        reference, limit = low, UNKNOWN_LIMITS[precision]
        note = f"the original does not run in float64, so its float32 outputs are the reference: {_first_line(error)}"
    save_file({name: np.ascontiguousarray(array) for name, array in reference.items()}, out / "outputs.safetensors")
    return {"outputs": {"limit": min(limit, CAPS[precision])}, "note": note}


def _outputs(subject: TorchSubject) -> dict[str, np.ndarray]:
    with torch.no_grad():
        return output_arrays(subject.call(subject.model.eval(), subject.inputs))


def _train(subject: TorchSubject, precision: str) -> dict[str, Any]:
    seeds = [_first_step(subject, seed) for seed in range(2)]
    if seeds[0] == seeds[1]:
        return _deterministic_train(subject, seeds[0], precision)
    seeds += [_first_step(subject, seed) for seed in range(2, SEEDS)]
    losses, updates = zip(*seeds, strict=True)
    return {
        "loss": _spread_limit(losses, 10 * FLOORS[precision]),
        "update": _spread_limit(updates, UPDATE_TOLERANCE),
        "note": f"the step draws random numbers: its first loss shall lie within the spread of {SEEDS} seeds",
    }


def _deterministic_train(subject: TorchSubject, low: tuple[float, float], precision: str) -> dict[str, Any]:
    try:
        (loss, update), note = _first_step(_widened(subject), 0), ""
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


def _first_step(subject: TorchSubject, seed: int) -> tuple[float, float]:
    """Loss and update norm of the first training step, on a copy of the model."""
    own = copy.copy(subject)
    own.model = copy.deepcopy(subject.model)
    parameters = [p for p in own.model.parameters() if p.requires_grad]
    before = [p.detach().clone() for p in parameters]
    torch.manual_seed(seed)
    loss = float(train_step(own)())
    return loss, update_norm(before, parameters)


def _spread_limit(values: tuple[float, ...], relative: float) -> dict[str, float]:
    """Student's prediction interval for one more draw: ``t s sqrt(1 + 1/n)`` around the mean, plus rounding."""
    mean, spread = statistics.fmean(values), statistics.stdev(values)
    quantile = _t_quantile(1 - FALSE_ALARMS / 2, len(values) - 1)
    half = quantile * spread * math.sqrt(1 + 1 / len(values))
    return {"value": mean, "limit": half + relative * abs(mean)}


def _t_quantile(share: float, freedom: int) -> float:
    from scipy.stats import t

    return float(t.ppf(share, freedom))


def _widened(subject: TorchSubject) -> TorchSubject:
    """The subject with every floating-point tensor in float64."""
    wide: Callable[[Tensor], Tensor] = lambda t: t.double() if t.is_floating_point() else t  # noqa: E731
    copied = copy.copy(subject)
    copied.model = copy.deepcopy(subject.model).double()
    copied.inputs = pytree.tree_map_only(Tensor, wide, subject.inputs)
    copied.targets = pytree.tree_map_only(Tensor, wide, subject.targets)
    return copied


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
