"""optax's gradient transformations as data, without a framework: what a JAX case is trained with.

A spec is the chain of optax's own elementary transformations, in order, with their arguments by optax's names.
`capture/jax_optimizer.py` reads it, `emit/torch_train.py` writes it as an optimizer of torch. The formulas are those of
optax 0.2 (`optax._src.transform`, `optax.transforms`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from regauge import optimizers
from regauge.errors import UnsupportedOptimizer
from regauge.optax_schedules import (
    CosineDecay,
    Curve,
    ExponentialDecay,
    Joined,
    PiecewiseConstant,
    PiecewiseInterpolate,
    Polynomial,
    Traced,
)


@dataclass(frozen=True)
class Part:
    """One transformation of the updates; the first of a chain receives the gradients."""


@dataclass(frozen=True)
class Scale(Part):
    """Times `factor`, and times every one of `curves`."""

    factor: float
    curves: tuple[Curve, ...] = ()


@dataclass(frozen=True)
class AddDecayedWeights(Part):
    weight_decay: float | Curve


@dataclass(frozen=True)
class Trace(Part):
    decay: float
    nesterov: bool = False


@dataclass(frozen=True)
class Ema(Part):
    decay: float
    debias: bool = True


@dataclass(frozen=True)
class ScaleByAdam(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 0.0
    nesterov: bool = False


@dataclass(frozen=True)
class ScaleByAmsgrad(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 0.0
    bias_correction_mu: bool = True
    bias_correction_nu: bool = True


@dataclass(frozen=True)
class ScaleByAdamax(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8


@dataclass(frozen=True)
class ScaleByBelief(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-16
    eps_root: float = 1e-16
    nesterov: bool = False


@dataclass(frozen=True)
class ScaleByYogi(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-3
    eps_root: float = 0.0
    initial_accumulator_value: float = 1e-6


@dataclass(frozen=True)
class ScaleByRadam(Part):
    b1: float = 0.9
    b2: float = 0.999
    eps: float = 1e-8
    eps_root: float = 0.0
    threshold: float = 5.0
    nesterov: bool = False


@dataclass(frozen=True)
class ScaleByLion(Part):
    b1: float = 0.9
    b2: float = 0.99


@dataclass(frozen=True)
class ScaleByRms(Part):
    decay: float = 0.9
    eps: float = 1e-8
    initial_scale: float = 0.0
    eps_in_sqrt: bool = True
    bias_correction: bool = False


@dataclass(frozen=True)
class ScaleByStddev(ScaleByRms):
    """`ScaleByRms` with the square of the mean taken off."""


@dataclass(frozen=True)
class ScaleByRss(Part):
    initial_accumulator_value: float = 0.1
    eps: float = 1e-7


@dataclass(frozen=True)
class ScaleByAdadelta(Part):
    rho: float = 0.9
    eps: float = 1e-6


@dataclass(frozen=True)
class ScaleByAdan(Part):
    b1: float = 0.98
    b2: float = 0.92
    b3: float = 0.99
    eps: float = 1e-8
    eps_root: float = 0.0


@dataclass(frozen=True)
class ScaleByNovograd(Part):
    b1: float = 0.9
    b2: float = 0.25
    eps: float = 1e-8
    eps_root: float = 0.0
    weight_decay: float = 0.0


@dataclass(frozen=True)
class ScaleByRprop(Part):
    learning_rate: float
    eta_minus: float = 0.5
    eta_plus: float = 1.2
    min_step_size: float = 1e-6
    max_step_size: float = 50.0


@dataclass(frozen=True)
class ScaleByOptimisticGradient(Part):
    alpha: float = 1.0
    beta: float = 1.0


@dataclass(frozen=True)
class ScaleBySign(Part):
    pass


@dataclass(frozen=True)
class ScaleByTrustRatio(Part):
    min_norm: float = 0.0
    trust_coefficient: float = 1.0
    eps: float = 0.0


@dataclass(frozen=True)
class Clip(Part):
    """Every element into ``[-max_delta, max_delta]``."""

    max_delta: float


@dataclass(frozen=True)
class ClipByBlockRms(Part):
    threshold: float


@dataclass(frozen=True)
class ClipByGlobalNorm(Part):
    """All updates together to this 2-norm, where theirs is larger."""

    max_norm: float


@dataclass(frozen=True)
class SetToZero(Part):
    pass


@dataclass(frozen=True)
class ZeroNans(Part):
    pass


@dataclass(frozen=True)
class KeepParamsNonnegative(Part):
    pass


@dataclass(frozen=True)
class Masked(Part):
    """A chain for some of the parameters; the updates of the others pass as they are.

    Attributes:
        parameters: names of the original's parameters.
        parts: the chain.
    """

    parameters: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class Wrapper:
    """What decides at which calls of `update` a chain runs, and on which gradients."""


@dataclass(frozen=True)
class MultiSteps(Wrapper):
    """The chain runs at every `every`-th call, on the mean of the gradients since then or on their sum."""

    every: int
    mean: bool = True


@dataclass(frozen=True)
class ApplyIfFinite(Wrapper):
    """A call with a gradient that is not finite changes nothing.

    Attributes:
        max_consecutive_errors: after so many of them in a row the chain runs all the same; None for never.
    """

    max_consecutive_errors: int | None


@dataclass(frozen=True)
class OptaxOptimizer:
    """A transformation of optax.

    Attributes:
        name: what reports call it: ``adamw``.
        parts: the elementary transformations, in order.
        wrappers: around them, the outermost first.
    """

    name: str
    parts: tuple[Part, ...]
    wrappers: tuple[Wrapper, ...] = ()

    @property
    def sees_whole_parameters(self) -> bool:
        """Whether the update of an element depends on the norm of the parameter that it is in."""
        return any(isinstance(part, ScaleByTrustRatio | ScaleByNovograd | ClipByBlockRms) for part in self.every())

    def every(self) -> Iterator[Part]:
        """All parts, those inside masks too."""
        pending = list(self.parts)
        while pending:
            part = pending.pop(0)
            yield part
            if isinstance(part, Masked):
                pending[:0] = part.parts


_CURVES = (Polynomial, PiecewiseConstant, PiecewiseInterpolate, ExponentialDecay, CosineDecay, Joined, Traced)
_PARTS = (
    *(Scale, AddDecayedWeights, Trace, Ema, ScaleByAdam, ScaleByAmsgrad, ScaleByAdamax, ScaleByBelief, ScaleByYogi),
    *(ScaleByRadam, ScaleByLion, ScaleByRms, ScaleByStddev, ScaleByRss, ScaleByAdadelta, ScaleBySign, ScaleByAdan),
    *(ScaleByNovograd, ScaleByRprop, ScaleByOptimisticGradient, ScaleByTrustRatio, Clip, ClipByBlockRms),
    *(ClipByGlobalNorm, SetToZero, ZeroNans, KeepParamsNonnegative, Masked),
)
_KINDS: dict[str, type] = {cls.__name__: cls for cls in (*_CURVES, *_PARTS, MultiSteps, ApplyIfFinite)}

# What a conversion can be trained with: a spec of torch's algorithms, or one of optax's.
AnyOptimizer = optimizers.Optimizer | OptaxOptimizer


def to_json(spec: AnyOptimizer) -> dict[str, Any]:
    """The spec as JSON: ``{"type": "adamw", "library": "optax", "parts": [...]}``, or that of `regauge.optimizers`."""
    if isinstance(spec, OptaxOptimizer):
        parts, wrappers = _value_to_json(spec.parts), _value_to_json(spec.wrappers)
        return {"type": spec.name, "library": "optax", "parts": parts, **({"wrappers": wrappers} if wrappers else {})}
    return optimizers.to_json(spec)


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Curve | Part | Wrapper):
        named = {item.name: _value_to_json(getattr(value, item.name)) for item in fields(value)}
        return {"type": type(value).__name__, **named}
    return [_value_to_json(item) for item in value] if isinstance(value, tuple) else value


def from_json(data: Mapping[str, Any]) -> AnyOptimizer:
    """The optimizer of `to_json`.

    Raises:
        UnsupportedOptimizer: unknown type or field, or a value out of its range.
    """
    if data.get("library") != "optax":
        return optimizers.from_json(data)
    return OptaxOptimizer(data["type"], _value_from_json(data["parts"]), _value_from_json(data.get("wrappers", [])))


def _value_from_json(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(_value_from_json(item) for item in value)
    if not isinstance(value, dict) or "type" not in value:
        return value
    cls = _KINDS.get(value["type"])
    if cls is None:
        raise UnsupportedOptimizer(
            f"there is no transformation of optax {value['type']!r}",
            received=repr(value),
            next="convert the case again",
        )
    given = {name: item for name, item in value.items() if name != "type"}
    return cls(**{name: _value_from_json(item) for name, item in given.items()})
