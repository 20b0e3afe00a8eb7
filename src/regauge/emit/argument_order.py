"""One order of arguments for a module in two modes.

A call's inputs stand in the order in which its code first reads them, and training may read them in another order than
evaluation: a mask that it draws first, say. Which input of one capture is which of the other, the place says where it
was made: the same argument, the same weight, or the same operator on the same line of the same call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator
from typing import TYPE_CHECKING

from regauge.emit.scopes import Scope
from regauge.ir.graph import Graph

if TYPE_CHECKING:
    from regauge.emit.members import Structure


def give_one_order(training: Structure, evaluation: Structure) -> None:
    """Put the inputs of the calls in evaluation into training's order, and note in `evaluation` which calls have it.

    A module for one of whose calls this cannot be said keeps its orders.
    """
    ours, theirs = _makers(training.graph), _makers(evaluation.graph)
    orders: dict[Scope, list[str] | None] = {}
    for call, counterpart in _pairs(training.root, evaluation.root):
        made = {theirs.get(value): value for value in counterpart.inputs}
        orders[counterpart] = _ordered([ours.get(value) for value in call.inputs], made)
    unknown = {call.path for call, order in orders.items() if order is None}
    for call, order in orders.items():
        if order is not None and call.path not in unknown:
            call.inputs = order
            evaluation.alike.add(call)


def _ordered(wanted: list[Hashable], made: dict[Hashable, str]) -> list[str] | None:
    """The values by the places where they are to have been made; None where more than one was made elsewhere."""
    new = [value for place, value in made.items() if place not in wanted]
    lacking = [place for place in wanted if place not in made]
    if len(wanted) != len(made) or len(new) > 1 or len(lacking) != len(new):
        return None
    return [made[place] if place in made else new[0] for place in wanted]


def _pairs(ours: Scope, theirs: Scope) -> Iterator[tuple[Scope, Scope]]:
    """The calls below two calls that both modes make, the outer ones first."""
    calls = {call.step.call: call for call in theirs.calls()}
    for call in ours.calls():
        if call.step.call in calls:
            yield call, calls[call.step.call]
            yield from _pairs(call, calls[call.step.call])


def _makers(graph: Graph) -> dict[str, Hashable]:
    """Where each value of a graph was made."""
    found: dict[str, Hashable] = {value.name: ("input", value.name) for value in graph.inputs}
    found |= {weight.value: ("weight", weight.name) for weight in graph.weights if weight.value}
    seen: Counter[Hashable] = Counter()
    for node in graph.nodes:
        calls = tuple(step.call for step in node.origin.modules)
        place = (node.op, calls, tuple((frame.file, frame.line) for frame in node.origin.frames))
        seen[place] += 1
        found |= {value.name: (*place, seen[place], index) for index, value in enumerate(node.outputs)}
    return found
