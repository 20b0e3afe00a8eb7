"""What would change the answer: the smallest change of each weight, need, measurement or open fact, computed.

Every change is tried on the same draws as the answer itself, with everything else left as it is. Sizes make changes of
different kinds comparable: doublings (the binary logarithm of a factor) for weights and for ratios of step times, 1 for
every need that is dropped or added and for every open fact that is settled.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace

from regauge.decide import evidence as ev
from regauge.decide.assess import Assessment, Assumptions, Choice, assess
from regauge.decide.criteria import FULL_FACTOR, Inputs, ratio_at, speed_value
from regauge.decide.fact_words import FRAMEWORKS
from regauge.decide.needs import CRITERIA, Criterion, Hardware, Needs, Team
from regauge.decide.recommendation import Flip, Shift

# Weights are followed over this many doublings, either way: beyond a factor of 64 one criterion is all or nothing.
DOUBLINGS = 6.0
# First every half doubling is looked at, so that an answer that changes twice is not missed; then halved to this width.
STEP = 0.5
WIDTH = 0.01
# Ratios of step times are followed to the ends of the scale of the performance criterion.
RATIO_DOUBLINGS = math.log2(FULL_FACTOR)

# What no project asks for as such: habits of a framework, and facts about the people behind it.
NO_FEATURE_AREAS = ("community", "governance", "status")
NO_FEATURES = (
    "arrays_mutable_in_place",
    "gradients_stored_on_parameters",
    "implicit_global_rng",
    "tf32_float32_matmul_by_default_on_nvidia",
    "zero_dim_array_raises_float_width",
)

SHIFT_FACTORS = tuple(2.0 ** (power / 2) for power in range(-8, 9))

Answer = Callable[[float], Choice]


def flips_of(inputs: Inputs, found: Assessment, seed: int, count: int) -> tuple[Flip, ...]:
    """Every change that gives another answer, the smallest first."""
    flips = [
        *_weights(inputs, found, seed, count),
        *_measurements(inputs, found, seed, count),
        *_facts(inputs, found, seed, count),
        *_needs(inputs, found, seed, count),
    ]
    unique: dict[tuple[str, str, str], Flip] = {}
    for flip in sorted(flips, key=lambda flip: (flip.size, flip.kind, flip.subject, flip.choice)):
        unique.setdefault((flip.kind, flip.subject, flip.choice), flip)
    return tuple(unique.values())


def shifts_of(inputs: Inputs, found: Assessment, seed: int, count: int) -> tuple[Shift, ...]:
    """First-rank shares while one weight is scaled, for every criterion that has a weight."""
    if len(found.contenders) < 2:
        return ()
    rows = []
    for criterion in CRITERIA:
        if found.weights[criterion] == 0:
            continue
        tried = [
            assess(inputs, seed, Assumptions(weights={criterion: factor}), count, full=False)
            for factor in SHIFT_FACTORS
        ]
        shares = {name: tuple(round(one.share(name), 4) for one in tried) for name in found.contenders}
        rows.append(Shift(criterion, SHIFT_FACTORS, shares))
    return tuple(rows)


def first_change(answer: Answer, present: Choice, limit: float, start: float = 0.0) -> tuple[float, Choice] | None:
    """The smallest x in (start, limit] at which ``answer(x)`` is not `present`, to `WIDTH`, and what it is there.

    Looked for in steps, then by bisection between the last step that holds and the first that does not.
    """
    held, x = start, start
    while x < limit:
        x = min(x + STEP, limit)
        if answer(x) != present:
            break
        held = x
    else:
        return None
    changed = x
    while changed - held > WIDTH:
        middle = (held + changed) / 2
        if answer(middle) == present:
            held = middle
        else:
            changed = middle
    return changed, answer(changed)


def changes(answer: Answer, present: Choice, limit: float) -> Iterator[tuple[float, Choice]]:
    """Every change from 0 to `limit`, one after the other."""
    change = first_change(answer, present, limit)
    while change is not None:
        yield change
        change = first_change(answer, change[1], limit, change[0])


def _weights(inputs: Inputs, found: Assessment, seed: int, count: int) -> Iterator[Flip]:
    if len(found.contenders) < 2:
        return
    stated = inputs.needs.weights.stated()
    for criterion in CRITERIA:
        if found.weights[criterion] == 0 or sum(weight > 0 for weight in found.weights.values()) == 1:
            continue
        for sign in (1, -1):
            answer = _weighted(inputs, criterion, sign, seed, count)
            change = first_change(answer, found.choice, DOUBLINGS)
            if change is None:
                continue
            before = stated.get(criterion, 1.0)
            after = before * 2.0 ** (sign * change[0])
            yield _weight_flip(criterion, before, after, change, bool(stated))


def _weighted(inputs: Inputs, criterion: Criterion, sign: int, seed: int, count: int) -> Answer:
    def answer(doublings: float) -> Choice:
        factor = 2.0 ** (sign * doublings)
        return assess(inputs, seed, Assumptions(weights={criterion: factor}), count, full=False).choice

    return answer


def _weight_flip(criterion: Criterion, before: float, after: float, change: tuple[float, Choice], stated: bool) -> Flip:
    low, high = _figure(before), _figure(after)
    text = f"the weight of {criterion} goes from {low} to {high}"
    if not stated:
        text = f"{criterion} counts {high} times as much as each other criterion"
    return Flip("weight", text, criterion, low, high, round(change[0], 1), change[1])


def _measurements(inputs: Inputs, found: Assessment, seed: int, count: int) -> Iterator[Flip]:
    """Another ratio of step times, JAX over PyTorch: from the measured one or, if there is none, from equal times."""
    sides = [name for name in ev.MEASURED.values() if name in found.contenders]
    if len(sides) < 2 or found.weights["performance"] == 0:
        return
    torch, jax = found.values["pytorch", "performance"], found.values["jax", "performance"]
    measured = torch.width < 1 and jax.width < 1
    start = ratio_at(jax.middle) / ratio_at(torch.middle) if measured else 1.0
    present = found.choice
    if not measured:
        present = _with_ratio(inputs, found, 1.0, seed, count)
        if present != found.choice:
            text = "both take the same time once they are measured"
            yield Flip("measurement", text, "jax/pytorch", "not measured", "1", 0.0, present)
    for sign in (1, -1):

        def answer(doublings: float, sign: int = sign) -> Choice:
            return _with_ratio(inputs, found, start * 2.0 ** (sign * doublings), seed, count)

        for doublings, choice in changes(answer, present, RATIO_DOUBLINGS):
            if choice != found.choice:
                after = _figure(start * 2.0 ** (sign * doublings))
                before = _figure(start) if measured else "not measured"
                text = f"JAX is measured to take {after} times as long as PyTorch"
                yield Flip("measurement", text, "jax/pytorch", before, after, round(doublings, 1), choice)


def _with_ratio(inputs: Inputs, found: Assessment, ratio: float, seed: int, count: int) -> Choice:
    """The answer if JAX took `ratio` times as long; PyTorch and the width of JAX's interval stay, if they are known."""
    torch, jax = found.values["pytorch", "performance"], found.values["jax", "performance"]
    known = torch.width < 1 and jax.width < 1
    low, high = (torch.low, torch.high) if known else (0.5, 0.5)
    middle = speed_value(ratio * ratio_at((low + high) / 2))
    half = jax.width / 2 if known else 0.0
    moved = (max(0.0, middle - half), min(1.0, middle + half))
    assumed = Assumptions(performance={"pytorch": (low, high), "jax": moved})
    return assess(inputs, seed, assumed, count, full=False).choice


def _facts(inputs: Inputs, found: Assessment, seed: int, count: int) -> Iterator[Flip]:
    """Open needs of one candidate that turn out to be met, all of them: it could not be chosen before."""
    for name, judgements in found.open.items():
        met = frozenset((name, judgement.requirement.dimension) for judgement in judgements)
        choice = assess(inputs, seed, Assumptions(met=met), count, full=False).choice
        if choice != found.choice:
            needs = ", ".join(judgement.requirement.need for judgement in judgements)
            yield Flip(
                "fact", f"{FRAMEWORKS[name]} is shown to meet {needs}", name, "open", "met", float(len(met)), choice
            )


def _needs(inputs: Inputs, found: Assessment, seed: int, count: int) -> Iterator[Flip]:
    for subject, changed in _removals(inputs.needs, found.choice):
        choice = _answer(inputs, changed, seed, count)
        if choice not in (None, found.choice):
            size = float(len(inputs.needs.candidates) - len(changed.candidates)) or 1.0
            yield Flip("need", f"without {subject}", subject, "stated", "dropped", size, choice)
    added: dict[Choice, list[str]] = {}
    for name, changed in _additions(inputs, found):
        choice = _answer(inputs, changed, seed, count)
        if choice not in (None, found.choice):
            added.setdefault(choice, []).append(name)
    for choice, names in added.items():
        listed = ", ".join(names)
        text = f"one more need, any of: {listed}"
        yield Flip("need", text, f"must: {names[0]}", "not stated", "needed", 1.0, choice)


def _answer(inputs: Inputs, needs: Needs, seed: int, count: int) -> Choice | None:
    """The answer to other needs; None if they leave no candidate."""
    tried = assess(replace(inputs, needs=needs), seed, None, count, full=False)
    return tried.choice if tried.contenders else None


def _removals(needs: Needs, choice: Choice) -> Iterator[tuple[str, Needs]]:
    hardware, team = needs.hardware, needs.team
    for name in needs.must:
        left = tuple(other for other in needs.must if other != name)
        yield _dropped(f"must: {name}", needs, must=left)
    for name in needs.nice:
        left = tuple(other for other in needs.nice if other != name)
        yield _dropped(f"nice: {name}", needs, nice=left)
    for device in hardware.train:
        kept = tuple(other for other in hardware.train if other != device)
        yield _dropped(f"hardware.train: {device}", needs, hardware=_hardware(hardware, train=kept))
    for target in hardware.serve:
        targets = tuple(other for other in hardware.serve if other != target)
        yield _dropped(f"hardware.serve: {target}", needs, hardware=_hardware(hardware, serve=targets))
    if (hardware.devices or 1) > 1:
        single = _hardware(hardware, devices=None, nodes=None)
        yield _dropped(f"hardware.devices: {hardware.devices}", needs, hardware=single)
    if team.experience:
        yield _dropped("team.experience", needs, team=Team(people=team.people))
    if needs.existing_code is not None:
        yield _dropped("existing_code", needs, existing_code=None)
    if needs.timeline_weeks is not None:
        yield _dropped("timeline_weeks", needs, timeline_weeks=None)

    # Candidates that nobody can measure here keep an answer open. Without the choice itself it is another anyway.
    others = tuple(name for name in needs.candidates if name not in (choice, *ev.MEASURED.values()))
    for names in dict.fromkeys([*((name,) for name in others), others]):
        remaining = tuple(name for name in needs.candidates if name not in names)
        if names and remaining:
            yield _dropped(f"candidates: {', '.join(names)}", needs, candidates=remaining)


def _hardware(hardware: Hardware, **changes: object) -> Hardware:
    return hardware.model_copy(update=changes)


def _dropped(subject: str, needs: Needs, **changes: object) -> tuple[str, Needs]:
    return subject, needs.model_copy(update=changes)


def _additions(inputs: Inputs, found: Assessment) -> Iterator[tuple[str, Needs]]:
    """A need more, of the features that tell the candidates apart: some have it, some do not."""
    base, needs = inputs.base, inputs.needs
    for name in base.dimensions():
        facts = [fact for candidate in found.values_of() if (fact := base.get(candidate, name)) is not None]
        answers = {fact.value for fact in facts if fact.confidence != "low"}
        if name in needs.must or "yes" not in answers or not answers & {"no", "partial"}:
            continue
        if name not in NO_FEATURES and not any(fact.area in NO_FEATURE_AREAS for fact in facts):
            yield name, needs.model_copy(update={"must": (*needs.must, name)})


def _figure(value: float) -> str:
    """Two significant digits: more would be noise of the draws."""
    return f"{float(f'{value:.2g}'):g}"
