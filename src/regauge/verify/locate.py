"""Where a difference begins: the first module, in order of the forward pass, whose output is not the original's."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from regauge.verify.evaluations import Evaluations, Outcome
from regauge.verify.result import Tier
from regauge.verify.tolerance import rms, same_function

RunModules = Callable[[Mapping[str, Any]], tuple[Outcome, Outcome]]


def first_difference(run: RunModules, tiers: Sequence[Tier], found: Evaluations, modules: Sequence[str]) -> str:
    """The path of the first module that differs, or of the module of the first tensor that does.

    Args:
        run: evaluates both models once more and keeps the output of every module.
        tiers: of the check; the first one that differs chooses mode and dropout.
        found: for the original's dropout calls.
        modules: module paths of the original, in order.
    """
    failed = next(tier for tier in tiers if tier.verdict == "different")
    if failed.name == "weights":
        return _module_of_tensor(failed, modules)
    masks = "masks" in failed.name
    calls = found.outcomes["M64"]["step-0-train-masks"].info.get("calls", []) if masks else []
    names = [d.note.rpartition("on ")[2] for d in failed.distances if not d.passed and "on " in d.note]
    task = {
        "id": "modules",
        "kind": "modules",
        "mode": failed.mode or "train",
        "input": names[0] if names else "reference",
        "dropout": "masks" if masks else "off",
        "calls": calls,
    }
    ours, theirs = run(task)
    if not ours.error and not theirs.error:
        place = _first_module(ours.arrays(), theirs.arrays(), ours.info["order"])
        if place:
            return place
    return _module_of_tensor(failed, modules)


def _first_module(original: Mapping[str, np.ndarray], converted: Mapping[str, np.ndarray], order: Sequence[str]) -> str:
    for path in order:
        if path not in converted:
            continue
        reference = original[path]
        candidate = _in_layout(converted[path], reference)
        if candidate is not None and not same_function(path, candidate, reference, rms([reference])).passed:
            return path
    return ""


def _in_layout(candidate: np.ndarray, reference: np.ndarray) -> np.ndarray | None:
    """The candidate in the original's layout, or None if it is another quantity (a fused or reshaped one)."""
    if candidate.shape == reference.shape:
        return candidate
    if candidate.ndim == reference.ndim >= 3:
        moved = np.moveaxis(candidate, -1, 1)
        if moved.shape == reference.shape:
            return moved
    return None


def _module_of_tensor(failed: Tier, modules: Sequence[str]) -> str:
    """The earliest module that owns a differing tensor of the tier."""
    names = [d.name for d in failed.distances if not d.passed and not d.name.startswith("all together")]
    owners = [name.rpartition(".")[0] for name in names]
    known = [path for path in modules if path and path in owners]
    return known[0] if known else (names[0] if names else re.sub(r"^tier \d ", "", failed.name))
