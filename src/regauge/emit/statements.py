"""Which statement of the person's own source a module call's operators come from."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from regauge.emit.origins import Statement, function_at, passes_on, statement_at
from regauge.emit.scopes import Item, Scope, item_inputs
from regauge.emit.target import target
from regauge.ir.graph import FORMULA, Frame, ModuleStep, Node


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
    names = passed_names(scope)
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


def passed_names(scope: Scope) -> dict[str, str]:
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


def frame_of(scope: Scope, node: Node) -> Frame | None:
    """The line of this module's own forward, or of this function, at which the operator ran."""
    return next(iter(frames_of(scope, node)), None)


def frames_of(scope: Scope, item: Item) -> tuple[Frame, ...]:
    """The lines at which an operator ran, or at which a call was made, from the outermost on.

    The first is of this module's own forward, or of this function, the others of what it called. Those that have no
    names of their own are left out: of lambdas, comprehensions and decorators.
    """
    node = item if isinstance(item, Node) else next(item.nodes(), None)
    if node is None:
        return ()
    formula = _formula(scope, node) if scope.body is None else None
    if formula is not None:
        return (formula,)
    frames = node.origin.frames
    places = _forwards(node)
    first = scope.depth if scope.body is not None else _first(scope, node, places)
    if first is None or first >= len(frames):
        return ()
    later = (place for place in places if place is not None and place > first)
    last = next(later, None) if isinstance(item, Scope) else None
    inner = frames[first + 1 : last]
    return (frames[first], *(frame for frame in inner if not frame.function.startswith("<") and not passes_on(frame)))


def line_of(scope: Scope, item: Item) -> str:
    """``file.py:line`` at which an operator ran, or at which a call was made; an empty string if that is not known."""
    own = [frame for frame in frames_of(scope, item) if frame.function != FORMULA] if isinstance(item, Scope) else []
    node = item if isinstance(item, Node) else next(item.nodes(), None)
    return own[-1].place if own else node.origin.line if node is not None else ""


def forward_of(scope: Scope, node: Node) -> Frame | None:
    """The line of this module's own forward at which the operator ran, where the lines say which it is."""
    place = _place(scope, node, _forwards(node))
    return node.origin.frames[place] if place is not None else None


def _first(scope: Scope, node: Node, places: Sequence[int | None]) -> int | None:
    """The place of the line of this module's own forward among those at which the operator ran."""
    place = _place(scope, node, places)
    if place is not None or scope.path:
        return place
    return next((place for place in reversed(places) if place is not None), 0)


def _place(scope: Scope, node: Node, places: Sequence[int | None]) -> int | None:
    depth = _depth(scope, node)
    return places[depth] if depth is not None and depth < len(places) else None


def _depth(scope: Scope, node: Node) -> int | None:
    """Which of the person's own modules that the operator ran in the scope is a call of."""
    return next((i for i, step in enumerate(_own_modules(node)) if step.call == scope.step.call), None)


def _own_modules(node: Node) -> list[ModuleStep]:
    return [step for step in node.origin.modules if not target().is_library_type(step.type)]


def _forwards(node: Node) -> list[int | None]:
    """The places of the lines of forward, of every own module one: `super().forward(x)` is a method like others.

    None for a module that has none: a class of the person's own that calls its parts as nn.Sequential does.
    """
    frames = node.origin.frames
    places = [place for place, frame in enumerate(frames) if frame.function == target().original_method]
    own = _own_modules(node)
    if len(places) == len(own):
        return [*places]
    functions = {place: function_at(frames[place]) for place in places}
    classes = {place: function.class_name for place, function in functions.items() if function is not None}
    chosen: list[int | None] = []
    for number, step in enumerate(own):
        of_class = [place for place in places if classes.get(place) == step.type.rsplit(".", 1)[-1]]
        inherited = places if len(places) >= len(own) - number else []
        chosen.append(next(iter(of_class or inherited), None))
        if chosen[-1] is not None:
            last = chosen[-1]
            places = [place for place in places if place > last]
    return chosen


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
