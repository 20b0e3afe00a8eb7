"""Optimizer specs: what they accept, how they match parameters, and their JSON."""

from __future__ import annotations

import json
import math

import pytest

from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import (
    OPTIMIZERS,
    SGD,
    Adam,
    AdamW,
    Constant,
    Cosine,
    Exponential,
    Group,
    LinearWarmup,
    MultiStep,
    RMSprop,
    Sequence,
    StepLR,
    WarmupCosine,
    from_json,
    to_json,
)

FULL = AdamW(
    lr=3e-4,
    betas=(0.8, 0.99),
    schedule=Sequence((LinearWarmup(5), MultiStep((9, 4)), Cosine(10, 1e-5)), (5, 20)),
    clip_norm=1.0,
    groups=(Group("*.bias", {"weight_decay": 0.0, "betas": (0.5, 0.6)}), Group(("a.w", "b.w"))),
    frozen=["embed.*"],
)


@pytest.mark.parametrize("spec", [FULL, *(cls() for cls in OPTIMIZERS.values())], ids=lambda s: type(s).__name__)
def test_the_same_after_json(spec):
    assert from_json(json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize(
    "schedule",
    [Constant(), StepLR(3), MultiStep((1, 2)), Exponential(0.5), Cosine(4), LinearWarmup(3), WarmupCosine(1, 5)],
    ids=repr,
)
def test_every_schedule_is_the_same_after_json(schedule):
    spec = SGD(schedule=schedule)
    assert from_json(json.loads(json.dumps(to_json(spec)))) == spec


@pytest.mark.parametrize(
    ("make", "said"),
    [
        (lambda: SGD(lr=-1.0), "SGD.lr must be a number, 0 or more"),
        (lambda: SGD(lr=math.nan), "SGD.lr must be a number, 0 or more"),
        (lambda: SGD(lr="fast"), "SGD.lr must be a number, 0 or more"),
        (lambda: SGD(lr=True), "SGD.lr"),
        (lambda: SGD(nesterov=True), "SGD.nesterov must be used with momentum and without dampening"),
        (lambda: SGD(nesterov=True, momentum=0.9, dampening=0.1), "SGD.nesterov"),
        (lambda: SGD(nesterov=1), "SGD.nesterov must be True or False"),
        (lambda: SGD(dampening="x"), "SGD.dampening must be a finite number"),
        (lambda: Adam(betas=(0.9, 1.0)), "betas must be two numbers in [0, 1)"),
        (lambda: Adam(betas=(0.9,)), "betas must be two numbers in [0, 1)"),
        (lambda: Adam(eps=-1e-8), "Adam.eps"),
        (lambda: RMSprop(alpha=-0.1), "RMSprop.alpha"),
        (lambda: SGD(clip_norm=0.0), "clip_norm must be positive, or None"),
        (lambda: SGD(clip_norm=math.inf), "clip_norm must be positive, or None"),
        (lambda: SGD(schedule=0.1), "schedule must be a schedule of regauge.optimizers"),
        (lambda: SGD(groups=(Group("a", {"momentun": 0.9}),)), "SGD group option must be one of lr, momentum"),
        (lambda: SGD(groups=(Group("a", {"lr": -1}),)), "SGD.lr must be a number, 0 or more"),
        (lambda: StepLR(0), "StepLR.step_size must be at least 1"),
        (lambda: StepLR(2.5), "StepLR.step_size must be a number of steps, 0 or more"),
        (lambda: StepLR(3, -0.1), "StepLR.gamma must be 0 or more"),
        (lambda: MultiStep((3, -1)), "MultiStep.milestones must be numbers of steps"),
        (lambda: Exponential(math.inf), "Exponential.gamma must be a finite number"),
        (lambda: Cosine(0), "Cosine.T_max must be at least 1"),
        (lambda: LinearWarmup(0), "LinearWarmup.total_iters must be at least 1"),
        (lambda: WarmupCosine(5, 5), "WarmupCosine.total_steps must be larger than warmup_steps"),
        (lambda: Sequence((), ()), "Sequence.schedules must be one or more schedules"),
        (lambda: Sequence((StepLR(1), 3), (1,)), "Sequence.schedules"),
        (lambda: Sequence((StepLR(1), StepLR(2)), ()), "Sequence.milestones must be rising, one fewer"),
        (lambda: Sequence((StepLR(1), StepLR(2), StepLR(3)), (4, 4)), "Sequence.milestones"),
    ],
)
def test_out_of_range(make, said):
    with pytest.raises(UnsupportedOptimizer) as caught:
        make()
    assert caught.value.code == "O110"
    assert said in caught.value.what


@pytest.mark.parametrize(
    ("data", "said"),
    [
        ({"type": "Lion"}, "there is no optimizer 'Lion'"),
        ({}, "there is no optimizer None"),
        ({"type": "SGD", "learning_rate": 1.0}, "SGD has no argument 'learning_rate'"),
        ({"type": "SGD", "schedule": {"type": "Step"}}, "there is no schedule 'Step'"),
        ({"type": "SGD", "schedule": {"type": "StepLR", "gama": 1}}, "StepLR has no argument 'gama'"),
        ({"type": "SGD", "schedule": {"type": "StepLR"}}, "StepLR needs the argument 'step_size'"),
        ({"type": "SGD", "lr": -1}, "SGD.lr must be"),
    ],
)
def test_json_that_is_refused(data, said):
    with pytest.raises(UnsupportedOptimizer) as caught:
        from_json(data)
    assert said in caught.value.what


def test_settings_of_the_implementation_are_ignored_in_json():
    assert from_json({"type": "SGD", "lr": 1, "foreach": True, "fused": None}) == SGD(lr=1)


def test_the_first_group_that_matches_counts():
    spec = SGD(groups=(Group("*.bias"), Group(("head.*", "norm.weight"), {"lr": 0.1})), frozen=("embed.*",))
    names = ["embed.weight", "norm.weight", "norm.bias", "head.weight", "head.bias", "body.0.weight"]
    assert spec.assign(names) == {
        "embed.weight": None,
        "norm.weight": 1,
        "norm.bias": 0,
        "head.weight": 1,
        "head.bias": 0,
        "body.0.weight": -1,
    }


@pytest.mark.parametrize("spec", [SGD(groups=(Group("typo.*"),)), SGD(frozen=("typo.*",))], ids=["group", "frozen"])
def test_a_pattern_that_matches_nothing(spec):
    with pytest.raises(UnsupportedOptimizer, match=r"O120 no parameter is named 'typo.\*'") as caught:
        spec.assign([f"layer.{i}" for i in range(12)])
    assert caught.value.received.endswith("layer.7, ...")


def test_a_group_sees_its_own_options():
    group = Group("*.bias", {"weight_decay": 0.0})
    spec = AdamW(lr=0.5, groups=(group,), clip_norm=1.0)
    assert spec.for_group(group) == AdamW(lr=0.5, weight_decay=0.0, clip_norm=1.0)
