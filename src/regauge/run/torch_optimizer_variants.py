"""Optimizers as a port may have written them: other values, another kind of decay, eps inside of the root, and so on.

For substitution: the spec of the case with changes, and a step that computes one thing in another way.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import fields, replace
from typing import Any

import torch
from torch import Tensor, nn

from regauge import optimizers
from regauge.optimizers import SCHEDULES, Optimizer, Schedule
from regauge.run.torch_optimizers import TorchOptimizer, build


class NoChange(ValueError):
    """The optimizer is already like that, or has no such thing."""


def built_with(
    edit: Mapping[str, Any], spec: Optimizer, named: Iterable[tuple[str, nn.Parameter]], _fused: bool = False
) -> TorchOptimizer:
    """The optimizer of a spec with an edit.

    Args:
        edit: ``type`` in place of the spec's, ``changes`` of its fields, ``schedule`` as JSON, ``shift`` of the
            schedule's count, ``how`` the step is computed (`VARIANTS`).
        spec: of the case.
        named: parameters of the model.

    Raises:
        NoChange: that would be the same optimizer.
    """
    changed = _changed(spec, edit)
    built = build(changed, named)
    if edit.get("how"):
        built.__class__ = VARIANTS[edit["how"]]
    if edit.get("shift"):
        if changed.schedule is None:
            raise NoChange
        built.shift_schedule(edit["shift"])
    return built


def _changed(spec: Optimizer, edit: Mapping[str, Any]) -> Optimizer:
    known = {item.name: getattr(spec, item.name) for item in fields(spec)}
    changes: dict[str, Any] = {
        name: tuple(v) if isinstance(v, list) else v for name, v in edit.get("changes", {}).items()
    }
    if "schedule" in edit:
        given = edit["schedule"]
        if given is None and spec.schedule is None:
            raise NoChange
        changes["schedule"] = (
            None if given is None else SCHEDULES[given["type"]](**{k: v for k, v in given.items() if k != "type"})
        )
    if edit.get("type", type(spec).__name__) != type(spec).__name__:
        return optimizers.OPTIMIZERS[edit["type"]](**{**known, **changes})
    if not edit.get("how") and not edit.get("shift") and all(known.get(n) == v for n, v in changes.items()):
        raise NoChange
    groups = tuple(replace(g, options={n: changes.get(n, v) for n, v in g.options.items()}) for g in spec.groups)
    changes["groups"] = groups
    return replace(spec, **changes)


class _Held(TorchOptimizer):
    """Before its first step the schedule stands where it begins."""

    def _set_learning_rates(self, schedule: Schedule) -> None:
        count, self._count = self._count, self._count.clamp(min=0)
        super()._set_learning_rates(schedule)
        self._count = count


class _ExactClip(TorchOptimizer):
    """Clips to the norm itself: torch divides by the norm plus 1e-6."""

    def step(self) -> None:
        limit = self.spec.clip_norm
        if limit is None:
            raise NoChange
        gradients = [p.grad for p in self.parameters if p.grad is not None]
        norm = torch.sqrt(torch.stack([(g * g).sum() for g in gradients]).sum())
        if norm > limit:
            for gradient in gradients:
                gradient.mul_(limit / norm)
        self._unclipped()

    def _unclipped(self) -> None:
        limit, self.spec = self.spec.clip_norm, replace(self.spec, clip_norm=None)
        try:
            TorchOptimizer.step(self)
        finally:
            self.spec = replace(self.spec, clip_norm=limit)


class _Written(TorchOptimizer):
    """A step that is written out."""

    def step(self) -> None:
        if self.spec.clip_norm is not None:
            nn.utils.clip_grad_norm_(self.parameters, self.spec.clip_norm)
        with torch.no_grad():
            for group in self.optimizer.param_groups:
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        self._update(parameter, parameter.grad, group, self.optimizer.state[parameter])
        if self.spec.schedule is not None or self.spec.momentum_schedule is not None:
            self._count = self._count + 1
            self._set_moving()

    def _update(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any], state: dict[str, Any]) -> None:
        raise NotImplementedError

    def _decayed(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any]) -> Tensor:
        """The gradient with L2 decay, or the parameter decayed by itself."""
        decay = group["weight_decay"]
        if not decay:
            return gradient
        if type(self.spec) is optimizers.AdamW:
            parameter.mul_(1 - group["lr"] * decay)
            return gradient
        return gradient + decay * parameter


class _Adam(_Written):
    """Adam with eps inside of the root or without the correction of the bias (Kingma and Ba 2015, algorithm 1)."""

    inside, corrected = False, True

    def _update(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any], state: dict[str, Any]) -> None:
        if "betas" not in group:
            raise NoChange
        gradient = self._decayed(parameter, gradient, group)
        first, second = group["betas"]
        state["t"] = state.get("t", 0) + 1
        state["m"] = first * state.get("m", torch.zeros_like(gradient)) + (1 - first) * gradient
        state["v"] = second * state.get("v", torch.zeros_like(gradient)) + (1 - second) * gradient * gradient
        mean, square = state["m"], state["v"]
        if self.corrected:
            mean, square = mean / (1 - first ** state["t"]), square / (1 - second ** state["t"])
        root = (square + group["eps"]).sqrt() if self.inside else square.sqrt() + group["eps"]
        parameter.sub_(group["lr"] * mean / root)


class _EpsInside(_Adam):
    inside = True

    def _update(self, parameter: Tensor, gradient: Tensor, group: Mapping[str, Any], state: dict[str, Any]) -> None:
        if "betas" in group:
            super()._update(parameter, gradient, group, state)
            return
        gradient = self._decayed(parameter, gradient, group)
        if "alpha" in group:
            alpha = group["alpha"]
            state["v"] = alpha * state.get("v", torch.zeros_like(gradient)) + (1 - alpha) * gradient * gradient
        elif "initial_accumulator_value" in group:
            start = torch.full_like(gradient, group["initial_accumulator_value"])
            state["v"] = state.get("v", start) + gradient * gradient
        else:
            raise NoChange
        step = gradient / (state["v"] + group["eps"]).sqrt()
        if group.get("momentum"):
            state["b"] = group["momentum"] * state.get("b", torch.zeros_like(gradient)) + step
            step = state["b"]
        parameter.sub_(group["lr"] * step)


class _Uncorrected(_Adam):
    corrected = False


class _Decoupled(TorchOptimizer):
    """Decay of the parameter itself where the optimizer adds it to the gradient."""

    def step(self) -> None:
        if type(self.spec) is optimizers.AdamW or not any(g["weight_decay"] for g in self.optimizer.param_groups):
            raise NoChange
        with torch.no_grad():
            decays = []
            for group in self.optimizer.param_groups:
                decays.append(group["weight_decay"])
                for parameter in group["params"]:
                    if parameter.grad is not None:
                        parameter.mul_(1 - group["lr"] * group["weight_decay"])
                group["weight_decay"] = 0.0
        super().step()
        for group, decay in zip(self.optimizer.param_groups, decays, strict=True):
            group["weight_decay"] = decay


VARIANTS: dict[str, type[TorchOptimizer]] = {
    "held": _Held,
    "exact-clip": _ExactClip,
    "eps-inside": _EpsInside,
    "uncorrected": _Uncorrected,
    "decoupled": _Decoupled,
}

Build = Callable[[Optimizer, Iterable[tuple[str, nn.Parameter]]], TorchOptimizer]
