"""A chain of optax, taken apart: what happens to all gradients first, and what each parameter then goes through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

from regauge.errors import UnsupportedOptimizer
from regauge.optax_specs import (
    AddDecayedWeights,
    Clip,
    ClipByBlockRms,
    ClipByGlobalNorm,
    Ema,
    Masked,
    OptaxOptimizer,
    Part,
    Scale,
    ScaleByAdadelta,
    ScaleByAdam,
    ScaleByAdamax,
    ScaleByAdan,
    ScaleByAmsgrad,
    ScaleByBelief,
    ScaleByLion,
    ScaleByNovograd,
    ScaleByOptimisticGradient,
    ScaleByRadam,
    ScaleByRms,
    ScaleByRprop,
    ScaleByRss,
    ScaleBySign,
    ScaleByStddev,
    ScaleByTrustRatio,
    SetToZero,
    Trace,
    ZeroNans,
)

Parts = tuple[Part, ...]
Key = TypeVar("Key")

# Without a state and with a number for every argument: what comes before a norm of all gradients can be done to them.
_AHEAD = (Scale, AddDecayedWeights, Clip, ZeroNans, SetToZero)

# These make zero of zero, whatever came before.
_KEEP_ZERO = (
    *(Scale, Trace, Ema, Clip, ClipByBlockRms, ClipByGlobalNorm, ZeroNans, ScaleBySign, ScaleByLion, ScaleByRss),
    *(ScaleByTrustRatio, ScaleByOptimisticGradient, ScaleByRprop),
)
# So do these, by a denominator that is never zero.
_KEEP_ZERO_BY_EPS = (
    *(ScaleByAdam, ScaleByAmsgrad, ScaleByAdamax, ScaleByBelief, ScaleByRadam, ScaleByAdan),
    *(ScaleByRms, ScaleByStddev, ScaleByAdadelta),
)


@dataclass(frozen=True)
class Preparation:
    """What happens to gradients before anything else does.

    Attributes:
        part: `Clip` or `ClipByGlobalNorm`, or what comes before them and keeps no state.
        parameters: names of the original's parameters.
    """

    part: Part
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """A chain, taken apart.

    Attributes:
        preparations: in order.
        updates: what each parameter goes through after them, by its name; None if it never changes.
    """

    preparations: tuple[Preparation, ...]
    updates: Mapping[str, Parts | None]


def take_apart(spec: OptaxOptimizer, names: Iterable[str]) -> Taken:
    """What a chain does to each parameter.

    Args:
        spec: of the original.
        names: of all parameters that it is given.

    Raises:
        UnsupportedOptimizer: a norm of all updates is taken of something that gradients cannot be made into.
    """
    chain = _Chain(tuple(names))
    for part, members in _in_order(spec.parts, chain.names):
        chain.add(part, members)
    return chain.taken()


class _Chain:
    """Parts in the order in which they run, each with the parameters that it runs on.

    Args:
        names: of all parameters.
    """

    def __init__(self, names: tuple[str, ...]) -> None:
        self.names = names
        self._preparations: list[Preparation] = []
        self._parts: list[tuple[Part, tuple[str, ...]]] = []

    def add(self, part: Part, members: tuple[str, ...]) -> None:
        if not isinstance(part, Clip | ClipByGlobalNorm | ZeroNans):
            self._parts.append((part, members))
            return
        if isinstance(part, ClipByGlobalNorm):
            members = tuple(name for name in members if not self._is_zero(name))
            self._go_ahead(members)
        if any(self._of(name) for name in members):
            self._parts.append((part, members))
        elif members:
            self._preparations.append(Preparation(part, members))

    def _of(self, name: str) -> list[Part]:
        return [part for part, members in self._parts if name in members]

    def _is_zero(self, name: str) -> bool:
        """Whether the update of a parameter is zero so far."""
        parts = self._of(name)
        return any(isinstance(part, SetToZero) for part in parts) and not _wakes(parts)

    def _go_ahead(self, members: tuple[str, ...]) -> None:
        """Do to the gradients of these parameters what was to be done to their updates."""
        for name in members:
            for part in self._of(name):
                if not isinstance(part, _AHEAD) or not _is_constant(part):
                    raise UnsupportedOptimizer(
                        "clip_by_global_norm comes after a transformation that keeps a state or has a schedule",
                        received=", ".join(type(one).__name__ for one in self._of(name)),
                        why="an optimizer of torch changes one parameter after the other",
                        next="clip the gradients first: optax.chain(optax.clip_by_global_norm(1.0), ...)",
                    )
        remaining = []
        for part, every in self._parts:
            ahead = tuple(name for name in every if name in members)
            rest = tuple(name for name in every if name not in members)
            if ahead:
                self._preparations.append(Preparation(part, ahead))
            if rest:
                remaining.append((part, rest))
        self._parts = remaining

    def taken(self) -> Taken:
        for name in self.names:  # what moves a parameter whose update was set to zero: a decay of the weights
            parts = self._of(name)
            zero = _last_zero(parts)
            if zero is not None and _wakes(parts):
                self._restart(name, zero)
        updates = {name: _normal(self._of(name)) for name in self.names}
        prepared = [one for one in self._preparations if any(updates[name] is not None for name in one.parameters)]
        return Taken(tuple(prepared), updates)

    def _restart(self, name: str, zero: int) -> None:
        """Let the parts after `set_to_zero` begin with a gradient of zero."""
        seen, kept = -1, []
        for part, members in self._parts:
            if name in members:
                seen += 1
                if seen <= zero:
                    members = tuple(one for one in members if one != name)
            kept.append((part, members))
        self._parts = [(part, members) for part, members in kept if members]
        last = self._preparations[-1] if self._preparations else None
        if last is not None and isinstance(last.part, SetToZero):
            self._preparations[-1] = replace(last, parameters=(*last.parameters, name))
        else:
            self._preparations.append(Preparation(SetToZero(), (name,)))


def _is_constant(part: Part) -> bool:
    if isinstance(part, Scale):
        return not part.curves
    return not isinstance(part, AddDecayedWeights) or isinstance(part.weight_decay, int | float)


def _last_zero(parts: Sequence[Part]) -> int | None:
    return max((index for index, part in enumerate(parts) if isinstance(part, SetToZero)), default=None)


def _wakes(parts: Sequence[Part]) -> bool:
    """Whether something after `set_to_zero` makes an update again."""
    zero = _last_zero(parts)
    return zero is not None and not all(_keeps_zero(part) for part in parts[zero + 1 :])


def _keeps_zero(part: Part) -> bool:
    if isinstance(part, ScaleByNovograd):
        return _is_positive(part.eps) and part.weight_decay == 0
    return isinstance(part, _KEEP_ZERO) or (isinstance(part, _KEEP_ZERO_BY_EPS) and _is_positive(part.eps))


def _is_positive(value: Any) -> bool:
    return isinstance(value, int | float) and value > 0


def _in_order(parts: Sequence[Part], members: tuple[str, ...]) -> list[tuple[Part, tuple[str, ...]]]:
    """Every elementary part in the order in which it runs, with the parameters that it runs on."""
    found: list[tuple[Part, tuple[str, ...]]] = []
    for part in parts:
        if isinstance(part, Masked):
            chosen = set(part.parameters)
            found += _in_order(part.parts, tuple(name for name in members if name in chosen))
        elif members:
            found.append((part, members))
    return found


def _normal(parts: Sequence[Part]) -> Parts | None:
    """The same update with as few parts as possible; None if it is zero."""
    if _last_zero(parts) is not None:  # with nothing after it that moves the parameter: see `_Chain.taken`
        return None
    normal: list[Part] = []
    for part in parts:
        last = normal[-1] if normal else None
        if isinstance(part, Trace) and part.decay == 0:
            continue
        if isinstance(part, Scale) and isinstance(last, Scale):
            normal[-1] = Scale(last.factor * part.factor, (*last.curves, *part.curves))
        elif isinstance(part, Trace) and isinstance(last, Scale) and not last.curves:
            normal[-1:] = [part, last]  # a constant factor may be taken out of a sum
        else:
            normal.append(part)
    return tuple(_merged(normal))


def _merged(parts: Sequence[Part]) -> list[Part]:
    """Neighbouring factors, which the moves above may have brought together, as one."""
    merged: list[Part] = []
    for part in parts:
        if isinstance(part, Scale) and merged and isinstance(merged[-1], Scale):
            merged[-1] = Scale(merged[-1].factor * part.factor, (*merged[-1].curves, *part.curves))
        else:
            merged.append(part)
    return merged


def with_decay(updates: Iterable[Parts]) -> dict[Parts, Parts]:
    """The updates that differ from another by nothing but the decay of the weights, with a decay of 0 in its place.

    So they are groups of one optimizer and not two optimizers.
    """
    every = list(dict.fromkeys(updates))
    decaying = [parts for parts in every if any(_decays(part) for part in parts)]
    found: dict[Parts, Parts] = {}
    for parts in every:
        like = next((other for other in decaying if _without_decay(other) == parts), None)
        if like is not None and not any(isinstance(part, AddDecayedWeights) for part in parts):
            found[parts] = tuple(replace(part, weight_decay=0.0) if _decays(part) else part for part in like)  # type: ignore[call-arg]
        else:
            found[parts] = parts
    return found


def _decays(part: Part) -> bool:
    return isinstance(part, AddDecayedWeights) and isinstance(part.weight_decay, int | float)


def _without_decay(parts: Parts) -> Parts:
    return tuple(part for part in parts if not _decays(part))


def groups_by(items: Mapping[str, Key]) -> list[tuple[Key, tuple[str, ...]]]:
    """Names with equal values together, in the order of their first."""
    found: list[tuple[Key, list[str]]] = []
    for name, value in items.items():
        members = next((members for known, members in found if known == value), None)
        if members is None:
            found.append((value, [name]))
        else:
            members.append(name)
    return [(value, tuple(members)) for value, members in found]
