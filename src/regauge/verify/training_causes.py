"""Why two models part in training although one step of both gives the same gradients: causes in the optimizer."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from regauge.verify.causes_optimizers import number_trials, optimizer_trials
from regauge.verify.evaluations import WIDE, Outcome
from regauge.verify.result import Cause
from regauge.verify.tolerance import LIMITS
from regauge.verify.trying import Laboratory, Tried, originals_value, roles_to_try, try_all, worded


def causes_in_training(
    laboratory: Laboratory, outcomes: Sequence[Outcome], task: Mapping[str, Any], names: Sequence[str]
) -> list[Cause]:
    """What of the optimizer was tried and helped.

    Args:
        laboratory: that runs trials.
        outcomes: the traces of both sides, which describe their optimizers.
        task: the trajectory, as both sides ran it.
        names: of the parameters that are compared, after the first and the last step.
    """
    role = roles_to_try(laboratory)[0]
    other = outcomes[1 - role].info
    constants = [*other.get("optimizer_constants", ()), *_numbers(other.get("optimizer"))]
    spec = task.get("optimizer") or outcomes[role].info.get("optimizer")
    own = outcomes[role].info.get("optimizer_constants", ())
    trials = optimizer_trials(spec, constants) if spec else number_trials(own, constants)
    target = laboratory.found.outcomes[WIDE[1 - role]][task["id"]]
    tried = try_all(laboratory, role, trials, of=task, target=target, names=names, limit=LIMITS.trajectory)
    return [worded(one, role, _change(one, role)) for one in tried]


def _numbers(spec: Any) -> list[float]:
    if isinstance(spec, dict):
        return [number for value in spec.values() for number in _numbers(value)]
    if isinstance(spec, list):
        return [number for value in spec for number in _numbers(value)]
    return [float(spec)] if isinstance(spec, int | float) and not isinstance(spec, bool) else []


def _change(tried: Tried, role: int) -> str:
    changes = [name for edit in tried.trial.edits for name in edit.get("changes", ())]
    value = originals_value(tried.trial, role)
    return f"optimizer: {changes[0]}={value}" if len(changes) == 1 and value else "optimizer"
