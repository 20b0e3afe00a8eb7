"""The names that the original gives to the values of one call: in its forward, and in the functions that this calls.

A helper function of the original disappears in emitted code. What it returned has the name under which its caller keeps
it; what else it computed has the name of its own variable.
"""

from __future__ import annotations

import re

from regauge.emit.origins import Statement, returned_parts, statement_at
from regauge.emit.scopes import Item, Scope, is_body, item_inputs, item_outputs
from regauge.emit.statements import frames_of, statement_of
from regauge.ir.graph import Frame

_PLACE = re.compile(r"(self\._*)?(?P<name>[^\W\d]\w*)(\[.*\])?")


class OriginalNames:
    """Names of the values of one call.

    Attributes:
        makers: the operator or call that makes each value.
    """

    def __init__(self, scope: Scope) -> None:
        self.scope = scope
        self.makers = {value: item for item in scope.items if not is_body(item) for value in item_outputs(item)}
        self._found: dict[Item, tuple[Frame, ...]] = {}
        self._readers: dict[str, list[Item]] = {}
        self._together: dict[tuple[Frame, ...], list[str]] = {}
        self._left_before: dict[tuple[Frame, ...], dict[str, int]] = {}

    def of(self, value: str, position: int, count: int) -> list[str]:
        """Names of a value, one of `count` that were made together, the best first.

        These are what the callers keep it under, from the outermost on, then its own variable. The last are those of
        statements that it is only a part of, from the innermost on.
        """
        frames = self._frames(self.makers[value])
        given: tuple[int, int] | None = (position, count)
        names: list[str] = []
        around: list[str] = []
        for level in reversed(range(len(frames))):
            statement = statement_at(frames[level].file, frames[level].line)
            if statement is None:
                break
            if count == 1 == len(statement.places):
                around.append(_name(statement.places[0]))
            given = self._given(given, statement, value, frames, level) if given is not None else None
            if given is None or statement.returns:
                continue
            place = statement.places[given[0]] if len(statement.places) == given[1] else ""
            names.insert(0, _name(place))
            given = self._returned(place, value, frames, level) if names[0] and level else None
        return list(dict.fromkeys(name for name in (*names, *around) if name))

    def are_of_one_statement(self, one: str, other: str) -> bool:
        """Whether two values are what the same line of the original gave each time that it ran, as in a loop."""
        makers = self.makers.get(one), self.makers.get(other)
        if makers[0] is None or makers[1] is None or makers[0] is makers[1]:
            return False
        frames = self._frames(makers[0])
        return frames == self._frames(makers[1]) and all(self._leaves(value, frames) for value in (one, other))

    def _frames(self, item: Item) -> tuple[Frame, ...]:
        """The lines of an operator, or those that lead to a call."""
        if item not in self._found:
            self._found[item] = frames_of(self.scope, item)
        return self._found[item]

    def _given(
        self, given: tuple[int, int], statement: Statement, value: str, frames: tuple[Frame, ...], level: int
    ) -> tuple[int, int] | None:
        """Which of how many values of a statement one is that an operator or a function gave; None: of none.

        Args:
            given: which of how many that the operator or the function gave.
            statement: at the level.
            value: itself.
            frames: of its operator.
            level: of the statement among the lines.
        """
        function = frames[level + 1].function if level + 1 < len(frames) else ""
        if len(statement.parts) > 1:
            place = self._part(statement, value, frames[: level + 1]) if given[1] == 1 else None
            if place is None or (function and not statement.parts[place].gives(function)):
                return None
            return place, len(statement.parts)
        if not function or any(part.gives(function) for part in statement.parts):
            return given
        return given if self._leaves(value, frames[: level + 1]) else None

    def _part(self, statement: Statement, value: str, frames: tuple[Frame, ...]) -> int | None:
        """Which part of a tuple that a statement writes out a value belongs to: parts are computed in their order."""
        computed = [place for place, part in enumerate(statement.parts) if part.is_computed]
        before = self._counted(frames)
        if not computed or before[""] % len(computed):  # several times as many in a loop
            return None
        return computed[before[value] % len(computed)]

    def _returned(self, place: str, value: str, frames: tuple[Frame, ...], level: int) -> tuple[int, int] | None:
        """Which of how many values that a function returns its variable is; None: of none."""
        returned = returned_parts(frames[level])
        if place in returned:
            return returned.index(place), len(returned)
        if not self._leaves(value, frames[:level]):
            return None
        changed = [index for index, text in enumerate(returned) if text.startswith(f"{place}.")]  # `q.to(dtype)`
        return (changed[0], len(returned)) if len(changed) == 1 else None

    def _leaves(self, value: str, frames: tuple[Frame, ...]) -> bool:
        """Whether a value is read behind a statement, or nowhere in the call."""
        if not self._readers:
            for item in self.scope.items:
                for name in item_inputs(item):
                    self._readers.setdefault(name, []).append(item)
        readers = self._readers.get(value, ())
        if not readers or value in self.scope.results():
            return True
        return any(self._frames(reader)[: len(frames)] != frames for reader in readers)

    def _counted(self, frames: tuple[Frame, ...]) -> dict[str, int]:
        """How many values that are read behind a statement it makes before each one of its values; '' is behind all."""
        if frames not in self._left_before:
            before, count = {}, 0
            for value in self._made_together(frames):
                before[value] = count
                count += self._leaves(value, frames)
            self._left_before[frames] = {**before, "": count}
        return self._left_before[frames]

    def _made_together(self, frames: tuple[Frame, ...]) -> list[str]:
        """The values that one statement makes, in order."""
        if not self._together:
            for value, item in self.makers.items():
                lines = self._frames(item)
                for depth in range(1, len(lines) + 1):
                    self._together.setdefault(lines[:depth], []).append(value)
        return self._together[frames]


def _name(place: str) -> str:
    """What a value is called that is assigned to a place: a variable, an attribute of the module, or a part of one."""
    found = _PLACE.fullmatch(place)
    return found["name"] if found else ""


def returned_as(scope: Scope, value: str) -> str:
    """The variable of the original that holds a value when the call returns, or an empty string."""
    names = OriginalNames(scope)
    while (item := names.makers.get(value)) is not None:
        outputs = item_outputs(item)
        if found := names.of(value, outputs.index(value), len(outputs)):
            return found[0]
        if isinstance(item, Scope):
            return returned_as(item, value)
        statement, inputs = statement_of(scope, item), item_inputs(item)
        if (statement is not None and statement.targets) or len(inputs) != 1:
            break
        value = inputs[0]  # `return cos.to(x.dtype), sin.to(x.dtype)`
    return ""
