"""The weight map between two models that regauge did not convert: inferred, or refused with what stands in the way.

What a person gives comes first. Then values decide where they can tell tensors apart, under the layouts that are
possible; what they settle ties modules of one side to modules of the other, and with these, words and positions of the
paths settle the rest. What stays open is an `Ambiguity`: it is never guessed. `docs/weight-maps.md` has the rules.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np

from regauge.errors import WeightMismatch
from regauge.findings import Finding
from regauge.weights import arranging, candidates, expansion, leftovers, merging
from regauge.weights.affinity import Affinity
from regauge.weights.given import Given, take_given
from regauge.weights.leftovers import Loose
from regauge.weights.names import natural
from regauge.weights.pair_map import Kind, PairMap
from regauge.weights.pairing_result import Ambiguity, Missing, Pairing
from regauge.weights.settling import LITTLE, Pair, State, order, rounds, try_names
from regauge.weights.units import TensorInfo, Unit, same_elements, whole

__all__ = ["Ambiguity", "Missing", "Pairing", "TensorInfo", "infer"]

Decide = Callable[[Ambiguity], str | None]

CLOSE = 0.05  # distance below which values are a rounded copy rather than another tensor


def infer(
    original: Sequence[TensorInfo],
    converted: Sequence[TensorInfo],
    *,
    given: Given | None = None,
    decide: Decide | None = None,
) -> Pairing:
    """Find the map between the tensors of two models.

    Args:
        original: every parameter and buffer of the original, in any order.
        converted: the same of the converted model.
        given: a dict from names of the original to a name, several names or None (the other side has none); a
            function of a name that returns the same (None: find it); or a PairMap. It is believed before all else.
        decide: is asked about each ambiguity and returns one of its candidates, or None to leave it open.

    Returns:
        The map, or the ambiguities and missing tensors in its place; `Pairing.require` turns these into an error.

    Raises:
        WeightMismatch: two tensors of one side have the same name, values do not have the shape of their tensor, or
            `decide` answers what was not offered.
    """
    _refuse_unfit(original, converted)
    original = sorted(original, key=lambda info: natural(info.name))
    converted = sorted(converted, key=lambda info: natural(info.name))
    state = State([whole(info) for info in original], [whole(info) for info in converted])
    loose = Loose()
    told = take_given(given, state, loose)
    for mine, theirs in told.groups:
        _divide(state, mine, theirs)
    findings = [*_unrelated(state)]
    _settle(state, loose)
    decided: dict[str, str] = {}
    asked: set[Ambiguity] = set()
    arranged = arranging.arrange(state, decided)
    open_names = leftovers.ambiguities(state)
    while decide is not None:
        questions = [question for question in (*open_names, *arranged.ambiguities) if question not in asked]
        if not _answer(decide, questions, asked, state, decided):
            break
        _settle(state, loose)
        arranged = arranging.arrange(state, decided)
        open_names = leftovers.ambiguities(state)
    findings += [*loose.findings, *arranged.findings, *_crossed(state), *_differences(state)]
    partial = PairMap(
        (*told.parts, *arranged.parts),
        {info.name: Kind(tuple(info.shape), info.dtype) for info in original},
        {info.name: Kind(tuple(info.shape), info.dtype) for info in converted},
        loose.tied_sources,
        loose.tied_targets,
        loose.absent_sources,
        loose.absent_targets,
        told.evidence | _evidence(state.pairs),
    )
    lost = leftovers.missing(state, original, converted)
    pairing = Pairing(partial, (*open_names, *arranged.ambiguities), tuple(lost), tuple(findings), tuple(told.mistakes))
    if pairing.map is not None:
        partial.validate()
    return pairing


def _refuse_unfit(original: Sequence[TensorInfo], converted: Sequence[TensorInfo]) -> None:
    doubles = [
        f"{side} {name}: {count} times"
        for side, infos in (("original", original), ("converted", converted))
        for name, count in Counter(info.name for info in infos).items()
        if count > 1
    ]
    if doubles:
        raise WeightMismatch("two tensors of one model have the same name", code="W144", details=doubles)
    unfit = [
        f"{side} {info.name}: is said to be {tuple(info.shape)}, its values are {info.values.shape}"
        for side, infos in (("original", original), ("converted", converted))
        for info in infos
        if info.values is not None and tuple(info.values.shape) != tuple(info.shape)
    ]
    if unfit:
        raise WeightMismatch("values have another shape than their tensor", code="W146", details=unfit)


def _settle(state: State, loose: Loose) -> None:
    """All ways to settle, the surest first."""
    _settle_by_value(state)
    leftovers.settle_tied_groups(state)
    if merging.merge(state):
        _settle_by_value(state)
    try_names(state)
    # cut before names settle anything: a stack of four biases has as many elements as one that is four times as long
    while expansion.by_example(state) or expansion.by_name(state):
        _settle_by_value(state)
    _settle_by_name(state)
    while expansion.by_example(state) or expansion.by_name(state):
        _settle_by_name(state)
    leftovers.set_aside(state, loose)
    _settle_by_name(state)
    rounds(state, _only_one(state), "only shape that fits")
    _settle_by_name(state)
    _settle_in_spite(state)
    leftovers.set_aside(state, loose)


def _settle_by_value(state: State) -> None:
    rounds(state, state.by_value, "value")
    while expansion.by_value(state):
        before = len(state.pairs)
        rounds(state, state.by_value, "value")
        if len(state.pairs) == before:
            return


def _settle_by_name(state: State) -> None:
    rounds(state, state.possible, "name", LITTLE)


def _only_one(state: State) -> Callable[[Unit, Unit], bool]:
    """Pairs that have no rival of their kind on either side."""

    def fits(source: Unit, target: Unit) -> bool:
        kinds = {source.name.kind, target.name.kind} - {""}
        return len(kinds) < 2 and source.info.role == target.info.role and state.possible(source, target)

    def accept(source: Unit, target: Unit) -> bool:
        if not fits(source, target) or sum(fits(source, other) for other in state.targets) > 1:
            return False
        return sum(fits(other, target) for other in state.sources) == 1

    return accept


def _settle_in_spite(state: State) -> None:
    """Values that differ: a rounded copy, or the same name to the letter of the tables; both become findings."""

    def accept(source: Unit, target: Unit) -> bool:
        if source.size != target.size or same_elements(source, target) is not False:
            return False
        fits = bool(candidates.usual(source.shape, target.shape))
        return fits and (same_path(source, target) or candidates.close(source, target, CLOSE))

    rounds(state, accept, "name", LITTLE)


def same_path(source: Unit, target: Unit) -> bool:
    """Whether two names are the same once the words are replaced by their synonyms."""
    mine, theirs = source.name, target.name
    numbers = [number for number, _ in mine.numbers] == [number for number, _ in theirs.numbers]
    return bool(mine.kind) and mine.kind == theirs.kind and mine.words == theirs.words and numbers


def _divide(state: State, mine: list[Unit], theirs: list[Unit]) -> None:
    """Pair the pieces of names that were given as belonging together."""
    group = State(mine, theirs, values_count=state.values_count)
    _settle(group, Loose())
    state.pairs += [replace(pair, evidence="given") for pair in group.pairs]
    state.sources += group.sources
    state.targets += group.targets
    state.sources.sort(key=order)
    state.targets.sort(key=order)


def _unrelated(state: State) -> list[Finding]:
    """Leave values aside where no tensor of one model holds what any of the other holds."""
    mine = [unit for unit in state.sources if unit.distinct and unit.size > 1]
    theirs = [unit for unit in state.targets if unit.distinct and unit.size > 1]
    if len(mine) < 2 or len(theirs) < 2 or state.pairs:
        return []
    _settle_by_value(state)
    close = not state.pairs and any(candidates.close(a, b, CLOSE) for a in mine for b in theirs)
    if state.pairs or close:
        return []
    state.values_count = False
    text = "no tensor of one model holds the values of one of the other: names and shapes alone decide"
    return [Finding("W153", "warning", "", text)]


def _answer(
    decide: Decide, questions: Sequence[Ambiguity], asked: set[Ambiguity], state: State, decided: dict[str, str]
) -> bool:
    """Ask about each question until one is answered; whether one was."""
    for question in questions:
        asked.add(question)
        answer = decide(question)
        if answer is None:
            continue
        if answer not in question.candidates:
            raise WeightMismatch(
                f"the answer for {question.name} is not among the candidates",
                code="W145",
                received=str(answer),
                next=f"answer one of {', '.join(question.candidates)}",
            )
        if question.kind == "layout":
            decided[question.name] = answer
        else:
            source = next(unit for unit in state.sources if unit.label == question.name)
            state.settle(source, next(unit for unit in state.targets if unit.label == answer), "given")
        return True
    return False


def _evidence(pairs: Sequence[Pair]) -> dict[str, str]:
    """By target, the weakest evidence of its pieces."""
    ranks = {"given": 0, "value": 1, "name": 2, "only shape that fits": 3}
    found: dict[str, str] = {}
    for pair in pairs:
        name = pair.target.info.name
        if ranks[pair.evidence] >= ranks.get(found.get(name, "given"), 0):
            found[name] = pair.evidence
    return found


def _crossed(state: State) -> list[Finding]:
    """Tensors that values pair with one name and their own name with another."""
    pairs = [pair for pair in state.pairs if pair.evidence == "value" and pair.source.piece < 0 > pair.source.layer]
    affinity = Affinity([pair.source for pair in pairs], [pair.target for pair in pairs])
    findings = []
    by_size: dict[int, list[int]] = {}
    for n, pair in enumerate(pairs):
        by_size.setdefault(pair.source.size, []).append(n)
    for rows in by_size.values():
        score = np.maximum(affinity.names(rows, rows), -2.0)  # another kind counts as a poor name, not as none
        for place, row in enumerate(rows):
            best = int(score[place].argmax())
            if best != place and score[place, best] - score[place, place] > 2 * LITTLE:
                mine, theirs = pairs[row].source.label, pairs[row].target.label
                text = f"{theirs} holds the values of {mine}, whose name is more like {pairs[rows[best]].target.label}"
                findings.append(Finding("W150", "warning", theirs, text))
    return findings


def _differences(state: State) -> list[Finding]:
    """Pairs that were settled although their values differ, and pairs of different dtypes."""
    findings = []
    for pair in state.pairs:
        source, target = pair.source, pair.target
        if state.values_count and same_elements(source, target) is False:
            steps = next(iter(candidates.usual(source.shape, target.shape)), None)
            far = "" if steps is None else f" at a distance of {_least(source, target):.1e}"
            text = f"{target.label} holds other values than {source.label}{far}"
            findings.append(Finding("W154", "warning", target.label, text))
        if source.info.dtype != target.info.dtype:
            text = f"{target.label} is of dtype {target.info.dtype}, {source.label} of dtype {source.info.dtype}"
            findings.append(Finding("W155", "info", target.label, text))
    return findings


def _least(source: Unit, target: Unit) -> float:
    return min(candidates.distance(source, target, steps) for steps in candidates.usual(source.shape, target.shape))
