"""Which statement of the person's own source a module call's operators come from."""

from __future__ import annotations

from collections.abc import Mapping

from regauge.emit.origins import Statement, function_at, statement_at
from regauge.emit.scopes import Item, Scope, item_inputs, item_outputs
from regauge.emit.target import target
from regauge.ir.graph import FORMULA, Frame, Node


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

    A value that the call was passed has the parameter's name, where the capture saw it. Any other value is named after
    what the statement that first reads it reads: a parameter of forward if possible, but never one that is known to
    have been something else, or another name of that statement. What remains takes the caller's name for it.

    Args:
        scope: the call.
        hints: the caller's names for the values.
    """
    names = _passed(scope)
    declared = _open(scope) - set(names.values())
    known = set(declared_parameters(scope)) - declared
    assigned: set[str] = set()
    for item in scope.items:
        statement = statement_of(scope, item)
        if statement is None:
            continue
        for value in item_inputs(item):
            if value not in scope.inputs or value in names:
                continue
            taken = known.union(names.values())
            free = [n for n in statement.reads if n not in taken and (n in declared or n not in assigned)]
            likely = [n for n in free if n == hints.get(value)] or [n for n in free if n in declared] or free
            if likely:
                names[value] = likely[0]
        assigned.update(statement.targets)
    return names


def _passed(scope: Scope) -> dict[str, str]:
    """The values that enter a call and were passed to it, with their parameters; of two the first."""
    names: dict[str, str] = {}
    for name, value in (scope.passed or {}).items():
        if value in scope.inputs:
            names.setdefault(value, name)
    if target().is_library_type(scope.step.type):  # `input` of torch's own modules is no name that a person gave
        return {value: name for value, name in names.items() if len(names) > 1 and name != "input"}
    return names


def _open(scope: Scope) -> set[str]:
    """The parameters of the original's forward that a value may be which was not seen being passed.

    Another value may stand for one that was: in another layout, or without a change that changes nothing.
    """
    if scope.passed is None:
        return set(declared_parameters(scope))
    return {name for name, value in scope.passed.items() if value is not None and value not in scope.inputs}


def returned_as(scope: Scope, value: str) -> str:
    """The variable of the original's forward that holds a value when the call returns, or an empty string."""
    for item in scope.items:
        if value not in item_outputs(item):
            continue
        statement = statement_of(scope, item)
        targets = statement.targets if statement is not None else ()
        outputs = item_outputs(item)
        if len(targets) == len(outputs):
            return targets[outputs.index(value)]
        if isinstance(item, Scope):
            return returned_as(item, value)
        inputs = item_inputs(item)
        if not targets and len(inputs) == 1:  # `return cos.to(x.dtype), sin.to(x.dtype)`
            return returned_as(scope, inputs[0])
    return ""


def frame_of(scope: Scope, node: Node) -> Frame | None:
    """The line of this module's own forward, or of this function, at which the operator ran."""
    if scope.body is not None:
        return node.origin.frames[scope.depth] if len(node.origin.frames) > scope.depth else None
    formula = _formula(scope, node)
    if formula is not None:
        return formula
    forwards = [f for f in node.origin.frames if f.function in ("forward", "__call__")]
    own = [s for s in node.origin.modules if not target().is_library_type(s.type)]
    depth = next((i for i, s in enumerate(own) if s.call == scope.step.call), None)
    if depth is None or depth >= len(forwards):
        if scope.path:
            return None
        return forwards[-1] if forwards else next(iter(node.origin.frames), None)
    return forwards[depth]


def _formula(scope: Scope, node: Node) -> Frame | None:
    """The line of a layer of a library that is written out: of its own forward, or of the function that computes it."""
    functions = [(frame, function_at(frame)) for frame in node.origin.frames if frame.function == FORMULA]
    if not functions:
        return None
    layer = scope.step.type.rsplit(".", 1)[-1]
    of_layer = [frame for frame, function in functions if function is not None and function.class_name == layer]
    if of_layer:
        return of_layer[-1]
    within = layer == "MultiheadAttention" or node.origin.modules[-1].call == scope.step.call
    return functions[-1][0] if within else None


def statement_of(scope: Scope, item: Item) -> Statement | None:
    """The statement of this module's own forward that an operator or call belongs to."""
    node = item if isinstance(item, Node) else next(item.nodes(), None)
    frame = frame_of(scope, node) if node is not None else None
    return statement_at(frame.file, frame.line) if frame is not None else None
