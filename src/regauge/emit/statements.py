"""Which statement of the person's own source a module call's operators come from."""

from __future__ import annotations

from collections.abc import Mapping

from regauge.emit.origins import Statement, function_at, statement_at
from regauge.emit.scopes import Item, Scope, item_inputs
from regauge.emit.target import target
from regauge.ir.graph import Frame, Node


def declared_parameters(scope: Scope) -> tuple[str, ...]:
    """Names of the parameters of the original's forward."""
    for node in scope.nodes():
        frame = frame_of(scope, node)
        if frame is not None:
            function = function_at(frame)
            return function.parameters if function and function.class_name else ()
    return ()


def parameter_names(scope: Scope, hints: Mapping[str, str]) -> dict[str, str]:
    """Names for the values that enter a call, as the original's forward names them.

    A value is named after what the statement that first reads it reads: a parameter of forward if possible, else
    another name of that statement. What remains takes the caller's name for it.

    Args:
        scope: the call.
        hints: the caller's names for the values.
    """
    declared = set(declared_parameters(scope))
    names: dict[str, str] = {}
    assigned: set[str] = set()
    for item in scope.items:
        statement = statement_of(scope, item)
        if statement is None:
            continue
        for value in item_inputs(item):
            if value not in scope.inputs or value in names:
                continue
            free = [n for n in statement.reads if n not in names.values() and (n in declared or n not in assigned)]
            likely = [n for n in free if n == hints.get(value)] or [n for n in free if n in declared] or free
            if likely:
                names[value] = likely[0]
        assigned.update(statement.targets)
    return names


def frame_of(scope: Scope, node: Node) -> Frame | None:
    """The line of this module's own forward, or of this function, at which the operator ran."""
    if scope.body is not None:
        return node.origin.frames[scope.depth] if len(node.origin.frames) > scope.depth else None
    forwards = [f for f in node.origin.frames if f.function in ("forward", "__call__")]
    own = [s for s in node.origin.modules if not target().is_library_type(s.type)]
    depth = next((i for i, s in enumerate(own) if s.call == scope.step.call), None)
    if depth is None or depth >= len(forwards):
        if scope.path:
            return None
        return forwards[-1] if forwards else next(iter(node.origin.frames), None)
    return forwards[depth]


def statement_of(scope: Scope, item: Item) -> Statement | None:
    """The statement of this module's own forward that an operator or call belongs to."""
    node = item if isinstance(item, Node) else next(item.nodes(), None)
    frame = frame_of(scope, node) if node is not None else None
    return statement_at(frame.file, frame.line) if frame is not None else None
