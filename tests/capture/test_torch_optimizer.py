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
        (lambda o: lr_scheduler.CosineAnnealingWarmRestarts(o, 4, 2, 0.1), specs.CosineRestarts(4, 2, 0.1)),
        (lambda o: lr_scheduler.MultiplicativeLR(o, lambda step: 0.9), specs.Exponential(0.9)),
        (lambda o: lr_scheduler.LambdaLR(o, lambda step: 0.9**step), specs.Formula("lr_lambda", ("**", 0.9, "step"))),
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
    text = refused(optimizer, model, lr_scheduler.ReduceLROnPlateau(optimizer))
    for said in ("the optimizer Own", "the step hook print", "the scheduler ReduceLROnPlateau", "optimizers.AdamW"):
        assert said in text


OTHERS = {
    "LBFGS": "it calls the loss several times in a step",
    "SparseAdam": "those of JAX are dense",
    "Adafactor": "it averages over rows and columns",
    "ASGD": "optax has no transformation",
    "Rprop": "optax has no transformation",
}


@pytest.mark.parametrize("name", OTHERS)
def test_other_optimizers(name, model):
    text = refused(getattr(torch.optim, name)(model.parameters()), model)
    assert f"the optimizer {name}: {OTHERS[name]}" in text or OTHERS[name] in text


def test_muon(model):
    text = refused(torch.optim.Muon([p for p in model.parameters() if p.ndim == 2]), model)
    assert "in bfloat16" in text


def noise(step):
    return torch.rand(()).item()


def table(step):
    return [1.0, 0.5][step > 3]


SCHEDULERS = {
    "plateau": (lr_scheduler.ReduceLROnPlateau, "it follows a measurement that a training step does not have"),
    "noise": (lambda o: lr_scheduler.LambdaLR(o, noise), "LambdaLR with noise: "),
    "table": (lambda o: lr_scheduler.LambdaLR(o, table), "it looks something up by the step"),
    "two": (lambda o: lr_scheduler.LambdaLR(o, [lambda s: 0.9**s, lambda s: 1.0]), "of its own for each group"),
    "product": (
        lambda o: lr_scheduler.MultiplicativeLR(o, lambda s: 0.9 if s < 5 else 1.0),
        "with a factor that moves",
    ),
    "chained": (
        lambda o: lr_scheduler.ChainedScheduler([lr_scheduler.CosineAnnealingLR(o, 5), lr_scheduler.StepLR(o, 3)]),
        "CosineAnnealingLR in a ChainedScheduler",
    ),
    "scale_fn": (
        lambda o: lr_scheduler.CyclicLR(o, 0.1, 0.2, scale_fn=lambda x: 1.0, cycle_momentum=False),
        "with a scale_fn of your own",
    ),
    "in a sequence": (
        lambda o: lr_scheduler.SequentialLR(
            o, [lr_scheduler.StepLR(o, 3), lr_scheduler.OneCycleLR(o, 0.1, 9, cycle_momentum=False)], [4]
        ),
        "OneCycleLR inside another",
    ),
}


@pytest.mark.filterwarnings("ignore:.*lr_scheduler.*:UserWarning")
@pytest.mark.parametrize("name", SCHEDULERS)
def test_schedulers_without_a_counterpart(name, model):
    make, said = SCHEDULERS[name]
    halves = [{"params": model[0].parameters()}, {"params": [*model[1].parameters(), *model[2].parameters()]}]
    optimizer = torch.optim.SGD(halves, lr=0.1)
    assert said in refused(optimizer, model, make(optimizer))


def test_a_momentum_that_moves_where_it_cannot(model):
    optimizer = torch.optim.RMSprop(model.parameters())
    text = refused(optimizer, model, lr_scheduler.OneCycleLR(optimizer, 0.1, 9))
    assert "cycle_momentum=False" in text


class Scheduler(lr_scheduler.LRScheduler):
    def get_lr(self):
        return self.base_lrs


def test_a_scheduler_of_ones_own(model):
    optimizer = torch.optim.SGD(model.parameters())
    parts = [lr_scheduler.LinearLR(optimizer), Scheduler(optimizer)]
    text = refused(optimizer, model, lr_scheduler.SequentialLR(optimizer, parts, [4]))
    assert "the scheduler Scheduler: supported are ConstantLR" in text


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
