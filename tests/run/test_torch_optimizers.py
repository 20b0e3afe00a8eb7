"""torch's optimizer of a spec: schedules, state, compiled steps, groups. Its steps against torch's own are checked in
tests/emit/test_train_trajectories.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import (
    SGD,
    AdamW,
    Constant,
    Cosine,
    Group,
    LinearWarmup,
    MultiStep,
    Schedule,
    Sequence,
    StepLR,
    WarmupCosine,
)
from regauge.run.torch_optimizers import build, learning_rate

SCHEDULE = Sequence((LinearWarmup(3), Cosine(8, 1e-3)), (3,))


def small_model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)).double()


def step(model, optimizer, number):
    optimizer.zero_grad()
    inputs = torch.arange(12, dtype=torch.float64).reshape(4, 3).cos() * (number + 1)
    model(inputs).square().mean().backward()
    optimizer.step()


def values(model):
    return [parameter.detach().clone() for parameter in model.parameters()]


@pytest.mark.parametrize(
    ("schedule", "rates"),
    [
        (StepLR(2, 0.5), [1.0, 1.0, 0.5, 0.5, 0.25]),
        (MultiStep((1, 3), 0.1), [1.0, 0.1, 0.1, 0.01, 0.01]),
        (Constant(0.25, 2), [0.25, 0.25, 1.0, 1.0, 1.0]),
        (LinearWarmup(4, 0.2), [0.2, 0.4, 0.6, 0.8, 1.0]),
        (Cosine(2, 0.5), [1.0, 0.75, 0.5, 0.75, 1.0]),
        (WarmupCosine(2, 4), [0.0, 0.5, 1.0, 0.5, 0.0]),
        (Sequence((Constant(0.1, 9), StepLR(1)), (3,)), [0.1, 0.1, 0.1, 1.0, 0.1]),
    ],
    ids=repr,
)
def test_rates_by_hand(schedule, rates):
    found = [learning_rate(schedule, 1.0, torch.tensor(float(t), dtype=torch.float64)) for t in range(5)]
    assert [rate.dtype for rate in found] == [torch.float64] * 5
    torch.testing.assert_close(torch.stack(found), torch.tensor(rates, dtype=torch.float64), rtol=1e-14, atol=1e-16)


def test_an_unknown_schedule():
    with pytest.raises(UnsupportedOptimizer, match="there is no schedule 'Schedule'"):
        learning_rate(Schedule(), 1.0, torch.zeros(()))


def test_going_back_to_a_state_repeats_the_steps():
    model = small_model()
    optimizer = build(AdamW(lr=0.1, schedule=SCHEDULE, clip_norm=0.5), model.named_parameters())
    for number in range(3):
        step(model, optimizer, number)
    kept, weights = optimizer.state_dict(), values(model)
    runs = []
    for _ in range(2):
        optimizer.load_state_dict(kept)
        with torch.no_grad():
            for parameter, value in zip(model.parameters(), weights, strict=True):
                parameter.copy_(value)
        for number in range(3, 6):
            step(model, optimizer, number)
        runs.append(values(model))
    for first, second in zip(*runs, strict=True):
        assert torch.equal(first, second)
    assert kept["count"] == 3


COMPILED = {
    "sgd": (SGD(lr=0.1, momentum=0.9, schedule=SCHEDULE, clip_norm=0.5), 1e-12),
    # compiled, torch's Adam keeps its step count a float32 tensor, and corrects the bias in float32
    "adamw": (AdamW(schedule=SCHEDULE), 1e-4),
}


@pytest.mark.parametrize("name", COMPILED)
def test_a_compiled_step_is_compiled_once_and_takes_the_same_steps(name):
    spec, tolerance = COMPILED[name]
    eager, compiled = small_model(), small_model()
    plain, traced = build(spec, eager.named_parameters()), build(spec, compiled.named_parameters())
    graphs = []

    def backend(module, inputs):
        graphs.append(module)
        return module.forward

    torch._dynamo.reset()
    step_compiled = torch.compile(traced.step, backend=backend)
    for number in range(8):
        step(eager, plain, number)
        traced.zero_grad()
        inputs = torch.arange(12, dtype=torch.float64).reshape(4, 3).cos() * (number + 1)
        compiled(inputs).square().mean().backward()
        step_compiled()
        if number == 1:  # the first step makes the optimizer's state, the second meets it
            seen = len(graphs)
    assert len(graphs) == seen
    for a, b in zip(values(eager), values(compiled), strict=True):
        torch.testing.assert_close(a, b, rtol=tolerance, atol=1e-14)


def test_groups_frozen_and_fixed():
    model = small_model()
    model[0].bias.requires_grad = False
    spec = SGD(lr=1.0, groups=(Group("2.*", {"lr": 0.5}),), frozen=("2.bias", "0.bias"), schedule=StepLR(1, 0.5))
    before = values(model)
    optimizer = build(spec, model.named_parameters())
    assert [float(group["lr"]) for group in optimizer.optimizer.param_groups] == [1.0, 0.5]
    step(model, optimizer, 0)
    assert [float(group["lr"]) for group in optimizer.optimizer.param_groups] == [0.5, 0.25]
    moved = [not torch.equal(a, b) for a, b in zip(before, values(model), strict=True)]
    assert moved == [True, False, True, False]
    assert len(optimizer.parameters) == 3  # the frozen one's gradient counts in the norm, the fixed one has none


@pytest.mark.parametrize("spec", [SGD(frozen=("*",)), SGD(groups=(Group("typo"),))], ids=["frozen", "typo"])
def test_refusals(spec):
    with pytest.raises(UnsupportedOptimizer, match="no parameter is"):
        build(spec, small_model().named_parameters())
