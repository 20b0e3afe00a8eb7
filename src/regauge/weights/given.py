"""What a person says about the pairing: a dict or a function of names, or a whole map read back from JSON."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from regauge.weights.leftovers import Loose
from regauge.weights.pair_map import PairMap, Part
from regauge.weights.settling import State
from regauge.weights.units import TensorInfo, Unit, same_elements

Named = str | Sequence[str] | None
Given = Mapping[str, Named] | Callable[[str], Named] | PairMap

NO_NEED = "a person says that the other side has none"


@dataclass
class Told:
    """What was given, in the form that `infer` works with."""

    parts: list[Part] = field(default_factory=list)
    evidence: dict[str, str] = field(default_factory=dict)
    groups: list[tuple[list[Unit], list[Unit]]] = field(default_factory=list)
    mistakes: list[str] = field(default_factory=list)


def take_given(given: Given | None, state: State, loose: Loose) -> Told:
    """Settle what is given and take it out of `state`; groups of several are left to be divided.

    Returns:
        Parts of a map, groups of names that belong together, and what cannot be as it was said.
    """
    told = Told()
    if isinstance(given, PairMap):
        _take_map(given, state, loose, told)
    elif given is not None:
        _take_names(_relation(given, state), state, loose, told)
    return told


def _relation(given: Mapping[str, Named] | Callable[[str], Named], state: State) -> dict[str, Named]:
    if isinstance(given, Mapping):
        return dict(given)
    answers = {unit.info.name: given(unit.info.name) for unit in state.sources}
    return {name: answer for name, answer in answers.items() if answer is not None}


def _take_map(given: PairMap, state: State, loose: Loose, told: Told) -> None:
    kinds = [{unit.info.name: unit.info for unit in units} for units in (state.sources, state.targets)]
    told.mistakes += _map_mistakes(given, kinds)
    kept = [p for p in given.parts if p.source in kinds[0] and p.target in kinds[1]]
    told.parts += kept
    told.evidence |= {part.target: given.evidence.get(part.target, "given") for part in kept}
    units = [{unit.info.name: unit for unit in side} for side in (state.sources, state.targets)]
    state.known += [(units[0][p.source], units[1][p.target]) for p in kept if p.whole]
    loose.tied_sources |= given.tied_sources
    loose.tied_targets |= given.tied_targets
    loose.absent_sources |= given.absent_sources
    loose.absent_targets |= given.absent_targets
    mine = {*given.by_source, *given.tied_sources, *given.absent_sources}
    theirs = {*given.by_target, *given.tied_targets, *given.absent_targets}
    state.sources = [unit for unit in state.sources if unit.info.name not in mine]
    state.targets = [unit for unit in state.targets if unit.info.name not in theirs]


def _map_mistakes(given: PairMap, kinds: list[dict[str, TensorInfo]]) -> list[str]:
    from regauge.weights.pair_check import problems_of

    known = [{**given.by_source, **given.tied_sources, **given.absent_sources},
             {**given.by_target, **given.tied_targets, **given.absent_targets}]  # fmt: skip
    shapes = [{name: info.shape for name, info in found.items() if name in said}
              for found, said in zip(kinds, known, strict=True)]  # fmt: skip
    return [f"given: {problem}" for problem in problems_of(given, *shapes)]


def _take_names(relation: dict[str, Named], state: State, loose: Loose, told: Told) -> None:
    sources = {unit.info.name: unit for unit in state.sources}
    targets = {unit.info.name: unit for unit in state.targets}
    claims: dict[str, list[str]] = defaultdict(list)
    for name, answer in relation.items():
        if name not in sources:
            told.mistakes.append(f"given: the original has no tensor {name}")
        elif answer is None:
            loose.absent_sources[name] = NO_NEED
            state.sources.remove(sources[name])
        else:
            for target in [answer] if isinstance(answer, str) else answer:
                if target in targets:
                    claims[target].append(name)
                else:
                    told.mistakes.append(f"given: the converted model has no tensor {target}, named for {name}")
    for names, places in _connected(claims):
        _take_group([sources[n] for n in names], [targets[n] for n in places], state, loose, told)


def _connected(claims: Mapping[str, list[str]]) -> list[tuple[list[str], list[str]]]:
    """Groups of sources and targets that hang together."""
    groups: list[tuple[set[str], set[str]]] = []
    for target, names in claims.items():
        mine, theirs = set(names), {target}
        for group in [group for group in groups if group[0] & mine]:
            groups.remove(group)
            mine |= group[0]
            theirs |= group[1]
        groups.append((mine, theirs))
    return [(sorted(mine), sorted(theirs)) for mine, theirs in groups]


def _take_group(mine: list[Unit], theirs: list[Unit], state: State, loose: Loose, told: Told) -> None:
    if len(theirs) == 1 and all(unit.size == theirs[0].size for unit in mine) and not _added(mine):
        state.settle(mine[0], theirs[0], "given")
        for unit in mine[1:]:
            loose.tied_sources[unit.info.name] = mine[0].info.name
            state.sources.remove(unit)
    elif len(mine) == 1 and all(unit.size == mine[0].size for unit in theirs):
        state.settle(mine[0], theirs[0], "given")
        for unit in theirs[1:]:
            loose.tied_targets[unit.info.name] = theirs[0].info.name
            state.targets.remove(unit)
    elif sum(unit.size for unit in mine) == sum(unit.size for unit in theirs) or _added(mine):
        told.groups.append((mine, theirs))
        state.sources = [unit for unit in state.sources if unit not in mine]
        state.targets = [unit for unit in state.targets if unit not in theirs]
    else:
        shapes = ", ".join(f"{unit.info.name} {list(unit.shape)}" for unit in mine)
        places = ", ".join(f"{unit.info.name} {list(unit.shape)}" for unit in theirs)
        told.mistakes.append(f"given: {shapes} cannot be {places}: the number of elements differs")


def _added(units: Sequence[Unit]) -> bool:
    """Whether these are the two biases of a recurrent layer, which are added."""
    words = [set(unit.name.words) & {"ih", "hh"} for unit in units]
    return len(units) == 2 and words[0] | words[1] == {"ih", "hh"} and same_elements(*units) is not True
