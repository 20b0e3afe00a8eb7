"""Settling pairs one after the other, the surest first; what is settled helps to settle the rest."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from regauge.weights import candidates
from regauge.weights.affinity import MODULES, Affinity
from regauge.weights.names import natural
from regauge.weights.units import Unit, same_elements

Evidence = Literal["given", "name", "value", "only shape that fits"]

MARGIN = 0.1  # by which a candidate must beat each other one, on the scale of `affinity`
TRUSTED = 0.9  # share of the pairs settled by values that names must find too, to be believed for the others
LITTLE = 0.35  # below this the names say nothing for a pair


@dataclass(frozen=True, eq=False)
class Pair:
    """Two units that belong together, and why."""

    source: Unit
    target: Unit
    evidence: Evidence


@dataclass
class State:
    """What is settled and what is left, in an order that does not depend on that of the lists that came in.

    Attributes:
        sources: what is left of the original.
        targets: what is left of the converted model.
        pairs: what was settled here.
        confirmed: answers of `by_value`, kept.
        values_count: False where the two models do not share values.
        names_count: False where names often point elsewhere than the values do: then only modules tell.
        known: whole tensors that a given map pairs; they need no more parts, but others may be tied to them.
    """

    sources: list[Unit]
    targets: list[Unit]
    pairs: list[Pair] = field(default_factory=list)
    confirmed: dict[tuple[Unit, Unit], bool] = field(default_factory=dict)
    values_count: bool = True
    known: list[tuple[Unit, Unit]] = field(default_factory=list)
    names_count: bool = True

    @property
    def together(self) -> list[tuple[Unit, Unit]]:
        """All that is known to belong together."""
        return [*self.known, *((pair.source, pair.target) for pair in self.pairs)]

    def settle(self, source: Unit, target: Unit, evidence: Evidence) -> None:
        self.pairs.append(Pair(source, target, evidence))
        self.sources.remove(source)
        self.targets.remove(target)

    def replace(self, side: Literal["source", "target"], unit: Unit, pieces: Iterable[Unit]) -> None:
        """A unit falls into its pieces."""
        units = self.sources if side == "source" else self.targets
        units.remove(unit)
        units.extend(pieces)
        units.sort(key=order)

    def by_value(self, source: Unit, target: Unit) -> bool:
        """Whether the values, of a kind that can tell, are the same under a layout that is possible."""
        if not (self.values_count and source.distinct and target.distinct and same_elements(source, target)):
            return False
        key = (source, target)
        if key not in self.confirmed:
            self.confirmed[key] = bool(layouts(source, target))
        return self.confirmed[key]

    def possible(self, source: Unit, target: Unit) -> bool:
        """Whether nothing that is known speaks against the pair: sizes and values."""
        if source.size != target.size:
            return False
        same = same_elements(source, target) if self.values_count else None
        if same is None:
            return bool(candidates.usual(source.shape, target.shape))
        if not same:
            return False
        return self.by_value(source, target) if source.distinct else candidates.possible(source.shape, target.shape)


def layouts(source: Unit, target: Unit) -> bool:
    """Whether the values agree under some layout, chunks reordered among them."""
    return bool(candidates.confirmed(source, target)) or candidates.reordered(source, target) is not None


def order(unit: Unit) -> tuple[object, ...]:
    return natural(unit.info.name), unit.layer, unit.piece


Accept = Callable[[Unit, Unit], bool]


def rounds(state: State, accept: Accept, evidence: Evidence, least: float = 0.0) -> None:
    """Settle pairs until nothing more follows.

    Args:
        state: changed in place.
        accept: which pairs may be settled at all.
        evidence: what they are said to rest on.
        least: what words, numbers and modules together must say for a pair; without rivals they need say nothing.
    """
    while True:
        blocks = _blocks(state, accept)
        if not blocks:
            return
        affinity = Affinity(state.sources, state.targets, state.together)
        found: list[tuple[Unit, Unit]] = []
        for mine, theirs, allowed in blocks:
            score = scores(affinity, mine, theirs, evidence)
            if least > 0 and not state.names_count:
                allowed = allowed & affinity.one_module(mine, theirs)
            if least > 0:
                allowed = allowed & (affinity.speaks(mine, theirs) >= least)
            score = np.where(allowed, score, -np.inf)
            found += [(state.sources[mine[i]], state.targets[theirs[j]]) for i, j in _sure(score)]
        for source, target in found:
            state.settle(source, target, evidence)
        if not found:
            return


def try_names(state: State) -> None:
    """Judge the names by the pairs that values have settled: what fails there is not believed elsewhere."""
    pairs = [p for p in state.pairs if p.evidence == "value" and p.source.piece < 0 > p.target.piece]
    affinity = Affinity([pair.source for pair in pairs], [pair.target for pair in pairs])
    by_size: dict[int, list[int]] = {}
    for n, pair in enumerate(pairs):
        by_size.setdefault(pair.source.size, []).append(n)
    right = tried = 0
    for rows in by_size.values():
        if len(rows) > 1:
            score = affinity.names(rows, rows)
            own = np.diagonal(score)
            right += int(((own >= score.max(0)) & (own >= score.max(1))).sum())
            tried += len(rows)
    state.names_count = right >= TRUSTED * tried


def scores(affinity: Affinity, mine: Sequence[int], theirs: Sequence[int], evidence: Evidence) -> np.ndarray:
    """What names and modules say; where values agree, a name of another kind is no bar but a doubt."""
    names = affinity.names(mine, theirs)
    if evidence == "value":
        names = np.where(np.isneginf(names), -2.0, names)
    return names + MODULES * affinity.modules(mine, theirs)


def _blocks(state: State, accept: Accept) -> list[tuple[list[int], list[int], np.ndarray]]:
    """Groups of units that compete with each other only: (rows, columns, which pairs are allowed)."""
    by_size: dict[int, tuple[list[int], list[int]]] = {}
    for row, unit in enumerate(state.sources):
        by_size.setdefault(unit.size, ([], []))[0].append(row)
    for column, unit in enumerate(state.targets):
        if unit.size in by_size:
            by_size[unit.size][1].append(column)
    blocks = []
    for mine, theirs in by_size.values():
        allowed = np.array([[accept(state.sources[i], state.targets[j]) for j in theirs] for i in mine], bool)
        if allowed.any():
            blocks.append((mine, theirs, allowed))
    return blocks


def _sure(score: np.ndarray) -> list[tuple[int, int]]:
    """Cells that beat all others of their row and of their column by the margin."""
    found = []
    for row, values in enumerate(score):
        column = int(values.argmax())
        best = values[column]
        if np.isneginf(best):
            continue
        others = np.append(np.delete(values, column), np.delete(score[:, column], row))
        rivals = others.max(initial=-np.inf)
        if best - rivals >= MARGIN:
            found.append((row, column))
    return found
