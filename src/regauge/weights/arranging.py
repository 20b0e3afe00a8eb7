"""From settled pairs to the parts of a map: the layout of each, by values, by shape, by custom, or left open."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

from regauge.findings import Finding
from regauge.weights import candidates
from regauge.weights import steps as moves
from regauge.weights.expansion import narrowed
from regauge.weights.pair_map import Part
from regauge.weights.pairing_result import Ambiguity
from regauge.weights.settling import Pair, State
from regauge.weights.steps import Steps
from regauge.weights.units import Unit

# last words of libraries that keep outputs first (torch, Equinox) and of those that keep them last (Flax, Haiku)
OUTPUTS_FIRST = ("weight",)
OUTPUTS_LAST = ("kernel", "w")
_TO_LAST = {2: (1, 0), 3: (2, 1, 0), 4: (2, 3, 1, 0), 5: (2, 3, 4, 1, 0)}
_TO_FIRST = {2: (1, 0), 3: (2, 1, 0), 4: (3, 2, 0, 1), 5: (4, 3, 0, 1, 2)}
FEW = 0.25  # share of a family below which another layout is remarkable

Form = tuple[tuple[str, tuple[int, ...]], ...]


@dataclass
class Arranged:
    """Parts in the order of the pairs, what is open about layouts, and what is remarkable about them."""

    parts: list[Part] = field(default_factory=list)
    ambiguities: list[Ambiguity] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


@dataclass(frozen=True, eq=False)
class _Choice:
    pair: Pair
    fitting: list[Steps]  # layouts that nothing speaks against
    order: tuple[int, tuple[int, ...]] | None = None  # axis of the target and order of its chunks
    by_value: bool = False


def arrange(state: State, decided: dict[str, str]) -> Arranged:
    """The parts of all settled pairs.

    Args:
        state: what was settled.
        decided: by source name, the words of a layout that was chosen from outside.
    """
    choices = [_choice(pair, state) for pair in state.pairs]
    customs: dict[tuple[object, ...], Counter[Form]] = defaultdict(Counter)
    orders: dict[tuple[str, str], _Choice] = {}
    for choice in choices:
        if len(choice.fitting) == 1:
            customs[_family(choice.pair)][_form(choice.fitting[0])] += 1
        if choice.order:
            orders[_modules(choice.pair)] = choice
    result = Arranged()
    for choice in choices:
        steps = _settled(choice, customs, decided)
        source, target = choice.pair.source, choice.pair.target
        if steps is None:
            words = tuple(in_words(found) for found in choice.fitting)
            what = "values that differ along the axes, or an activation, would decide"
            result.ambiguities.append(Ambiguity(source.label, words, what, "layout", target=target.label))
            steps = choice.fitting[0]
        order = choice.order or (None if choice.by_value else _neighbours_order(choice.pair, steps, orders))
        result.parts += parts_of(source, target, steps, order)
        result.findings += _remarkable(choice, steps, customs)
    result.ambiguities += _assumed(choices, decided)
    return result


IN_A_ROW, BY_HEAD = "one part after the other", "all parts of one head after those of another"
SAME_GATES, OTHER_GATES = "gates in the same order", "gates in another order"


def _assumed(choices: Sequence[_Choice], decided: dict[str, str]) -> list[Ambiguity]:
    """Fused tensors of which only custom tells how parts and gates stand in them, in which libraries differ."""
    found: dict[str, str] = {}
    open_gates: dict[str, str] = {}
    unmoved = {_modules(choice.pair) for choice in choices if choice.by_value and not choice.order}
    for choice in choices:
        if choice.by_value or choice.pair.evidence == "given":
            continue
        for unit, other in ((choice.pair.source, choice.pair.target), (choice.pair.target, choice.pair.source)):
            if unit.assumed and decided.get(unit.info.name) != IN_A_ROW:
                parts = found.get(unit.info.name)
                found[unit.info.name] = f"{parts}, {other.info.name}" if parts else other.info.name
        gates = [bool({"ih", "hh"} & set(unit.name.words)) for unit in (choice.pair.source, choice.pair.target)]
        name = choice.pair.source.label
        whole = choice.pair.source.piece < 0 > choice.pair.target.piece
        if gates[0] != gates[1] and whole and not choice.order and _modules(choice.pair) not in unmoved:
            open_gates[name] = choice.pair.target.label
    what = "values of both sides, an activation, or a map given by a person would decide"
    fused = [Ambiguity(name, (IN_A_ROW, BY_HEAD), what, "layout", target=parts) for name, parts in found.items()]
    recurrent = [
        Ambiguity(name, (SAME_GATES, OTHER_GATES), what, "layout", target=target)
        for name, target in open_gates.items()
        if decided.get(name) != SAME_GATES
    ]
    return [*fused, *recurrent]


def _modules(pair: Pair) -> tuple[str, str]:
    """The modules of both sides, whose tensors have their gates in one order."""
    return pair.source.name.module, pair.target.name.module


def _choice(pair: Pair, state: State) -> _Choice:
    source, target = pair.source, pair.target
    if state.by_value(source, target):
        fitting = candidates.confirmed(source, target)
        if fitting:
            return _Choice(pair, fitting, by_value=True)
        found = candidates.reordered(source, target)
        if found:
            steps, axis, order = found
            return _Choice(pair, [steps], (axis, order), by_value=True)
    fitting = candidates.different(candidates.usual(source.shape, target.shape), source.shape)
    if len(fitting) > 1 and state.values_count and source.distinct and target.distinct:
        nearest = min(fitting, key=lambda steps: candidates.distance(source, target, steps))
        if candidates.distance(source, target, nearest) < NEAR:
            return _Choice(pair, [nearest])
    if _flippable(source, target):
        fitting += [(*steps, ("flip", _space(target))) for steps in list(fitting)]
    return _Choice(pair, fitting or list(candidates.every(source.shape, target.shape))[:1])


NEAR = 0.1  # distance of values below which a layout is recognised although they are not equal


def _flippable(source: Unit, target: Unit) -> bool:
    """Whether the kernel of a transposed convolution may be flipped: nothing but values can tell."""
    return (_transposed(source) or _transposed(target)) and len(source.shape) == len(target.shape) >= 3


def _transposed(unit: Unit) -> bool:
    return "convtranspose" in unit.name.words or "ConvTranspose" in unit.info.module_type


def _space(unit: Unit) -> tuple[int, ...]:
    last = unit.name.leaf in OUTPUTS_LAST
    return tuple(range(len(unit.shape) - 2)) if last else tuple(range(2, len(unit.shape)))


def _family(pair: Pair) -> tuple[object, ...]:
    source, target = pair.source, pair.target
    table = "embed" in source.name.words or "embedding" in (source.name.leaf, target.name.leaf)
    transposed = _transposed(source) or _transposed(target)
    return source.name.leaf, target.name.leaf, len(source.shape), len(target.shape), transposed, table


def _form(steps: Steps) -> Form:
    """The layout without its sizes, so that layers of different sizes can be compared."""
    return tuple((kind, () if kind == "reshape" else sizes) for kind, sizes in steps)


def _settled(
    choice: _Choice, customs: dict[tuple[object, ...], Counter[Form]], decided: dict[str, str]
) -> Steps | None:
    if len(choice.fitting) == 1:
        return choice.fitting[0]
    for steps in choice.fitting:
        if decided.get(choice.pair.source.label) == in_words(steps):
            return steps
    custom = customs.get(_family(choice.pair), Counter())
    usual = [steps for steps in choice.fitting if len(custom) == 1 and _form(steps) in custom]
    return usual[0] if len(usual) == 1 else _by_custom(choice)


def _by_custom(choice: _Choice) -> Steps | None:
    """What the last words of both names mean in the libraries that use them."""
    source, target = choice.pair.source, choice.pair.target
    leaves = (source.name.leaf, target.name.leaf)
    if _family(choice.pair)[-1] and () in choice.fitting:
        return ()
    if leaves[0] in OUTPUTS_FIRST and leaves[1] in OUTPUTS_LAST:
        axes = _TO_LAST
    elif leaves[0] in OUTPUTS_LAST and leaves[1] in OUTPUTS_FIRST:
        axes = _TO_FIRST
    else:
        return None
    if len(source.shape) != len(target.shape):
        turned = [steps for steps in choice.fitting if any(kind == "permute" for kind, _ in steps)]
        return turned[0] if len(turned) == 1 else None
    wanted: Steps = (("permute", axes.get(len(source.shape), ())),)
    return wanted if wanted in choice.fitting and not _flippable(source, target) else None


def _neighbours_order(
    pair: Pair, steps: Steps, orders: dict[tuple[str, str], _Choice]
) -> tuple[int, tuple[int, ...]] | None:
    """The order of chunks of a bias that has no telling values, from the weight beside it."""
    found = orders.get(_modules(pair))
    if found is None or found.order is None or len(pair.target.shape) != 1 or steps:
        return None
    axis, order = found.order
    return (0, order) if found.pair.target.shape[axis] == pair.target.shape[0] else None


def parts_of(source: Unit, target: Unit, steps: Steps, order: tuple[int, tuple[int, ...]] | None) -> list[Part]:
    """The parts that put one unit in the place of another."""
    if order is None:
        return [_part(source, target, steps, n) for n in range(len(source.tensors))]
    axis, chunks = order
    mine = axis
    for kind, sizes in reversed(steps):
        mine = sizes[mine] if kind == "permute" else mine
    length = target.shape[axis] // len(chunks)
    return [
        _part(_chunk(source, mine, taken, length), _chunk(target, axis, place, length), steps, n)
        for place, taken in enumerate(chunks)
        for n in range(len(source.tensors))
    ]


def _chunk(unit: Unit, axis: int, n: int, length: int) -> Unit:
    shape = (*unit.shape[:axis], length, *unit.shape[axis + 1 :])
    return replace(unit, shape=shape, box=narrowed(unit, axis, n * length, (n + 1) * length))


def _part(source: Unit, target: Unit, steps: Steps, tensor: int) -> Part:
    layout: Steps = (("reshape", source.shape), *steps, ("reshape", target.box_shape))
    return Part(
        source.tensors[tensor].name,
        target.info.name,
        moves.simplified(layout, source.box_shape),
        source.view,
        source.box,
        target.view,
        target.box,
        merged=len(source.tensors) > 1,
    )


def in_words(steps: Steps) -> str:
    """The layout for a person to choose."""
    return ", then ".join(f"{kind} {list(sizes)}" for kind, sizes in steps) or "as it is"


def _remarkable(choice: _Choice, steps: Steps, customs: dict[tuple[object, ...], Counter[Form]]) -> Sequence[Finding]:
    custom = customs.get(_family(choice.pair), Counter())
    share = custom[_form(steps)] / max(custom.total(), 1)
    source, target = choice.pair.source, choice.pair.target
    usual = custom.most_common(1)[0][0] if custom else ()
    fitting = candidates.usual(source.shape, target.shape)
    if not choice.by_value or share > FEW or not any(_form(other) == usual for other in fitting):
        return ()
    text = (
        f"{target.label} holds {source.label} in another layout than its like: {in_words(steps)}, not {in_words(usual)}"
    )
    return (Finding("W151", "warning", target.label, text),)
