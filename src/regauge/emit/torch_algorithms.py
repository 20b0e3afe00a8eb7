"""Which chains of optax are an algorithm of torch.optim with the same numbers.

Compared with the single-tensor functions of `torch.optim` (torch 2.13): SGD, Adam, AdamW, RMSprop, Adamax, Adadelta.
torch's NAdam, RAdam and Adagrad are other formulas than optax's.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from regauge.emit.optax_normal import Parts
from regauge.optax_schedules import Curve
from regauge.optax_specs import (
    AddDecayedWeights,
    Part,
    Scale,
    ScaleByAdadelta,
    ScaleByAdam,
    ScaleByAdamax,
    ScaleByRms,
    ScaleByStddev,
    Trace,
)


@dataclass(frozen=True)
class Algorithm:
    """An optimizer of torch.optim.

    Attributes:
        name: of its class.
        options: its arguments, those that are torch's defaults as well; `lr` is a `Scale`.
    """

    name: str
    options: dict[str, Any]


# Arguments of torch's classes that need not be written, and `weight_decay` of AdamW, which is always said.
DEFAULTS: dict[str, dict[str, Any]] = {
    "SGD": {"momentum": 0.0, "weight_decay": 0.0, "nesterov": False, "maximize": False},
    "Adam": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "AdamW": {"betas": (0.9, 0.999), "eps": 1e-8},
    "RMSprop": {"alpha": 0.99, "eps": 1e-8, "weight_decay": 0.0, "momentum": 0.0, "centered": False},
    "Adamax": {"betas": (0.9, 0.999), "eps": 1e-8, "weight_decay": 0.0},
    "Adadelta": {"rho": 0.9, "eps": 1e-6, "weight_decay": 0.0},
}


def algorithm(parts: Parts) -> Algorithm | None:
    """The algorithm of torch.optim that an update is, or None.

    Args:
        parts: what a parameter goes through, in its normal form.
    """
    if any(isinstance(value, Curve) for part in parts for value in vars(part).values()):
        return None  # a number that torch keeps in a tuple, or reads once
    if not parts:  # optax adds the gradient itself where a mask leaves a parameter out
        return Algorithm("SGD", {"lr": Scale(1.0), "maximize": True})
    *rest, last = parts
    if not isinstance(last, Scale):
        return None
    lr, ascends = Scale(abs(last.factor), last.curves), last.factor > 0
    if len(rest) > 1 and isinstance(rest[-1], AddDecayedWeights) and not isinstance(rest[0], AddDecayedWeights):
        return _decoupled(rest, lr) if not ascends else None
    decay: dict[str, Any] = {}
    if rest and isinstance(rest[0], AddDecayedWeights):
        first = rest.pop(0)
        if not _is_positive(getattr(first, "weight_decay", None)):
            return None
        decay = {"weight_decay": getattr(first, "weight_decay", None)}
    if ascends:
        return Algorithm("SGD", {"lr": lr, "maximize": True}) if not rest and not decay else None
    found = _core(rest)
    return None if found is None else Algorithm(found.name, {"lr": lr, **found.options, **decay})


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and value >= 0


def _decoupled(rest: list[Part], lr: Scale) -> Algorithm | None:
    """Adam with the decay after it."""
    core, decay = _core(rest[:-1]), getattr(rest[-1], "weight_decay", None)
    if core is None or core.name != "Adam" or not _is_positive(decay):
        return None
    return Algorithm("AdamW", {"lr": lr, **core.options, "weight_decay": decay})


def _core(rest: list[Part]) -> Algorithm | None:
    """What stands between the decay and the learning rate."""
    if not rest:
        return Algorithm("SGD", {})
    first, *further = rest
    if isinstance(first, ScaleByRms):
        return _rmsprop(first, further)
    if further:
        return None
    if isinstance(first, Trace):
        return Algorithm("SGD", {"momentum": first.decay, "nesterov": first.nesterov}) if first.decay > 0 else None
    if isinstance(first, ScaleByAdam) and not first.eps_root and not first.nesterov:
        return _with_betas("Adam", first)
    if isinstance(first, ScaleByAdamax):
        return _with_betas("Adamax", first)
    if isinstance(first, ScaleByAdadelta) and 0 <= first.rho <= 1 and first.eps >= 0:
        return Algorithm("Adadelta", {"rho": first.rho, "eps": first.eps})
    return None


def _with_betas(name: str, part: ScaleByAdam | ScaleByAdamax) -> Algorithm | None:
    holds = 0 <= part.b1 < 1 and 0 <= part.b2 < 1 and part.eps >= 0  # torch refuses others
    return Algorithm(name, {"betas": (part.b1, part.b2), "eps": part.eps}) if holds else None


def _rmsprop(part: ScaleByRms, further: list[Part]) -> Algorithm | None:
    if part.eps_in_sqrt or part.initial_scale or part.bias_correction or part.decay < 0 or part.eps < 0:
        return None
    options: dict[str, Any] = {"alpha": part.decay, "eps": part.eps, "centered": isinstance(part, ScaleByStddev)}
    if not further:
        return Algorithm("RMSprop", options)
    momentum = further[0]
    if len(further) > 1 or not isinstance(momentum, Trace) or momentum.nesterov or momentum.decay < 0:
        return None
    return Algorithm("RMSprop", {**options, "momentum": momentum.decay})
