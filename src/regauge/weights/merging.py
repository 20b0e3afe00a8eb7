"""Sums of two tensors: torch's recurrent layers have two biases where the JAX libraries have one.

torch.nn.LSTM adds `bias_ih` and `bias_hh`; torch.nn.GRU does so for its reset and update gates, and keeps both for the
new gate (https://docs.pytorch.org/docs/stable/generated/torch.nn.GRU.html). Only these are ever added.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from regauge.weights import synonyms
from regauge.weights.expansion import cut
from regauge.weights.settling import State
from regauge.weights.units import Unit, same_elements


def merge(state: State) -> bool:
    """Replace pairs of biases by their sums where the converted model has but one; whether there were any."""
    changed = False
    for inputs, hidden in list(_pairs(state.sources)):
        found = _found(inputs, hidden, state)
        if found:
            state.sources.remove(hidden)
            state.replace("source", inputs, found)
            changed = True
    return changed


def _pairs(units: list[Unit]) -> Iterator[tuple[Unit, Unit]]:
    biases = {unit.info.name: unit for unit in units if unit.name.kind == "bias" and unit.piece < 0}
    for name, unit in biases.items():
        other = biases.get(name.replace("bias_ih", "bias_hh"))
        if "bias_ih" in name and other is not None and other.shape == unit.shape and len(unit.shape) == 1:
            yield unit, other


def _found(inputs: Unit, hidden: Unit, state: State) -> list[Unit] | None:
    whole = replace(inputs, tensors=(inputs.info, hidden.info))
    ways = [[whole]]
    for count, gates in synonyms.GATES.items():
        length, rest = divmod(whole.shape[0], count)
        if rest:
            continue
        sums = cut(whole, 0, [length] * count, ["h" + gate for gate in gates])
        if count == 3:  # the last gate of a GRU multiplies one of its two biases by the reset gate
            sums = cut(whole, 0, [length] * count, ["i" + gate for gate in gates])
            last = cut(inputs, 0, [length] * count, ["in"] * count)[-1]
            sums = [*sums[:-1], last, cut(hidden, 0, [length] * count, ["hn"] * count)[-1]]
        ways.append(sums)
    return next((way for way in ways if _fits(way, inputs, hidden, state)), None)


def _fits(way: list[Unit], inputs: Unit, hidden: Unit, state: State) -> bool:
    """Whether the other side has each piece, by value where values can tell, and lacks the two themselves."""
    biases = [unit for unit in state.targets if unit.name.kind == "bias" or not unit.name.kind]
    if any(unit.distinct for unit in (inputs, hidden)) and state.values_count:
        alone = any(same_elements(unit, other) for unit in (inputs, hidden) if unit.distinct for other in biases)
        return not alone and all(any(same_elements(piece, other) for other in biases) for piece in way)
    if len(way) == 1:
        return 0 < sum(unit.size == inputs.size for unit in biases) < _alike(inputs, state)
    named = [set(other.name.words) for other in biases if other.size == way[0].size]
    return all(any(set(piece.name.words) & words & _GATE_WORDS for words in named)
               for piece in way)  # fmt: skip


_GATE_WORDS = {side + gate for gates in synonyms.GATES.values() for gate in gates for side in "ih"}


def _alike(unit: Unit, state: State) -> int:
    """How many biases of recurrent layers with this size are left in the original."""
    return sum(
        other.size == unit.size and other.name.kind == "bias" and {"ih", "hh"} & set(other.name.words) != set()
        for other in state.sources
    )
