"""Specs read off torch optimizers; that the specs take torch's steps is in tests/emit/test_train_trajectories.py."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.optim import lr_scheduler

from regauge import optimizers as specs
from regauge.capture.torch_optimizer import from_torch
from regauge.errors import UnsupportedOptimizer


@pytest.fixture
def model():
    return nn.Sequential(nn.Linear(3, 4), nn.LayerNorm(4), nn.Linear(4, 2))


def read(optimizer, model, scheduler=None):
    return from_torch(optimizer, model.named_parameters(), scheduler)


def refused(optimizer, model, scheduler=None):
    with pytest.raises(UnsupportedOptimizer) as caught:
        read(optimizer, model, scheduler)
    return str(caught.value)


@pytest.mark.parametrize("name", specs.OPTIMIZERS)
def test_defaults_are_torchs(name, model):
    optimizer = getattr(torch.optim, name)(model.parameters())
    assert read(optimizer, model) == specs.OPTIMIZERS[name]()


def test_implementation_choices_are_ignored(model):
    optimizer = torch.optim.AdamW(model.parameters(), lr=torch.tensor(0.25), foreach=False, capturable=False)
    assert read(optimizer, model) == specs.AdamW(lr=0.25)


def test_adam_with_decoupled_decay_is_adamw(model):
    optimizer = torch.optim.Adam(model.parameters(), weight_decay=0.1, decoupled_weight_decay=True)
    assert read(optimizer, model) == specs.AdamW(weight_decay=0.1)


def test_groups_frozen_and_fixed(model):
    model[0].weight.requires_grad = False
    optimizer = torch.optim.SGD(
        [
            {"params": [model[0].weight], "lr": 9.0},
            {"params": [model[2].weight, model[0].bias], "lr": 0.1},
            {"params": [model[1].weight], "lr": 0.1},
            {"params": [model[1].bias], "lr": 0.2, "momentum": 0.5},
        ]
    )
    spec = read(optimizer, model)
    assert spec.lr == 0.1
    assert spec.groups == (specs.Group(("1.bias",), {"lr": 0.2, "momentum": 0.5}),)
    assert spec.frozen == ("2.bias",)
    assert spec.assign(n for n, p in model.named_parameters() if p.requires_grad)["1.bias"] == 0


@pytest.mark.parametrize(
    ("make", "spec"),
    [
        (lambda o: lr_scheduler.StepLR(o, 3), specs.StepLR(3)),
        (lambda o: lr_scheduler.MultiStepLR(o, [5, 2, 5]), specs.MultiStep((2, 5, 5))),
        (lambda o: lr_scheduler.ExponentialLR(o, 0.9), specs.Exponential(0.9)),
        (lambda o: lr_scheduler.CosineAnnealingLR(o, 10, 0.01), specs.Cosine(10, 0.01)),
        (lambda o: lr_scheduler.LinearLR(o, 0.5, 0.9, 7), specs.LinearWarmup(7, 0.5, 0.9)),
        (lambda o: lr_scheduler.ConstantLR(o), specs.Constant(1 / 3, 5)),
    ],
)
def test_schedulers(make, spec, model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    found = read(optimizer, model, make(optimizer))
    assert found == specs.SGD(lr=0.5, schedule=spec)  # lr is the rate before the schedule


def test_sequence(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=0.5)
    parts = [lr_scheduler.LinearLR(optimizer, total_iters=4), lr_scheduler.StepLR(optimizer, 2)]
    scheduler = lr_scheduler.SequentialLR(optimizer, parts, [4])
    expected = specs.Sequence((specs.LinearWarmup(4), specs.StepLR(2)), (4,))
    assert read(optimizer, model, scheduler) == specs.SGD(lr=0.5, schedule=expected)


class Own(torch.optim.SGD):
    pass


def test_everything_is_refused_at_once(model):
    optimizer = Own(model.parameters(), lr=0.1)
    optimizer.register_step_pre_hook(print)
    text = refused(optimizer, model, lr_scheduler.LambdaLR(optimizer, lambda step: 1.0))
    for said in ("the optimizer Own", "the step hook print", "the scheduler LambdaLR", "regauge.optimizers.AdamW"):
        assert said in text


@pytest.mark.parametrize("name", ["Adadelta", "NAdam", "LBFGS", "Adamax"])
def test_other_optimizers(name, model):
    assert f"the optimizer {name}" in refused(getattr(torch.optim, name)(model.parameters()), model)


def test_a_sequence_with_an_unsupported_part(model):
    optimizer = torch.optim.SGD(model.parameters())
    parts = [lr_scheduler.LinearLR(optimizer), lr_scheduler.PolynomialLR(optimizer)]
    text = refused(optimizer, model, lr_scheduler.SequentialLR(optimizer, parts, [4]))
    assert "the scheduler PolynomialLR" in text


@pytest.mark.parametrize("name", ["SGD", "Adam", "Adagrad"])
def test_an_optimizer_that_has_taken_steps(name, model):
    options = {"momentum": 0.9} if name == "SGD" else {}
    optimizer = getattr(torch.optim, name)(model.parameters(), **options)
    model(torch.ones(1, 3)).sum().backward()
    optimizer.step()
    assert "has taken steps" in refused(optimizer, model)


def test_a_scheduler_that_has_taken_steps(model):
    optimizer = torch.optim.SGD(model.parameters())
    scheduler = lr_scheduler.StepLR(optimizer, 3)
    optimizer.step()
    scheduler.step()
    assert "StepLR has taken 1 steps" in refused(optimizer, model, scheduler)


def test_a_scheduler_that_is_not_given(model):
    optimizer = torch.optim.SGD(model.parameters())
    lr_scheduler.StepLR(optimizer, 3)
    assert "optimizer=(optimizer, scheduler)" in refused(optimizer, model)


def test_a_scheduler_of_another_optimizer(model):
    optimizer = torch.optim.SGD(model.parameters())
    scheduler = lr_scheduler.StepLR(torch.optim.SGD(model.parameters()), 3)
    assert "belongs to another optimizer" in refused(optimizer, model, scheduler)


def test_parameters_of_another_model(model):
    optimizer = torch.optim.SGD(nn.Linear(5, 6).parameters())
    text = refused(optimizer, model)
    assert "2 parameters that the model does not have: [6, 5], [6]" in text


def test_an_argument_that_torch_does_not_read(model):
    optimizer = torch.optim.SGD([{"params": model.parameters(), "momentun": 0.9}])
    assert "momentun=0.9" in refused(optimizer, model)


def test_something_else(model):
    text = refused("adam", model)
    assert "must be a torch.optim.Optimizer or a spec" in text
    assert "received: 'adam'" in text


def test_nothing_to_train(model):
    model.requires_grad_(False)
    assert "no parameter is left to train" in refused(torch.optim.SGD(model.parameters()), model)


def test_mixed_kinds_of_decay(model):
    groups = [
        {"params": model[0].parameters(), "decoupled_weight_decay": True},
        {"params": model[2].parameters()},
    ]
    assert "decoupled_weight_decay differs" in refused(torch.optim.Adam(groups), model)
