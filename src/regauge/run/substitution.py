"""Trials on one side, run one after the other: what both frameworks' substitutions share.

A trial is ``{"edits": [...]}``; an edit is one of
``{"kind": "argument", "calls": [numbers], "values": {name: value}}``,
``{"kind": "replace", "calls": [numbers], "by": name of an alternative, "options": {...}}``,
``{"kind": "weight", "name": ..., "how": name of a change, "options": {...}}`` and
``{"kind": "optimizer", ...}``.
Calls are numbered as in a trace of the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

from regauge.run.array_files import Arrays, save_arrays
from regauge.run.distances import distance_to, moves
from regauge.run.evaluation import array_file, task_arrays

Edits = Sequence[Mapping[str, Any]]
Run = Callable[[Mapping[str, Any]], Arrays]

_MORE = 6  # trials that are still made when one made the difference vanish: others may do it too


def run_trials(
    task: Mapping[str, Any], run: Run, edited: Callable[[Edits], AbstractContextManager[None]]
) -> dict[str, Any]:
    """Run trials one after the other until the time is up.

    Args:
        task: of a *step* or a *trajectory* (``of``: that task), with ``trials``, the path of the other side's arrays
            (``target`` with its ``parts``), the names of the tensors that differ (``names``), ``seconds``, and the
            ``limit`` below which a difference has vanished.
        run: evaluates the pass; of a trajectory it gives how far the parameters went.
        edited: within it the pass is run with the edits of a trial.

    Returns:
        ``before``, and ``trials``: for each that was run its index and ``after``, each by name of a tensor.
    """
    kept = task_arrays(task["target"], task["parts"])
    kept = moves(kept) if task["of"]["kind"] == "trajectory" else kept
    target = {name: array for name, array in kept.items() if name in task["names"]}
    started = time.monotonic()
    before = distance_to(run(task["of"]), target)
    quickly = _after_one_step(task, target, before)
    found: list[dict[str, Any]] = []
    last = len(task["trials"])
    for index, trial in enumerate(task["trials"]):
        if time.monotonic() - started > task["seconds"] or index > last:
            break
        try:
            with edited(trial["edits"]):
                after = quickly(run) if quickly else None
                after = after or distance_to(run(task["of"]), target)
            found.append({"index": index, "after": after})
            if max(after.values(), default=1.0) <= task["limit"]:
                last = min(last, index + _MORE)
        except Exception as error:
            found.append({"index": index, "error": f"{type(error).__name__}: {error}"})
    return {
        "before": before,
        "seconds_used": time.monotonic() - started,
        "trials": found,
        "stopped": len(found) < len(task["trials"]),
    }


def is_forward(task: Mapping[str, Any]) -> bool:
    """Whether the tensors that differ need a forward pass alone."""
    return all(name.startswith(("outputs", "loss")) for name in task["names"])


def moved(
    trajectory: Callable[[dict[str, Any]], tuple[Arrays, dict[str, Any]]], file: str, task: Mapping[str, Any]
) -> Arrays:
    """How far the parameters went: their distances are over that way, as those of the trajectory are.

    Args:
        trajectory: of the side, which writes its parts into files.
        file: where they go.
        task: of the trajectory.
    """
    buffers, info = trajectory({**task, "file": file})
    save_arrays(array_file(file), buffers)
    return moves(task_arrays(file, info["parts"]))


def _after_one_step(
    task: Mapping[str, Any], target: Arrays, before: Mapping[str, float]
) -> Callable[[Run], dict[str, float] | None] | None:
    """For training: one step tells of most trials that they do not help.

    Where both sides part at the first step a trial must bring them together there, and where they part later it must
    leave the first step as it is.

    Returns:
        A function that gives the distances after one step, or None if all steps must be run; None where it is no
        training, or nothing is known of the first step.
    """
    first = {name: array for name, array in target.items() if name.startswith("first.")}
    if task["of"]["kind"] != "trajectory" or not first:
        return None
    apart, limit = max(before[name] for name in first), task["limit"]
    part_at_once = apart > 10 * limit

    def run_one(run: Run) -> dict[str, float] | None:
        after = distance_to(run({**task["of"], "steps": 1}), first)
        if max(after.values()) <= (max(0.5 * apart, limit) if part_at_once else max(2 * apart, limit)):
            return None
        return after if part_at_once else dict(before)

    return run_one
