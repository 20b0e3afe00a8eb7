"""A schedule that is one step behind."""

from __future__ import annotations

from functools import partial

import pytest
import torch
from torch import nn

from regauge import optimizers
from regauge.run.torch_optimizer_variants import NoChange, built_with


def rates(edit: dict[str, object], schedule: optimizers.Schedule, steps: int) -> list[float]:
    weight = nn.Parameter(torch.zeros(1))
    built = partial(built_with, edit)(optimizers.SGD(lr=1.0, schedule=schedule), [("w", weight)])
    found = []
    for _ in range(steps):
        found.append(float(built.optimizer.param_groups[0]["lr"]))
        weight.grad = torch.ones(1)
        built.step()
    return found


def test_a_schedule_that_begins_late_stands_where_it_begins() -> None:
    schedule = optimizers.StepLR(step_size=2, gamma=0.5)
    assert rates({"shift": -1, "how": "held"}, schedule, 6) == [1.0, 1.0, 1.0, 0.5, 0.5, 0.25]
    assert rates({"shift": -1}, schedule, 3) == [2.0, 1.0, 1.0]  # a formula that goes on to the left
    assert rates({"shift": 1}, schedule, 4) == [1.0, 0.5, 0.5, 0.25]


def test_a_shift_needs_a_schedule() -> None:
    with pytest.raises(NoChange):
        built_with({"shift": -1, "how": "held"}, optimizers.SGD(lr=1.0), [("w", nn.Parameter(torch.zeros(1)))])
