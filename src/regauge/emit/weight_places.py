"""Where the weights of the original live: the attribute of an emitted module that holds each, and its layout there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from regauge.emit.holders import Holder, dotted
from regauge.emit.layers import Layer, Layout
from regauge.emit.scopes import Scope, owns
from regauge.errors import EmitError

if TYPE_CHECKING:
    from regauge.emit.members import Structure


@dataclass(frozen=True)
class Placed:
    """Where a weight of the original lives in the emitted module; `stacked` as `WeightEntry` has it."""

    source: str
    target: str
    layout: Layout
    stacked: tuple[int, int] | None = None


def locate(structure: Structure, scope: Scope, weight: str) -> tuple[list[str], Layout]:
    """Attribute path of a weight inside a module, and the layout in which it is stored there.

    Raises:
        KeyError: no call of either mode holds it.
    """
    holders = [structure.holders[scope]]
    if structure.other is not None:
        holders += [structure.other.holders[call] for call in structure.other.calls_at(scope.path)]
    for holder in holders:
        if (found := _locate_in(structure, holder, weight)) is not None:
            return found
    raise KeyError(weight)


def _locate_in(structure: Structure, holder: Holder, weight: str) -> tuple[list[str], Layout] | None:
    if weight in holder.weights:
        return [dotted(holder.weights[weight])], ()
    if holder.base is not None and (found := _locate_in_layer(holder.base, holder.scope.path, weight)) is not None:
        return found
    for path, member in holder.members.items():
        if not owns(path, weight):
            continue
        if member.layer is not None:
            inner = _locate_in_layer(member.layer, path, weight)
        else:
            inner = _locate_in(structure, _holder(structure, member.scope), weight)
        if inner is not None:
            return [member.target, *inner[0]], inner[1]
    return None


def _locate_in_layer(layer: Layer, path: str, weight: str) -> tuple[list[str], Layout] | None:
    leaf = weight.removeprefix(path + ".")
    if leaf not in layer.weights:
        return None
    attribute, layout = layer.weights[leaf]
    return [attribute], layout


def _holder(structure: Structure, scope: Scope) -> Holder:
    """The contents of a call of either mode."""
    if scope in structure.holders or structure.other is None:
        return structure.holders[scope]
    return structure.other.holders[scope]


def placed_weights(structures: Iterable[Structure]) -> tuple[Placed, ...]:
    """Where every weight is; all modes must agree.

    Raises:
        EmitError: a weight is at two places.
    """
    found: dict[str, Placed] = {}
    for structure in structures:
        for placed in _place(structure, structure.root, ""):
            if found.setdefault(placed.source, placed) != placed:
                raise EmitError("a weight has two places in the two modes", where=placed.source)
    return tuple(found.values())


def _place(structure: Structure, scope: Scope, prefix: str) -> list[Placed]:
    holder = structure.holders[scope]
    placed = [Placed(name, prefix + dotted(path), ()) for name, path in holder.weights.items()]
    if holder.base is not None:
        placed += _place_layer(holder.base, scope.path, prefix)
    for path, member in holder.members.items():
        target = f"{prefix}{member.target}."
        if member.layer is not None:
            placed += _place_layer(member.layer, path, target)
        else:
            calls = member.run.calls if member.run else (member.scope,)
            for number, call in enumerate(calls):
                stacked = (number, len(calls)) if member.run else None
                placed += [replace(p, stacked=stacked or p.stacked) for p in _place(structure, call, target)]
    return placed


def _place_layer(layer: Layer, path: str, prefix: str) -> list[Placed]:
    found = layer.weights.items()
    return [Placed(f"{path}.{leaf}", prefix + attribute, layout) for leaf, (attribute, layout) in found]
