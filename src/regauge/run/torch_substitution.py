"""Substitution on a torch side: one pass with something done in another way, and how far it then is from the other."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

import torch

from regauge.run.array_files import Arrays
from regauge.run.dropout_masks import DropoutCall
from regauge.run.substitution import Edits, Run, is_forward, moved, run_trials
from regauge.run.torch_alternatives import ALTERNATIVES, WEIGHTS
from regauge.run.torch_calls import CallCounter, arguments_of, with_arguments
from regauge.run.torch_optimizer_variants import built_with
from regauge.run.torch_optimizers import build

if TYPE_CHECKING:
    from regauge.run.torch_evaluate import TorchEvaluator


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
    """Trials, as `substitution.run_trials` takes and gives them.

    Args:
        evaluator: of the side.
        task: of a *step* or a *trajectory*.
    """
    return {}, run_trials(task, _runner(evaluator, task), partial(_edited, evaluator))


@contextmanager
def _edited(evaluator: TorchEvaluator, edits: Edits) -> Iterator[None]:
    evaluator.substitution = partial(Substitution, edits)
    for edit in edits:
        if edit["kind"] == "optimizer":
            evaluator.build_optimizer = partial(built_with, edit)
    try:
        with _other_weights(evaluator.model, edits):
            yield
    finally:
        evaluator.substitution, evaluator.build_optimizer = nullcontext, build


def _runner(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> Run:
    """What runs a pass: only as much of it as the tensors that differ need."""
    if task["of"]["kind"] == "trajectory":
        return partial(moved, evaluator.trajectory, f"{task['file']}-trial")
    if is_forward(task):
        return partial(_forward, evaluator)
    return lambda of: evaluator.step(dict(of))[0]


@torch.no_grad()
def _forward(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> Arrays:
    given = [DropoutCall.from_json(call) for call in task["calls"]] if "calls" in task else None
    with evaluator.keeper.kept(), evaluator.controlled(task["dropout"], 0, given):
        evaluator.prepare(task)
        outputs, loss = evaluator.evaluate(evaluator.leaves(task["input"])[0])
        return evaluator.forward_arrays(outputs, loss)
