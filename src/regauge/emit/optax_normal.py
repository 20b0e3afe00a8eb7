"""A chain of optax, taken apart: what happens to all gradients first, and what each parameter then goes through."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TypeVar

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
    SetToZero,
    Trace,
)

Parts = tuple[Part, ...]
Key = TypeVar("Key")

# These make zero of zero, whatever came before.
_KEEP_ZERO = (Scale, Trace, Ema, Clip, ClipByBlockRms)


@dataclass(frozen=True)
class Clipping:
    """Gradients that are clipped before anything else happens to them.

    Attributes:
        part: a `Clip` or `ClipByGlobalNorm`.
        parameters: names of the original's parameters.
    """

    part: Clip | ClipByGlobalNorm
    parameters: tuple[str, ...]


@dataclass(frozen=True)
class Taken:
    """A chain, taken apart.

    Attributes:
        clippings: in order.
        updates: what each parameter goes through after them, by its name; None if it never changes.
    """

    clippings: tuple[Clipping, ...]
    updates: Mapping[str, Parts | None]


def take_apart(spec: OptaxOptimizer, names: Iterable[str]) -> Taken:
    """What a chain does to each parameter.

    Args:
        spec: of the original.
        names: of all parameters that it is given.

    Raises:
        UnsupportedOptimizer: a norm of all updates is taken of something else than gradients.
    """
    clippings: list[Clipping] = []
    updates: dict[str, list[Part]] = {name: [] for name in names}
    for part, members in _in_order(spec.parts, tuple(updates)):
        first = not any(updates[name] for name in members)
        if first and isinstance(part, Clip | ClipByGlobalNorm):
            clippings.append(Clipping(part, members))
        elif isinstance(part, ClipByGlobalNorm):
            raise UnsupportedOptimizer(
                "clip_by_global_norm comes after another transformation",
                received=", ".join(type(one).__name__ for one in updates[members[0]]),
                why="an optimizer of torch changes one parameter after the other",
                next="clip the gradients first: optax.chain(optax.clip_by_global_norm(1.0), ...)",
            )
        else:
            for name in members:
                updates[name].append(part)
    return Taken(tuple(clippings), {name: _normal(parts) for name, parts in updates.items()})


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
    zero = max((index for index, part in enumerate(parts) if isinstance(part, SetToZero)), default=None)
    if zero is not None:
        after = parts[zero + 1 :]
        others = [part for part in after if not isinstance(part, _KEEP_ZERO)]
        if others:
            raise UnsupportedOptimizer(
                f"{type(others[0]).__name__} comes after set_to_zero",
                next="put set_to_zero last, or into a group of optax.partition of its own",
            )
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
