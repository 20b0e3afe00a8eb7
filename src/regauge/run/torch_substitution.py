"""Substitution on a torch side: one pass with something done in another way, and how far it then is from the other.

A trial is ``{"edits": [...]}``; an edit is one of
``{"kind": "argument", "calls": [numbers], "values": {name: value}}``,
``{"kind": "replace", "calls": [numbers], "by": name in torch_alternatives, "options": {...}}``,
``{"kind": "weight", "name": ..., "how": name in torch_alternatives, "options": {...}}`` and
``{"kind": "optimizer", ...}`` of `torch_optimizer_variants`.
Calls are numbered as in a trace of the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from regauge.run.array_files import Arrays, save_arrays
from regauge.run.distances import distance_to, moves
from regauge.run.dropout_masks import DropoutCall
from regauge.run.evaluation import array_file, task_arrays
from regauge.run.torch_alternatives import ALTERNATIVES, WEIGHTS
from regauge.run.torch_calls import CallCounter, arguments_of, with_arguments
from regauge.run.torch_optimizer_variants import built_with
from regauge.run.torch_optimizers import build

if TYPE_CHECKING:
    from regauge.run.torch_evaluate import TorchEvaluator


_MORE = 6  # trials that are still made when one made the difference vanish: others may do it too


class Substitution(CallCounter):
    """Calls some functions in another way."""

    def __init__(self, edits: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._edits = [(frozenset(edit["calls"]), edit) for edit in edits if "calls" in edit]

    def called(self, index: int, func: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
        for calls, edit in self._edits:
            if index not in calls:
                continue
            if edit["kind"] == "replace":
                options = edit.get("options", {})
                return ALTERNATIVES[edit["by"]](func, args, kwargs, arguments_of(func, args, kwargs), **options)
            args, kwargs = with_arguments(func, args, kwargs, edit["values"])
        return func(*args, **kwargs)


@contextmanager
def _other_weights(model: torch.nn.Module, edits: Sequence[Mapping[str, Any]]) -> Iterator[None]:
    tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
    changed = {edit["name"]: edit for edit in edits if edit["kind"] == "weight"}
    saved = {name: tensors[name].detach().clone() for name in changed}
    try:
        with torch.no_grad():
            for name, edit in changed.items():
                new = WEIGHTS[edit["how"]](saved[name], tensors, saved, **edit.get("options", {}))
                tensors[name].copy_(new)
        yield
    finally:
        with torch.no_grad():
            for name, before in saved.items():
                tensors[name].copy_(before)


def substitute(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Run trials one after the other until the time is up.

    Args:
        evaluator: of the side.
        task: of a *step* or a *trajectory* (``of``: that task), with ``trials``, the path of the other side's arrays
            (``target`` with its ``parts``), the names of the tensors that differ (``names``), ``seconds``, and the
            ``limit`` below which a difference has vanished.

    Returns:
        ``before``, and ``trials``: for each that was run its index and ``after``, each by name of a tensor.
    """
    kept = task_arrays(task["target"], task["parts"])
    kept = moves(kept) if task["of"]["kind"] == "trajectory" else kept
    target = {name: array for name, array in kept.items() if name in task["names"]}
    run = _runner(evaluator, task)
    started = time.monotonic()
    before = distance_to(run(task["of"])[0], target)
    quickly = _after_one_step(task, target, before)
    found: list[dict[str, Any]] = []
    last = len(task["trials"])
    for index, trial in enumerate(task["trials"]):
        if time.monotonic() - started > task["seconds"] or index > last:
            break
        edits = trial["edits"]
        try:
            evaluator.substitution = partial(Substitution, edits)
            for edit in edits:
                if edit["kind"] == "optimizer":
                    evaluator.build_optimizer = partial(built_with, edit)
            with _other_weights(evaluator.model, edits):
                after = quickly(run) if quickly else None
                after = after or distance_to(run(task["of"])[0], target)
            found.append({"index": index, "after": after})
            if max(after.values(), default=1.0) <= task["limit"]:
                last = min(last, index + _MORE)
        except Exception as error:
            found.append({"index": index, "error": f"{type(error).__name__}: {error}"})
        finally:
            evaluator.substitution, evaluator.build_optimizer = nullcontext, build
    return {}, {
        "before": before,
        "seconds_used": time.monotonic() - started,
        "trials": found,
        "stopped": len(found) < len(task["trials"]),
    }


def _runner(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> Callable[[Any], tuple[Arrays, Any]]:
    """What runs a pass: only as much of it as the tensors that differ need."""
    if task["of"]["kind"] == "trajectory":
        return partial(_moves, evaluator, f"{task['file']}-trial")
    if all(name.startswith(("outputs", "loss")) for name in task["names"]):
        return partial(_forward, evaluator)
    return evaluator.step


def _after_one_step(
    task: Mapping[str, Any], target: Arrays, before: Mapping[str, float]
) -> Callable[[Callable[[Any], tuple[Arrays, Any]]], dict[str, float] | None] | None:
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

    def run_one(run: Callable[[Any], tuple[Arrays, Any]]) -> dict[str, float] | None:
        after = distance_to(run({**task["of"], "steps": 1})[0], first)
        if max(after.values()) <= (max(0.5 * apart, limit) if part_at_once else max(2 * apart, limit)):
            return None
        return after if part_at_once else dict(before)

    return run_one


def _moves(evaluator: TorchEvaluator, file: str, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """How far the parameters went: their distances are over that way, as those of the trajectory are."""
    buffers, info = evaluator.trajectory({**task, "file": file})
    save_arrays(array_file(file), buffers)
    return moves(task_arrays(file, info["parts"])), {}


@torch.no_grad()
def _forward(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    given = [DropoutCall.from_json(call) for call in task["calls"]] if "calls" in task else None
    with evaluator.keeper.kept(), evaluator.controlled(task["dropout"], 0, given):
        evaluator.prepare(task)
        outputs, loss = evaluator.evaluate(evaluator.leaves(task["input"])[0])
        return evaluator.forward_arrays(outputs, loss), {}
