"""The order of a call's arguments: that of the original's parameters, and the same one in both modes.

A call's inputs stand in the order in which its code first reads them, and training may read them in another order than
evaluation: a mask that it draws first, say. Which input of one capture is which of the other, the place says where it
was made: the same argument, the same weight, or the same operator on the same line of the same call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Hashable, Iterator, Mapping
from typing import TYPE_CHECKING

from regauge.emit.scopes import Scope, with_places
from regauge.emit.statements import declared_parameters, parameter_names
from regauge.ir.graph import Graph

if TYPE_CHECKING:
    from regauge.emit.holders import Kind
    from regauge.emit.members import Structure


def order_arguments(root: Scope, kinds: Mapping[Scope, Kind]) -> None:
    """Put the inputs of every call in the order of the original's parameters; what is none of them comes last.

    Parameters that only some calls of a module's type take (the second sequence of cross-attention) come behind those
    that more of them take, so that one class with defaults for them can serve all.
    """
    names = {scope: parameter_names(scope, {}) for scope in root.scopes()}
    taken = Counter(
        (scope.step.type, named[value])
        for scope, named in names.items()
        for value in scope.inputs
        if value in named and kinds.get(scope) == "class"
    )
    for scope, named in names.items():
        declared = {name: position for position, name in enumerate(declared_parameters(scope))}
        places = {}
        for value in scope.inputs:
            name = named.get(value, "")
            places[value] = (name not in declared, -taken[scope.step.type, name], declared.get(name, 0))
        scope.inputs = sorted(scope.inputs, key=places.__getitem__)


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
    for node, place in with_places(graph.nodes):
        found |= {value.name: (place, index) for index, value in enumerate(node.outputs)}
    return found
