"""torch's optimizers in optax: the same update, step for step, written with optax's names where it has the algorithm.

Sources of the formulas: the algorithms in the documentation of `torch.optim` and in its single-tensor functions.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from regauge.emit.optax_functions import (
    DAMPED_MOMENTUM,
    SCALE_BY_ADAGRAD,
    SCALE_BY_AMSGRAD,
    SCALE_BY_NADAM,
    SCALE_BY_RADAM,
)
from regauge.emit.schedules import FLOAT_STEPS, number, schedule_text
from regauge.errors import UnsupportedOptimizer
from regauge.optimizers import SGD, Adadelta, Adagrad, Adam, Adamax, AdamW, NAdam, Optimizer, RAdam, RMSprop


@dataclass
class OptimizerText:
    """What the functions below write besides the expression itself.

    Attributes:
        helpers: text of helper functions by name, in the order in which the file should hold them.
        rates: expression by name of the learning rates that are not constant.
    """

    helpers: dict[str, str] = field(default_factory=dict)
    rates: dict[str, str] = field(default_factory=dict)

    def momentum(self, spec: Optimizer, own: float) -> str:
        """The name of the schedule that moves the momentum, which `rates` receives; empty if it stays `own`."""
        if spec.momentum_schedule is None:
            return ""
        self.helpers["float_steps"] = FLOAT_STEPS
        return self._named(f"float_steps({schedule_text(spec.momentum_schedule, own, self.helpers)})", "momentum")

    def rate(self, spec: Optimizer) -> str:
        """The learning rate of an optimizer: a number, or the name of a schedule that `rates` receives."""
        lr: float = spec.options()["lr"]
        decay = spec.lr_decay if isinstance(spec, Adagrad) else 0.0
        if spec.schedule is None and decay == 0:
            return number(lr)
        rate = number(lr) if spec.schedule is None else schedule_text(spec.schedule, lr, self.helpers)
        if decay:
            taken = rate if spec.schedule is None else f"({rate})(step)"
            rate = f"lambda step: {taken} / (1 + {number(decay)} * step)"
        self.helpers["float_steps"] = FLOAT_STEPS
        return self._named(f"float_steps({rate})")

    def _named(self, expression: str, stem: str = "learning_rate") -> str:
        for name, known in self.rates.items():
            if known == expression:
                return name
        number_of = sum(name.startswith(stem) for name in self.rates) + 1
        name = stem + (f"_{number_of}" if number_of > 1 else "")
        self.rates[name] = expression
        return name


def optimizer_parts(spec: Optimizer, text: OptimizerText) -> list[str]:
    """The transformations whose chain is one group's optimizer, without clipping.

    Raises:
        UnsupportedOptimizer: an optimizer that has no text.
    """
    writers: dict[type[Optimizer], Callable[[Any, str, OptimizerText], list[str]]]
    writers = {SGD: _sgd, Adam: _adam, AdamW: _adamw, RMSprop: _rmsprop, Adagrad: _adagrad}
    writers |= {NAdam: _nadam, RAdam: _radam, Adamax: _adamax, Adadelta: _adadelta}
    if type(spec) not in writers:
        raise UnsupportedOptimizer(f"there is no optimizer {type(spec).__name__!r}")
    options = spec.options()
    parts = ["optax.scale(-1.0)"] if options["maximize"] else []
    decoupled = isinstance(spec, AdamW) or options.get("decoupled_weight_decay", False)
    if options["weight_decay"] and not decoupled:
        parts.append(f"optax.add_decayed_weights({number(options['weight_decay'])})")
    return [*parts, *writers[type(spec)](spec, text.rate(spec), text)]


def _sgd(spec: SGD, rate: str, text: OptimizerText) -> list[str]:
    moving = text.momentum(spec, spec.momentum)
    if moving:
        nesterov = ', static_args="nesterov")' if spec.nesterov else ")"
        arguments = f"({moving}{', nesterov=True' if spec.nesterov else ''})"
        return [f"optax.inject_hyperparams(optax.trace{nesterov}{arguments}", f"optax.scale_by_learning_rate({rate})"]
    if spec.momentum and spec.dampening:
        text.helpers["damped_momentum"] = DAMPED_MOMENTUM
        trace = f"damped_momentum({number(spec.momentum)}, {number(spec.dampening)})"
        return [trace, f"optax.scale_by_learning_rate({rate})"]
    momentum = f", momentum={number(spec.momentum)}" if spec.momentum else ""
    return [f"optax.sgd({rate}{momentum}{', nesterov=True' if spec.nesterov else ''})"]


def _moments(spec: Adam | NAdam | RAdam | Adamax) -> str:
    """The arguments that differ from optax's defaults, which are torch's here."""
    given = {"b1": spec.betas[0], "b2": spec.betas[1], "eps": spec.eps}
    usual = {"b1": 0.9, "b2": 0.999, "eps": 1e-8}
    return "".join(f", {name}={number(value)}" for name, value in given.items() if value != usual[name])


def _moving_adam(spec: Adam, moving: str) -> str:
    given = {"b2": spec.betas[1], "eps": spec.eps}
    usual = {"b2": 0.999, "eps": 1e-8}
    others = "".join(f", {name}={number(value)}" for name, value in given.items() if value != usual[name])
    return f"optax.inject_hyperparams(optax.scale_by_adam)(b1={moving}{others})"


def _decayed(weight_decay: float) -> list[str]:
    return [f"optax.add_decayed_weights({number(weight_decay)})"] if weight_decay else []


def _adam(spec: Adam, rate: str, text: OptimizerText) -> list[str]:
    moving = text.momentum(spec, spec.betas[0])
    if moving:
        return [_moving_adam(spec, moving), f"optax.scale_by_learning_rate({rate})"]
    if spec.amsgrad:
        return [_amsgrad(spec, text), f"optax.scale_by_learning_rate({rate})"]
    return [f"optax.adam({rate}{_moments(spec)})"]


def _adamw(spec: AdamW, rate: str, text: OptimizerText) -> list[str]:
    moving = text.momentum(spec, spec.betas[0])
    if moving or spec.amsgrad:
        moments = _moving_adam(spec, moving) if moving else _amsgrad(spec, text)
        return [moments, *_decayed(spec.weight_decay), f"optax.scale_by_learning_rate({rate})"]
    return [f"optax.adamw({rate}{_moments(spec)}, weight_decay={number(spec.weight_decay)})"]


def _nadam(spec: NAdam, rate: str, text: OptimizerText) -> list[str]:
    text.helpers["scale_by_nadam"] = SCALE_BY_NADAM
    decay = f"{_moments(spec)}, momentum_decay={number(spec.momentum_decay)}".removeprefix(", ")
    decay = decay.removesuffix("momentum_decay=0.004").removesuffix(", ")
    decoupled = _decayed(spec.weight_decay) if spec.decoupled_weight_decay else []
    return [f"scale_by_nadam({decay})", *decoupled, f"optax.scale_by_learning_rate({rate})"]


def _radam(spec: RAdam, rate: str, text: OptimizerText) -> list[str]:
    text.helpers["scale_by_radam"] = SCALE_BY_RADAM
    decoupled = _decayed(spec.weight_decay) if spec.decoupled_weight_decay else []
    moments = _moments(spec).removeprefix(", ")
    return [f"scale_by_radam({moments})", *decoupled, f"optax.scale_by_learning_rate({rate})"]


def _adamax(spec: Adamax, rate: str, text: OptimizerText) -> list[str]:
    return [f"optax.adamax({rate}{_moments(spec)})"]


def _adadelta(spec: Adadelta, rate: str, text: OptimizerText) -> list[str]:
    given = {"rho": spec.rho, "eps": spec.eps}
    usual = {"rho": 0.9, "eps": 1e-6}
    arguments = "".join(f", {name}={number(value)}" for name, value in given.items() if value != usual[name])
    return [f"optax.adadelta({rate}{arguments})"]


def _amsgrad(spec: Adam, text: OptimizerText) -> str:
    text.helpers["scale_by_amsgrad"] = SCALE_BY_AMSGRAD
    return f"scale_by_amsgrad({_moments(spec).removeprefix(', ')})"


def _rmsprop(spec: RMSprop, rate: str, text: OptimizerText) -> list[str]:
    arguments = f"decay={number(spec.alpha)}, eps={number(spec.eps)}, eps_in_sqrt=False"
    if spec.momentum and spec.schedule is not None:
        # optax.rmsprop applies the rate before the momentum, torch after it: another function once the rate moves
        scale = "optax.scale_by_stddev" if spec.centered else "optax.scale_by_rms"
        trace = f"optax.trace({number(spec.momentum)})"
        return [f"{scale}({arguments})", trace, f"optax.scale_by_learning_rate({rate})"]
    arguments += ", centered=True" if spec.centered else ""
    arguments += f", momentum={number(spec.momentum)}" if spec.momentum else ""
    return [f"optax.rmsprop({rate}, {arguments})"]


def _adagrad(spec: Adagrad, rate: str, text: OptimizerText) -> list[str]:
    text.helpers["scale_by_adagrad"] = SCALE_BY_ADAGRAD
    given = {"initial": spec.initial_accumulator_value, "eps": spec.eps}
    usual = {"initial": 0.0, "eps": 1e-10}
    arguments = ", ".join(f"{name}={number(value)}" for name, value in given.items() if value != usual[name])
    return [f"scale_by_adagrad({arguments})", f"optax.scale_by_learning_rate({rate})"]
