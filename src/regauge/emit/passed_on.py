"""Values that a call was passed and returns again: it gives them where other calls of its type give what they made.

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
    """Add to the outputs of calls the inputs that they return, where another call of the type makes that result.

    Args:
        root: the tree of calls.
        kinds: what each module is.
        scanned: calls that are one step of a scan, which carries one value.
    """
    calls = [s for s in root.scopes() if kinds.get(s) == "class" and s.body is None and s.outputs and s not in scanned]
    made = {_place(call, n) for call in calls for n, value in enumerate(call.given) if value in call.outputs}
    passed: dict[str, set[frozenset[int]]] = {}
    for call in calls:
        places = [n for n, value in enumerate(call.given) if value in (call.passed or {}).values()]
        found = frozenset(n for n in places if call.given[n] in call.inputs and _place(call, n) in made)
        passed.setdefault(call.path, set()).add(found)
    for call in calls:
        if len(passed[call.path]) > 1:
            continue  # one class cannot serve both calls
        (again,) = passed[call.path]
        wanted = {*call.outputs, *(call.given[n] for n in again)}
        call.outputs = list(dict.fromkeys([v for v in (*call.given, *call.outputs) if v in wanted]))


def _place(call: Scope, position: int) -> tuple[str, int, int]:
    return call.step.type, len(call.given), position
