"""Substitution on a torch side: one pass with something done in another way, and how far it is then from the other side.

A trial is ``{"edits": [...]}``; an edit is one of
``{"kind": "argument", "calls": [numbers], "values": {name: value}}``,
``{"kind": "replace", "calls": [numbers], "by": name in torch_alternatives, "options": {...}}`` and
``{"kind": "weight", "name": ..., "how": name in torch_alternatives, "options": {...}}``.
Calls are numbered as in a trace of the same pass.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, nullcontext
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors.numpy import load_file

from regauge.run.distances import distance_to
from regauge.run.evaluation import Arrays
from regauge.run.torch_alternatives import ALTERNATIVES, WEIGHTS
from regauge.run.torch_calls import CallCounter, arguments_of, with_arguments

if TYPE_CHECKING:
    from regauge.run.torch_evaluate import TorchEvaluator


class Substitution(CallCounter):
    """Calls some functions in another way."""

    def __init__(self, edits: Sequence[Mapping[str, Any]]) -> None:
        super().__init__()
        self._edits = [(frozenset(edit["calls"]), edit) for edit in edits if edit["kind"] != "weight"]

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
        task: of a *step* or a *trajectory* (``of``: that task), with ``trials``, the file of the other side's arrays
            (``target``), the names of the tensors that differ (``names``), and ``seconds``.

    Returns:
        ``before``, and ``trials``: for each that was run its index and ``after``, each by name of a tensor.
    """
    target = {name: array for name, array in load_file(Path(task["target"])).items() if name in task["names"]}
    run = evaluator.trajectory if task["of"]["kind"] == "trajectory" else evaluator.step
    started = time.monotonic()
    before = distance_to(run(task["of"])[0], target)
    found = []
    for index, trial in enumerate(task["trials"]):
        if time.monotonic() - started > task["seconds"]:
            break
        edits = trial["edits"]
        of = {**task["of"], **{e["field"]: e["value"] for e in edits if e["kind"] == "task"}}
        try:
            edits = [edit for edit in edits if edit["kind"] != "task"]
            evaluator.substitution = partial(Substitution, edits)
            with _other_weights(evaluator.model, edits):
                arrays, _ = run(of)
            found.append({"index": index, "after": distance_to(arrays, target)})
        except Exception as error:  # noqa: BLE001  an alternative that does not fit this call is no cause
            found.append({"index": index, "error": f"{type(error).__name__}: {error}"})
        finally:
            evaluator.substitution = nullcontext
    return {}, {"before": before, "trials": found, "stopped": len(found) < len(task["trials"])}
