"""What stands around the place of a difference: the calls at which causes are tried, and the other side's numbers."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

from regauge.verify.alignment import Alignment, TracedSide
from regauge.verify.causes import Call, Situation

_MOST_NEAR = 14  # calls of the region
_MOST_BEFORE = 12  # calls of each kind that lead to it
_MOST_FINE = 24  # operations of a jaxpr that lead to it
_MOST_VALUES = 100  # of the other side, whose numbers are read

# what moves elements and changes none: both sides have its result, in the same order or in another one
_LAYOUT = frozenset(
    {
        "view", "reshape", "flatten", "unflatten", "ravel", "transpose", "permute", "swapaxes", "swapdims", "movedim",
        "moveaxis", "contiguous", "chunk", "split", "tensor_split", "unbind", "narrow", "select", "__getitem__",
        "squeeze", "unsqueeze", "expand", "expand_as", "repeat", "tile", "repeat_interleave", "flip", "roll", "cat",
        "stack", "pad", "clone", "to", "t", "adjoint",
    }
)  # fmt: skip
# operations of a jaxpr that do so and are no calls
_SPREADING = frozenset({"broadcast_in_dim", "convert_element_type", "squeeze", "expand_dims", "copy"})


@dataclass(frozen=True)
class Surroundings:
    """One place on the side that trials are run on, and the other side's.

    Attributes:
        alignment: of both traces.
        role: of the side that trials are run on.
        regions: of each side the values that differ, as `Alignment.region` has them.
        firsts: where they begin.
    """

    alignment: Alignment
    role: int
    regions: Sequence[Sequence[int]]
    firsts: Sequence[int | None]

    def situation(self, kinds: frozenset[str], near: Sequence[int] | None = None) -> Situation:
        """What causes may look at.

        Args:
            kinds: that differ.
            near: calls at which causes are tried, nearest first; those around the place by default.
        """
        side = self._side
        calls = calls_of(side)
        weights: dict[str, tuple[int, ...]] = {}
        for call in calls:
            for value in call.arguments.values():
                for item in value if isinstance(value, list) else [value]:
                    if isinstance(item, dict) and item.get("weight"):
                        weights[item["weight"]] = tuple(item["shape"])
        loss = side.results.get("loss")
        return Situation(
            calls,
            self.near() if near is None else near,
            self.constants(),
            weights,
            kinds,
            side.nodes[loss]["call"] if loss is not None else -1,
        )

    @property
    def _side(self) -> TracedSide:
        return self.alignment.sides[self.role]

    def near(self) -> list[int]:
        """Numbers of the calls at which causes are tried, nearest first.

        The call of the place; those that only move elements on the way to it, since another order shows at the first
        operation that mixes; those that differ and are made of no input, such as a table of angles, which differ where
        they are used; those that made what it is given; and those that differ behind it.
        """
        side, start = self._side, self.firsts[self.role]
        ordered = self._from_start(self.role)
        own = _calls(side, ordered)[: 2 * _MOST_NEAR if side.is_fine else _MOST_NEAR]
        if start is None or not own:
            return own
        inside = set(self.regions[self.role])
        layout, makers = self._leading(start)
        constant = _calls(side, _ancestors(side, [start], lambda node: node in inside))
        # one call of torch is several operations of a jaxpr
        before = _calls(side, _ancestors(side, [start], lambda node: True))[:_MOST_FINE] if side.is_fine else []
        return list(dict.fromkeys([own[0], *layout, *constant[:_MOST_BEFORE], *makers, *own[1:], *before]))

    def _from_start(self, role: int) -> list[int]:
        """The values that differ on a side: from the place on, then those before it."""
        start, region = self.firsts[role], self.regions[role]
        return [n for n in region if start is None or n >= start] + [n for n in region if start and n < start]

    def _leading(self, start: int) -> tuple[list[int], list[int]]:
        """Calls that only move elements on the way to a value, and the calls that made what they move."""
        side = self._side
        own = side.nodes[start]["call"]

        def moves(node: int) -> bool:
            number = side.nodes[node]["call"]
            if number < 0:
                return side.nodes[node]["op"] in _SPREADING
            return number == own or side.calls[number]["function"] in _LAYOUT or _is_unchanged(side, node)

        # all that its call computes, which moves what it is given too
        begins = [n for n in self.regions[self.role] if side.nodes[n]["call"] == own] if own >= 0 else [start]
        passed = list(_ancestors(side, begins, moves))
        ends = [origin for node in [*begins, *passed] for origin in side.nodes[node]["from"]]
        made = [n for n in ends if not moves(n) and side.depends_on_input[n]]
        layout = [number for number in _calls(side, passed) if number != own]
        return layout[:_MOST_BEFORE], _calls(side, made)[:_MOST_BEFORE]

    def constants(self) -> list[float]:
        """Numbers in the other side's formula, nearest to the place first."""
        role = 1 - self.role
        side, start = self.alignment.sides[role], self.firsts[role]
        inside = set(self.regions[role])
        later = [n for n in self.regions[role] if start is None or n >= start]
        before = [] if start is None else [*_ancestors(side, [start], lambda node: node in inside)]
        found: list[float] = []
        for node in dict.fromkeys([*later[:1], *before[:_MOST_VALUES], *later[:_MOST_VALUES]]):
            # comparisons have no values that could be compared, but the number that they compare with
            for item in [node, *(n for n in side.nodes[node]["from"] if self._is_unseen(side, n))]:
                found += side.nodes[item]["constants"]
                call = side.nodes[item]["call"]
                if call >= 0:
                    told = side.calls[call]
                    values = told.get("numbers", told["arguments"].values())
                    found += [float(v) for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
        return [value for value in dict.fromkeys(found) if math.isfinite(value)]

    @staticmethod
    def _is_unseen(side: TracedSide, node: int) -> bool:
        return side.nodes[node]["print"] is None and side.nodes[node]["op"] not in ("weight", "input")


def calls_of(side: TracedSide) -> list[Call]:
    """The calls of a side, by number."""
    return [Call(n, item["function"], item["module"], item["arguments"]) for n, item in enumerate(side.calls)]


def near_gradients(calls: Sequence[Call], wrong: Iterable[str], every: Iterable[str]) -> list[int]:
    """Where only gradients differ: from the last use of a weight whose gradient does to the next whose does not.

    Args:
        calls: all of them.
        wrong: names of the weights whose gradients differ.
        every: names of all weights that have one.
    """
    differing, right = set(wrong), set(every) - set(wrong)

    def weights(call: Call) -> set[str]:
        return {call.weight(name) for name in call.arguments} - {""}

    users = [c.number for c in calls if weights(c) & differing]
    last = max(users, default=-1)
    end = min((c.number for c in calls if c.number > last and weights(c) & right), default=len(calls) - 1)
    between = list(range(max(last, 0), end + 1))
    return list(dict.fromkeys([*between, *sorted(users, reverse=True), *(c.number for c in calls)]))


def _is_unchanged(side: TracedSide, node: int) -> bool:
    """Whether a value has the elements of what it is made of, as behind dropout that is off."""
    own = side.nodes[node]["print"]
    prints = [side.nodes[origin]["print"] for origin in side.nodes[node]["from"]]
    return own is not None and any(
        found is not None and found[3:] == own[3:] and found[0] == own[0] for found in prints
    )


def _ancestors(side: TracedSide, begins: Sequence[int], passes: Callable[[int], bool]) -> Iterator[int]:
    """What values are made of through nothing but values that pass, nearest first."""
    seen, pending = set(begins), list(begins)
    while pending:
        for origin in sorted(side.nodes[pending.pop(0)]["from"], reverse=True):
            if origin not in seen and passes(origin):
                seen.add(origin)
                pending.append(origin)
                yield origin


def _calls(side: TracedSide, nodes: Iterable[int]) -> list[int]:
    """The calls of some values, each once."""
    return list(dict.fromkeys(side.nodes[n]["call"] for n in nodes if side.nodes[n]["call"] >= 0))
