"""What a torch side draws itself: the factors of dropout, and summaries of outputs over many passes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import torch

from regauge.run.array_files import Arrays
from regauge.run.evaluation import sampled, summaries
from regauge.run.torch_arithmetic import controlled
from regauge.run.torch_tensors import named_outputs, numpy_of

if TYPE_CHECKING:
    from regauge.run.torch_evaluate import TorchEvaluator


def randomness(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """What dropout multiplies by when it draws itself: ``first.i``, ``second.i``, ``again.i`` for call i.

    `second` goes on where the generator stands after `first`; `again` starts from the seed of `first`.
    """
    arrays: Arrays = {}
    rates: list[float] = []
    shapes: list[tuple[int, ...]] = []
    elementwise: list[int] = []
    leaves = evaluator.leaves(task["input"])[0]
    passes = ({"first": 0, "second": 1}, {"again": 0})
    for named in passes:
        with evaluator.keeper.kept(), controlled(evaluator.widen, "free") as dropout, torch.no_grad():
            evaluator.model.train()
            for label in named:
                dropout.calls.clear()
                dropout.factors.clear()
                dropout.elementwise.clear()
                evaluator.subject.call(evaluator.model, evaluator.sets.inputs(leaves))
                rates = [1 - call.keep for call in dropout.calls]
                shapes = [call.shape for call in dropout.calls]
                elementwise = sorted(dropout.elementwise)
                arrays |= {f"{label}.{i}": numpy_of(factor) for i, factor in enumerate(dropout.factors)}
    return arrays, {"rates": rates, "shapes": shapes, "elementwise": elementwise}


def samples(evaluator: TorchEvaluator, task: Mapping[str, Any]) -> tuple[Arrays, dict[str, Any]]:
    """Summaries of the outputs over passes that draw their own random numbers."""
    leaves = evaluator.leaves(task["input"])[0]

    def one(seed: int) -> dict[str, float]:
        with evaluator.keeper.kept(), controlled(evaluator.widen, "free", seed), torch.no_grad():
            evaluator.model.train(task["mode"] == "train")
            outputs = named_outputs(evaluator.subject.call(evaluator.model, evaluator.sets.inputs(leaves)))
        return summaries(evaluator.names.outputs(outputs))

    return sampled(task["passes"], one), {}
