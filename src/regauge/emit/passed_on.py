"""Values that a call was passed and returns again: it gives them where another call of its type made and returned them.

The first block of a T5 makes the position bias of all, returns it, and the others return what they were passed. What a
block is passed its caller has already, so that the others would return one value less, and be another class.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from typing import TYPE_CHECKING

from regauge.emit.scopes import Scope

if TYPE_CHECKING:
    from regauge.emit.holders import Kind


def return_what_was_passed(root: Scope, kinds: Mapping[Scope, Kind], scanned: Collection[Scope]) -> None:
    """Add to the outputs of calls the inputs that they return, where another call of the type made and returned them.

    Args:
        root: the tree of calls.
        kinds: what each module is.
        scanned: calls that are one step of a scan, which carries one value.
    """
    calls = [s for s in root.scopes() if kinds.get(s) == "class" and s.body is None and s.outputs and s not in scanned]
    made = {(call.step.type, value) for call in calls for value in call.given if value in call.outputs}
    places: dict[str, set[frozenset[int]]] = {}
    for call in calls:
        again = {*call.inputs} & {*(call.passed or {}).values()}
        found = {n for n, value in enumerate(call.given) if value in again and (call.step.type, value) in made}
        places.setdefault(call.path, set()).add(frozenset(found))
    for call in calls:
        if len(places[call.path]) == 1:  # else one class cannot serve all calls of the module
            (alike,) = places[call.path]
            wanted = {*call.outputs, *(call.given[n] for n in alike)}
            call.outputs = list(dict.fromkeys(value for value in (*call.given, *call.outputs) if value in wanted))
