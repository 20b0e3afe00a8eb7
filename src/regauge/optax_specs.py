"""optax's gradient transformations and schedules as data, without a framework: what a JAX case is trained with.

A spec is the chain of optax's own elementary transformations, in order, with their arguments by optax's names.
`capture/jax_optimizer.py` reads it, `emit/torch_train.py` writes it as an optimizer of torch. The formulas are those of
optax 0.2 (`optax._src.transform`, `optax.transforms`, `optax.schedules`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any

from regauge import optimizers
from regauge.errors import UnsupportedOptimizer


@dataclass(frozen=True)
class Curve:
    """A number as a function of the steps already taken, starting at 0: one of optax's schedules."""


@dataclass(frozen=True)
class Polynomial(Curve):
    """``(init_value - end_value) * (1 - n / transition_steps) ** power + end_value``, n from `transition_begin` on."""

    init_value: float
    end_value: float
    power: float
    transition_steps: float
    transition_begin: float = 0


@dataclass(frozen=True)
class PiecewiseConstant(Curve):
    """`init_value`, times a scale from each boundary on."""

    init_value: float
    boundaries: tuple[float, ...]
    scales: tuple[float, ...]


@dataclass(frozen=True)
class PiecewiseInterpolate(Curve):
    """From value to value, in straight lines or half cosines; `values` are those at 0 and at every boundary."""

    kind: str  # "linear", "cosine"
    boundaries: tuple[float, ...]
    values: tuple[float, ...]


@dataclass(frozen=True)
class ExponentialDecay(Curve):
    """``init_value * decay_rate ** (n / transition_steps)``, n from `transition_begin` on."""

    init_value: float
    transition_steps: float
    decay_rate: float
    transition_begin: float = 0
    staircase: bool = False
    end_value: float | None = None


@dataclass(frozen=True)
class CosineDecay(Curve):
    """Half a cosine from `init_value` to ``alpha * init_value``, then constant."""

    init_value: float
    decay_steps: float
    alpha: float = 0.0
    exponent: float = 1.0


@dataclass(frozen=True)
class Joined(Curve):
    """One schedule after the other; each counts from 0 at its boundary."""

    curves: tuple[float | Curve, ...]
    boundaries: tuple[float, ...]


@dataclass(frozen=True)
class Traced(Curve):
    """A function of a person's own, as a graph.

    Attributes:
        name: of the function.
        graph: JSON text of a `regauge.ir.graph.Graph` of the count.
        constants: JSON text of the arrays that it holds: ``{name: [dtype, nested list]}``.
    """

    name: str
    graph: str
    constants: str


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
class Masked(Part):
    """A chain for some of the parameters; the updates of the others pass as they are.

    Attributes:
        parameters: names of the original's parameters.
        parts: the chain.
    """

    parameters: tuple[str, ...]
    parts: tuple[Part, ...]


@dataclass(frozen=True)
class OptaxOptimizer:
    """A transformation of optax.

    Attributes:
        name: what reports call it: ``adamw``.
        parts: the elementary transformations, in order.
    """

    name: str
    parts: tuple[Part, ...]

    @property
    def sees_whole_parameters(self) -> bool:
        """Whether the update of an element depends on the norm of the parameter that it is in."""
        return any(isinstance(part, ScaleByTrustRatio | ClipByBlockRms) for part in self.every())

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
    *(ScaleByRadam, ScaleByLion, ScaleByRms, ScaleByStddev, ScaleByRss, ScaleByAdadelta, ScaleBySign),
    *(ScaleByTrustRatio, Clip, ClipByBlockRms, ClipByGlobalNorm, SetToZero, Masked),
)
_KINDS: dict[str, type] = {cls.__name__: cls for cls in (*_CURVES, *_PARTS)}

# What a conversion can be trained with: a spec of torch's algorithms, or one of optax's.
AnyOptimizer = optimizers.Optimizer | OptaxOptimizer


def to_json(spec: AnyOptimizer) -> dict[str, Any]:
    """The spec as JSON: ``{"type": "adamw", "library": "optax", "parts": [...]}``, or that of `regauge.optimizers`."""
    if isinstance(spec, OptaxOptimizer):
        return {"type": spec.name, "library": "optax", "parts": [_value_to_json(part) for part in spec.parts]}
    return optimizers.to_json(spec)


def _value_to_json(value: Any) -> Any:
    if isinstance(value, Curve | Part):
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
    return OptaxOptimizer(data["type"], tuple(_value_from_json(part) for part in data["parts"]))


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
