"""The loops of the person's own source: which lines run again and again, and what their variables are called."""

from __future__ import annotations

import ast
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from functools import cache

from regauge.emit.origins import parsed
from regauge.ir.graph import Frame

_COMPREHENSIONS = (ast.ListComp, ast.GeneratorExp, ast.SetComp)
_CALLERS = frozenset({"map", "reduce", "starmap", "accumulate"})  # of a function and what it goes through


@dataclass(frozen=True)
class OriginalLoop:
    """What a loop of the original calls what it goes through.

    Attributes:
        counter: the variable of `range` or `enumerate`, '' without.
        variables: by the text of what the loop goes through, the name of an item of it; several where it unpacks it.
        lists: the lists that its steps append to.
        length: how many lines its step has.
    """

    counter: str = ""
    variables: dict[str, tuple[str, ...]] = field(default_factory=dict)
    lists: tuple[str, ...] = ()
    length: int = 0

    def item(self, text: str, alone: bool) -> tuple[str, ...]:
        """The names of an item of a list; `alone` says that the loop goes through nothing else."""
        if alone and text not in self.variables and len(self.variables) == 1:
            ((whole, names),) = self.variables.items()
            return names if text in whole or not text.startswith("self.") else ()
        return self.variables.get(text, ())


def loop_at(frames: Iterable[Frame]) -> OriginalLoop | None:
    """The innermost loop around the lines that an operator ran at, outermost line first; None outside of any."""
    for frame in reversed([*frames]):
        around = [(end - start, loop) for start, end, loop in _loops(frame.file) if start <= frame.line <= end]
        if around:
            return min(around, key=lambda pair: pair[0])[1]
    return None


@cache
def _loops(file: str) -> tuple[tuple[int, int, OriginalLoop], ...]:
    tree = parsed(file)
    found = list(_found(tree)) if tree is not None else []
    return tuple((begin, end, replace(loop, length=end - begin + 1)) for begin, end, loop in found)


def _found(tree: ast.Module) -> Iterator[tuple[int, int, OriginalLoop]]:
    for node in ast.walk(tree):
        if isinstance(node, ast.For):
            loop = _named(node.target, node.iter, _appended(node))
            yield node.lineno, node.body[-1].end_lineno or node.lineno, loop
        elif isinstance(node, ast.While):
            yield node.lineno, node.body[-1].end_lineno or node.lineno, OriginalLoop(lists=_appended(node))
        elif isinstance(node, _COMPREHENSIONS):
            first = node.generators[0]
            yield node.lineno, node.end_lineno or node.lineno, _named(first.target, first.iter)
        elif isinstance(node, ast.Call) and _called(node) in _CALLERS:
            yield node.lineno, node.end_lineno or node.lineno, OriginalLoop()


def _called(node: ast.Call) -> str:
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _appended(loop: ast.For | ast.While) -> tuple[str, ...]:
    calls = [node for statement in loop.body for node in ast.walk(statement) if isinstance(node, ast.Call)]
    owners = [call.func.value for call in calls if isinstance(call.func, ast.Attribute) and call.func.attr == "append"]
    return tuple(dict.fromkeys(owner.id for owner in owners if isinstance(owner, ast.Name)))


def _named(target: ast.expr, iterable: ast.expr, lists: tuple[str, ...] = ()) -> OriginalLoop:
    """What the variables of a loop stand for: `for i, (a, b) in enumerate(zip(x, y))`."""
    function = _called(iterable) if isinstance(iterable, ast.Call) else ""
    arguments = iterable.args if isinstance(iterable, ast.Call) else []
    parts = target.elts if isinstance(target, ast.Tuple) else []
    if function == "reversed" and arguments:
        return _named(target, arguments[0], lists)
    if function == "range":
        return OriginalLoop(target.id if isinstance(target, ast.Name) else "", {}, lists)
    if function == "enumerate" and len(parts) == 2 and arguments:
        inner = _named(parts[1], arguments[0], lists)
        return OriginalLoop(parts[0].id if isinstance(parts[0], ast.Name) else "", inner.variables, lists)
    if function == "zip" and len(parts) == len(arguments):
        pairs = list(zip(parts, arguments, strict=True))
        counters = [_named(part, argument).counter for part, argument in pairs]
        named = {ast.unparse(argument): _names(part) for part, argument in pairs}
        return OriginalLoop(
            next(filter(None, counters), ""), {text: names for text, names in named.items() if names}, lists
        )
    names = _names(target)
    return OriginalLoop("", {ast.unparse(iterable): names} if names else {}, lists)


def _names(target: ast.expr) -> tuple[str, ...]:
    parts = target.elts if isinstance(target, ast.Tuple) else [target]
    names = tuple(part.id for part in parts if isinstance(part, ast.Name))
    return names if len(names) == len(parts) else ()
