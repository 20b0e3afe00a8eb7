"""The gate before the clock: what a worker's first step gave, against the float64 reference. numpy only."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from safetensors.numpy import load_file

from regauge.errors import WorkerFailed
from regauge.run.protocol import read_json

Arrays = Mapping[str, np.ndarray]


def relative_distance(values: Arrays, reference: Arrays) -> float:
    """``||x - r|| / ||r||`` over all arrays together, in float64; inf where names, shapes or finiteness differ."""
    if values.keys() != reference.keys():
        return float("inf")
    difference = scale = 0.0
    for name, expected in reference.items():
        found = np.asarray(values[name])
        if found.shape != expected.shape:
            return float("inf")
        wide, expected = _wide(found), _wide(expected)
        if not np.array_equal(np.isfinite(wide), np.isfinite(expected)):
            return float("inf")
        finite = np.isfinite(expected)
        difference += float(np.sum(np.abs(wide[finite] - expected[finite]) ** 2))
        scale += float(np.sum(np.abs(expected[finite]) ** 2))
    if scale == 0.0:
        return 0.0 if difference == 0.0 else float("inf")
    return float(np.sqrt(difference / scale))


def _wide(array: np.ndarray) -> np.ndarray:
    return array.astype(np.complex128 if array.dtype.kind == "c" else np.float64)


def pass_gate(directory: Path, task: str, observed: Mapping[str, Any]) -> dict[str, Any]:
    """Compare the first step with the reference in `directory`.

    Args:
        directory: holds gate.json and outputs.safetensors, written by `run/torch_gate.py`.
        task: infer or train.
        observed: `outputs` (arrays by leaf name) for infer; `loss` and, where it was taken, `update` (the norm of
            the change of all trained parameters) for train.

    Returns:
        What was compared: the distance of each quantity and its limit.

    Raises:
        WorkerFailed: M120, the variant does not compute what the original computes.
    """
    gate = read_json(directory / "gate.json")[task]
    if task == "infer":
        distances = {"outputs": relative_distance(observed["outputs"], load_file(directory / "outputs.safetensors"))}
    else:
        distances = {name: abs(observed[name] - gate[name]["value"]) for name in ("loss", "update") if name in observed}
    limits = {name: gate[name]["limit"] for name in distances}
    ratios = {name: distances[name] / limits[name] for name in distances}
    largest = max(ratios, key=lambda name: _nan_last(ratios[name]))
    if not all(ratio <= 1 for ratio in ratios.values()):
        raise WorkerFailed(
            "the first step does not give what the original gives, so nothing was timed",
            code="M120",
            received=f"{largest}: {distances[largest]:.3g} from float64; the limit is {limits[largest]:.3g}",
            why="a time is only worth comparing between two models that are the same function",
            next="regauge check finds the first tensor that differs",
        )
    return {"passed": True, "ratio": ratios[largest], "distances": distances, "limits": limits, "note": gate["note"]}


def _nan_last(ratio: float) -> float:
    return float("inf") if ratio != ratio else ratio
