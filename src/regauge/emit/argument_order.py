"""The order of a call's arguments: that of the original's parameters, and the same one in both modes.

A call's inputs stand in the order in which its code first reads them, and training may read them in another order than
evaluation: a mask that it draws first, say. Which input of one capture is which of the other, the place says where it
was made: the same argument, the same weight, or the same operator on the same line of the same call.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Hashable, Iterator, Mapping, Sequence
from itertools import combinations
from typing import TYPE_CHECKING

from regauge.emit.names import identifier
from regauge.emit.scopes import Scope, with_places
from regauge.emit.statements import declared_parameters, parameter_names, passed_names
from regauge.ir.graph import Graph

if TYPE_CHECKING:
    from regauge.emit.holders import Kind
    from regauge.emit.members import Structure


def order_arguments(root: Scope, kinds: Mapping[Scope, Kind], sizes: Collection[str]) -> None:
    """Put the inputs of every call in the order of the original's parameters; what is none of them comes last.

    Parameters that only some calls of a module's type take (the second sequence of cross-attention) come behind those
    that more of them take, so that one class with defaults for them can serve all. Where one call takes them all, and
    no order has those of every other one at its beginning, they are passed by keyword, as the original would.

    Args:
        root: the tree of calls.
        kinds: what each module is.
        sizes: names that no parameter has.
    """
    names = {scope: parameter_names(scope, {}) for scope in root.scopes()}
    taken = Counter(
        (scope.step.type, named[value])
        for scope, named in names.items()
        for value in scope.inputs
        if value in named and kinds.get(scope) == "class"
    )
    calls: dict[str, list[Scope]] = {}
    for scope in names:
        if kinds.get(scope) == "class":
            calls.setdefault(scope.step.type, []).append(scope)
    for alike in calls.values():
        _pass_by_keyword(alike, sizes)
    for scope, named in names.items():
        declared = {name: position for position, name in enumerate(declared_parameters(scope))}
        places = {}
        for value in scope.inputs:
            name, by_keyword = named.get(value, ""), value in scope.keywords
            count = 0 if scope.keywords else -taken[scope.step.type, name]
            places[value] = (by_keyword, name not in declared, count, declared.get(name, 0))
        scope.inputs = sorted(scope.inputs, key=places.__getitem__)


def _pass_by_keyword(calls: Sequence[Scope], sizes: Collection[str]) -> None:
    """Note in calls of one type which of their inputs are passed by keyword: none where positions serve."""
    named = [passed_names(call) for call in calls]
    given = [frozenset(found.values()) for found in named]
    common = frozenset.intersection(*given)
    further = {names - common for names in given}
    unlike = [a | b for a, b in combinations(further, 2) if not (a <= b or b <= a)]
    if not any(both <= names for both in unlike for names in further):
        return  # or calls of which none takes what two others do
    if any(identifier(name) != name or name in sizes for names in further for name in names):
        return
    for call, found in zip(calls, named, strict=True):
        call.keywords = {value: name for value, name in found.items() if name not in common}


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
    for trained, call in list(_pairs(training.root, evaluation.root)):
        order = orders[call]
        if order is not None and call.path not in unknown:
            call.inputs = order
            pairs = zip(trained.inputs, order, strict=True)
            call.keywords = {v: trained.keywords[value] for value, v in pairs if value in trained.keywords}
            evaluation.alike.add(call)
        else:
            trained.keywords = call.keywords = {}


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
