"""Optimizers as data for the trajectory tests, and the small problem that they are run on. No framework."""

from __future__ import annotations

import functools
import math
from dataclasses import dataclass, field
from typing import Any

import numpy as np

STEPS = 30

# name in the original -> (path in the converted module, shape)
PARAMETERS = {
    "inner.weight": ("inner.kernel", (4, 3)),
    "inner.bias": ("inner.bias", (4,)),
    "norm.weight": ("norm.scale", (4,)),
    "outer.weight": ("outer.kernel", (2, 4)),
    "outer.bias": ("outer.bias", (2,)),
}


@dataclass(frozen=True)
class OptimizerCase:
    """An optimizer as a person constructs it with torch.

    Attributes:
        kind: class of torch.optim.
        options: its arguments.
        scheduler: (class of lr_scheduler, arguments), arguments may hold further schedulers; None for none.
            ``WarmupCosine`` is regauge's own name, made with torch's LambdaLR.
        groups: (name endings, options); the first that fits counts; the rest is the last group.
        clip: limit of clip_grad_norm_.
        clip_value: limit of clip_grad_value_, before the other.
        fixed: parameters with requires_grad=False.
        left_out: parameters that need a gradient and are not given to the optimizer.
    """

    kind: str
    options: dict[str, Any] = field(default_factory=dict)
    scheduler: tuple[str, dict[str, Any]] | None = None
    groups: tuple[tuple[tuple[str, ...], dict[str, Any]], ...] = ()
    clip: float | None = None
    clip_value: float | None = None
    fixed: tuple[str, ...] = ()
    left_out: tuple[str, ...] = ()


NO_DECAY = (((".bias", "norm.weight"), {"weight_decay": 0.0}),)
COSINE = ("CosineAnnealingLR", {"T_max": 12, "eta_min": 1e-4})
WARMUP_THEN_COSINE = (
    "SequentialLR",
    {"schedulers": [("LinearLR", {"total_iters": 5}), ("CosineAnnealingLR", {"T_max": 25})], "milestones": [5]},
)
THREE_PARTS = (
    "SequentialLR",
    {
        "schedulers": [
            ("ConstantLR", {"factor": 0.25, "total_iters": 4}),
            ("ExponentialLR", {"gamma": 0.9}),
            ("StepLR", {"step_size": 3, "gamma": 0.5}),
        ],
        "milestones": [6, 15],
    },
)


def warm_up_then_cosine(it: int, warmup: int = 5, total: int = 25, lowest: float = 0.1) -> float:
    """As training scripts have it."""
    if it < warmup:
        return (it + 1) / (warmup + 1)
    if it > total:
        return lowest
    ratio = (it - warmup) / (total - warmup)
    coefficient = 0.5 * (1.0 + math.cos(math.pi * ratio))
    return lowest + coefficient * (1 - lowest)


def drops(epoch: int) -> float:
    factor = 1.0
    for milestone in (6, 12, 18):
        if epoch >= milestone:
            factor *= 0.3
    return factor


def warm_up_then_line(step: int, *, num_warmup_steps: int, num_training_steps: int) -> float:
    if step < num_warmup_steps:
        return float(step) / float(max(1, num_warmup_steps))
    return max(0.0, float(num_training_steps - step) / float(max(1, num_training_steps - num_warmup_steps)))


class Noam:
    def __init__(self, width: int, warmup: int) -> None:
        self.width, self.warmup = width, warmup

    def __call__(self, step: int) -> float:
        step = max(step, 1)
        return self.width**-0.5 * min(step**-0.5, step * self.warmup**-1.5)


LAMBDAS: dict[str, Any] = {
    "cosine": warm_up_then_cosine,
    "drops": drops,
    "line": functools.partial(warm_up_then_line, num_warmup_steps=5, num_training_steps=25),
    "noam": Noam(16, 6),
    "power": lambda step: 0.95**step,
    "stairs": lambda epoch: 1.0 if epoch < 3 else 0.5 ** (epoch // 4) if epoch % 2 == 0 else 0.7,
}


CASES: dict[str, OptimizerCase] = {
    "sgd": OptimizerCase("SGD", {"lr": 0.05}),
    "sgd-l2": OptimizerCase("SGD", {"lr": 0.05, "weight_decay": 0.1}),
    "sgd-momentum": OptimizerCase("SGD", {"lr": 0.02, "momentum": 0.9, "weight_decay": 1e-2}),
    "sgd-nesterov": OptimizerCase("SGD", {"lr": 0.02, "momentum": 0.9, "nesterov": True, "weight_decay": 1e-2}),
    "sgd-dampening": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.8, "dampening": 0.3}),
    "sgd-maximize": OptimizerCase("SGD", {"lr": 0.01, "momentum": 0.5, "maximize": True, "weight_decay": 0.1}),
    "sgd-clip": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.9}, clip=0.5),
    "adam": OptimizerCase("Adam", {"lr": 0.05}),
    "adam-l2": OptimizerCase("Adam", {"lr": 0.05, "betas": (0.8, 0.95), "eps": 1e-3, "weight_decay": 0.1}),
    "adam-decoupled": OptimizerCase("Adam", {"lr": 0.05, "weight_decay": 0.1, "decoupled_weight_decay": True}),
    "adam-amsgrad": OptimizerCase("Adam", {"lr": 0.05, "amsgrad": True, "betas": (0.5, 0.6), "weight_decay": 0.01}),
    "adam-maximize": OptimizerCase("Adam", {"lr": 0.02, "maximize": True}),
    "adamw": OptimizerCase("AdamW", {"lr": 0.05}),
    "adamw-no-decay": OptimizerCase("AdamW", {"lr": 0.05, "weight_decay": 0.0}),
    "adamw-amsgrad": OptimizerCase("AdamW", {"lr": 0.05, "amsgrad": True, "betas": (0.5, 0.6), "eps": 1e-6}),
    "adamw-maximize-clip": OptimizerCase("AdamW", {"lr": 0.02, "maximize": True, "weight_decay": 0.2}, clip=1.0),
    "rmsprop": OptimizerCase("RMSprop", {"lr": 0.02}),
    "rmsprop-eps": OptimizerCase("RMSprop", {"lr": 0.02, "alpha": 0.9, "eps": 0.1, "weight_decay": 0.05}),
    "rmsprop-momentum": OptimizerCase("RMSprop", {"lr": 0.01, "momentum": 0.9}),
    "rmsprop-centered": OptimizerCase("RMSprop", {"lr": 0.02, "centered": True, "eps": 1e-3, "maximize": True}),
    "rmsprop-all": OptimizerCase(
        "RMSprop", {"lr": 0.01, "momentum": 0.5, "centered": True, "eps": 1e-3}, ("StepLR", {"step_size": 7})
    ),
    "rmsprop-momentum-schedule": OptimizerCase("RMSprop", {"lr": 0.01, "momentum": 0.9}, COSINE),
    "adagrad": OptimizerCase("Adagrad", {"lr": 0.1}),
    "adagrad-all": OptimizerCase(
        "Adagrad",
        {"lr": 0.1, "lr_decay": 0.05, "weight_decay": 0.1, "initial_accumulator_value": 0.5, "eps": 0.01},
        clip=0.7,
    ),
    "adagrad-maximize": OptimizerCase("Adagrad", {"lr": 0.05, "maximize": True, "lr_decay": 0.1}, COSINE),
    "step": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.9}, ("StepLR", {"step_size": 7, "gamma": 0.3})),
    "step-to-zero": OptimizerCase("SGD", {"lr": 0.05}, ("StepLR", {"step_size": 7, "gamma": 0.0})),
    "multi-step": OptimizerCase("SGD", {"lr": 0.05}, ("MultiStepLR", {"milestones": [4, 11, 11, 20], "gamma": 0.3})),
    "exponential": OptimizerCase("Adam", {"lr": 0.05}, ("ExponentialLR", {"gamma": 0.93})),
    "exponential-to-zero": OptimizerCase("SGD", {"lr": 0.05}, ("ExponentialLR", {"gamma": 0.0})),
    "cosine": OptimizerCase("AdamW", {"lr": 0.05}, ("CosineAnnealingLR", {"T_max": 30}), clip=1.0),
    "cosine-rises-again": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.9}, COSINE),
    "constant": OptimizerCase("SGD", {"lr": 0.05}, ("ConstantLR", {"factor": 0.3, "total_iters": 6})),
    "constant-all-along": OptimizerCase("SGD", {"lr": 0.05}, ("ConstantLR", {"factor": 1.0, "total_iters": 6})),
    "linear": OptimizerCase("AdamW", {"lr": 0.05}, ("LinearLR", {"total_iters": 8})),
    "linear-down": OptimizerCase(
        "SGD", {"lr": 0.05}, ("LinearLR", {"start_factor": 0.9, "end_factor": 0.2, "total_iters": 9})
    ),
    "nadam": OptimizerCase("NAdam", {"lr": 0.02, "weight_decay": 0.1}),
    "nadam-decoupled": OptimizerCase(
        "NAdam",
        {"lr": 0.02, "betas": (0.8, 0.9), "momentum_decay": 0.1, "weight_decay": 0.1, "decoupled_weight_decay": True},
        COSINE,
    ),
    "radam": OptimizerCase("RAdam", {"lr": 0.05, "weight_decay": 0.1}),
    "radam-decoupled": OptimizerCase(
        "RAdam",
        {"lr": 0.05, "betas": (0.8, 0.9), "eps": 1e-3, "weight_decay": 0.1, "decoupled_weight_decay": True},
        COSINE,
        clip=1.0,
    ),
    "adamax": OptimizerCase("Adamax", {"lr": 0.05, "weight_decay": 0.1}),
    "adamax-schedule": OptimizerCase("Adamax", {"lr": 0.05, "betas": (0.8, 0.9), "maximize": True}, COSINE),
    "adadelta": OptimizerCase("Adadelta", {"weight_decay": 0.1}),
    "adadelta-schedule": OptimizerCase("Adadelta", {"lr": 2.0, "rho": 0.8, "eps": 1e-4}, COSINE),
    "restarts": OptimizerCase("SGD", {"lr": 0.05}, ("CosineAnnealingWarmRestarts", {"T_0": 7, "eta_min": 1e-3})),
    "longer-restarts": OptimizerCase("AdamW", {"lr": 0.05}, ("CosineAnnealingWarmRestarts", {"T_0": 4, "T_mult": 2})),
    "warm-up-restarts": OptimizerCase(
        "AdamW",
        {"lr": 0.05},
        (
            "SequentialLR",
            {
                "schedulers": [("LinearLR", {"total_iters": 5}), ("CosineAnnealingWarmRestarts", {"T_0": 8})],
                "milestones": [5],
            },
        ),
    ),
    "one-cycle": OptimizerCase(
        "SGD", {"lr": 0.05, "momentum": 0.9}, ("OneCycleLR", {"max_lr": 0.1, "total_steps": 40})
    ),
    "one-cycle-adamw": OptimizerCase(
        "AdamW", {"lr": 1.0}, ("OneCycleLR", {"max_lr": 0.1, "total_steps": 31}), groups=NO_DECAY, clip=1.0
    ),
    "one-cycle-linear": OptimizerCase(
        "Adam",
        {"lr": 1.0},
        (
            "OneCycleLR",
            {
                "max_lr": 0.1,
                "total_steps": 33,
                "anneal_strategy": "linear",
                "three_phase": True,
                "cycle_momentum": False,
            },
        ),
    ),
    "cyclic": OptimizerCase(
        "SGD",
        {"lr": 1.0, "momentum": 0.9, "nesterov": True},
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.05, "step_size_up": 4}),
    ),
    "cyclic-halves": OptimizerCase(
        "Adam",
        {"lr": 1.0},
        ("CyclicLR", {"base_lr": 0.01, "max_lr": 0.05, "step_size_up": 3, "step_size_down": 5, "mode": "triangular2"}),
    ),
    "cyclic-shrinks": OptimizerCase(
        "RMSprop",
        {"lr": 1.0},
        (
            "CyclicLR",
            {
                "base_lr": 0.01,
                "max_lr": 0.05,
                "step_size_up": 3,
                "mode": "exp_range",
                "gamma": 0.9,
                "cycle_momentum": False,
            },
        ),
    ),
    "polynomial": OptimizerCase("AdamW", {"lr": 0.05}, ("PolynomialLR", {"total_iters": 20, "power": 0.9})),
    "chained": OptimizerCase(
        "SGD",
        {"lr": 0.05},
        (
            "ChainedScheduler",
            {
                "schedulers": [
                    ("LinearLR", {"total_iters": 6}),
                    ("ExponentialLR", {"gamma": 0.95}),
                    ("MultiStepLR", {"milestones": [9, 15], "gamma": 0.5}),
                    ("StepLR", {"step_size": 8, "gamma": 0.5}),
                    ("PolynomialLR", {"total_iters": 40}),
                    ("ConstantLR", {"factor": 0.5, "total_iters": 4}),
                ]
            },
        ),
    ),
    "multiplicative": OptimizerCase("SGD", {"lr": 0.05}, ("MultiplicativeLR", {"lr_lambda": lambda step: 0.9})),
    **{
        f"lambda-{name}": OptimizerCase("AdamW", {"lr": 0.05}, ("LambdaLR", {"lr_lambda": function}), groups=NO_DECAY)
        for name, function in LAMBDAS.items()
    },
    "lambda-in-a-sequence": OptimizerCase(
        "SGD",
        {"lr": 0.05},
        (
            "SequentialLR",
            {
                "schedulers": [("LinearLR", {"total_iters": 5}), ("LambdaLR", {"lr_lambda": LAMBDAS["noam"]})],
                "milestones": [5],
            },
        ),
    ),
    "clip-value": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.9}, clip_value=0.5, clip=0.7),
    "sequence": OptimizerCase("AdamW", {"lr": 0.05, "weight_decay": 0.1}, WARMUP_THEN_COSINE, clip=1.0),
    "sequence-of-three": OptimizerCase("SGD", {"lr": 0.05, "momentum": 0.9}, THREE_PARTS),
    "warm-up-cosine": OptimizerCase(
        "AdamW", {"lr": 0.05}, ("WarmupCosine", {"warmup_steps": 6, "total_steps": 20}), clip=1.0
    ),
    "cosine-without-warm-up": OptimizerCase(
        "SGD", {"lr": 0.05}, ("WarmupCosine", {"warmup_steps": 0, "total_steps": 31})
    ),
    "groups": OptimizerCase("AdamW", {"lr": 0.05, "weight_decay": 0.3}, groups=NO_DECAY, clip=1.0),
    "groups-with-rates": OptimizerCase(
        "SGD",
        {"lr": 0.05, "momentum": 0.9},
        WARMUP_THEN_COSINE,
        groups=((("outer.weight", "outer.bias"), {"lr": 0.01, "nesterov": True}), ((".bias",), {"lr": 0.02})),
    ),
    "fixed": OptimizerCase("AdamW", {"lr": 0.05}, fixed=("inner.weight", "inner.bias"), clip=1.0),
    "left-out": OptimizerCase("SGD", {"lr": 0.05, "weight_decay": 0.1}, left_out=("norm.weight",), clip=0.5),
}


def initial() -> dict[str, np.ndarray]:
    """float64 arrays by the original's names."""
    source = np.random.default_rng(5)
    return {name: source.normal(size=shape) for name, (_, shape) in PARAMETERS.items()}


def gradient(name: str, value: np.ndarray, step: int) -> np.ndarray:
    """The gradient of a bowl whose centre moves, different for every element: float64, the shape of `value`."""
    position = np.arange(value.size, dtype=np.float64).reshape(value.shape) + len(name)
    centre = np.sin(position + 0.3 * step)
    return (1.0 + np.cos(position) ** 2) * (value - centre)
