"""Classes that are equal but for parts that one of them has and the other has not: one class with optional parts.

A residual block with and one without a projection are two classes after emission, since the branch of the original
was decided when it was captured. Here the block with fewer statements is the one with more of them whose optional
sub-module is None:

    self.shortcut = nnx.Conv(...) if shortcut else None
    return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))

What is optional is, in this order of preference: sub-modules that one class has more than the other, arguments that
one is called with and the other is not, or operators. Where the original's own code chose by an attribute of its module
(`if self.shift_size > 0`), the constructor takes that, and both ways may have parts of their own; else it takes a flag
with the operator's name. Only whole statements and expressions around a value are optional, so that nothing is computed
that was not before.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property

from regauge.emit.conditions import Condition, attributes, conditions, with_names_of_passed
from regauge.emit.files import EmittedClass
from regauge.emit.joined_bodies import Joining
from regauge.emit.meeting import Meeting
from regauge.emit.parameters import absent, joined_parameters, plain
from regauge.emit.templates import Column, Statement, Template, column, column_values

# With more of them in one body, separate classes are easier to read; a flag is named after one operator.
_MOST_CONDITIONS = 3
_MOST_BY_SETTING = 5  # where the original has them itself


def same_but_for_defaults(
    first: Template, second: Template, classes: Mapping[str, EmittedClass] | None = None
) -> Template | None:
    """One template of two whose layers leave different options at their defaults; None if more differs.

    Args:
        first, second: the templates.
        classes: those that they may hold, by name.
    """
    merging = _Merging(first, second, None, classes or {})
    init = merging.constructor()
    body = merging.body(init) if init is not None and first.parameters == second.parameters else None
    if init is None or body is None or merging.conditions(body):
        return None
    return Template([*first.members, *second.members], init, body, first.parameters)


def with_optional_parts(
    first: Template, second: Template, classes: Mapping[str, EmittedClass] | None = None
) -> Template | None:
    """One template of two, of which one has parts more than the other; None if none reads well.

    Args:
        first, second: the templates.
        classes: those that they may hold, by name.
    """
    held = [set(attributes(template)) for template in (first, second)]
    parameters = joined_parameters(first.parameters, second.parameters)
    if parameters is None or second.conditions:
        return None
    passed = absent(parameters) & (plain(first.parameters) ^ plain(second.parameters))
    found: list[tuple[int, int, bool, Template]] = []
    for small, large, more in ((first, second, held[1] - held[0]), (second, first, held[0] - held[1])):
        if not attributes(small).keys() <= attributes(large).keys():
            continue
        for condition in conditions(small, large, more):
            if first.conditions and not condition.settings and not condition.is_made:
                continue  # further conditions are easy to read only where the original has them
            joined = _Merging(small, large, condition, classes or {}, passed).joined(parameters)
            if joined is not None:
                found.append((joined.conditions, joined.length, condition.is_without, joined))
                break
    return min(found, key=lambda item: item[:3])[-1] if found else None


@dataclass
class _Merging:
    """Writes two templates as one: `small`, which lacks the parts, and `large`, which has them."""

    small: Template
    large: Template
    condition: Condition | None
    classes: Mapping[str, EmittedClass] = field(default_factory=dict)
    absent: frozenset[str] = frozenset()  # parameters of one alone, which are None for the other

    def joined(self, parameters: list[str]) -> Template | None:
        init = self.constructor()
        body = self.body(init) if init is not None else None
        if init is None or body is None:
            return None
        conditions = self.conditions(body)
        by_setting = self.condition is not None and bool(self.condition.settings)
        by_operator = self.condition is not None and self.condition.is_flag and not by_setting
        most = 1 if by_operator else _MOST_BY_SETTING if by_setting else _MOST_CONDITIONS
        passes_on = self.condition is not None and self.condition.is_made  # `self.part(x, mask=mask)` needs none
        if not (0 if passes_on else 1) <= conditions <= most:
            return None
        equal = self.small.equal if self.large.equal else {}
        members = [*self.small.members, *self.large.members]
        return Template(members, init, body, parameters, conditions, by_setting, passes_on, equal)

    def conditions(self, body: Sequence[Statement]) -> int:
        """How often a body asks."""
        return sum(hasattr(node, "optional") for statement in body for node in ast.walk(statement.tree))

    def body(self, init: Sequence[Statement]) -> list[Statement] | None:
        """The statements of the joined call, given those of the constructor."""
        count = len(self.small.members)
        found = [constant for statement in init for constant in column_values(statement.tree)]
        pairs = {(ours, theirs) for c in found for ours in c.texts[:count] for theirs in c.texts[count:]}
        large = self.large
        if self.condition is not None and self.condition.is_made:
            large = replace(large, body=with_names_of_passed(self.small, large))
        return Joining(self.small, large, self.condition, self.meeting, pairs, self.absent).body()

    @cached_property
    def meeting(self) -> Meeting:
        left_out = {name: absent(made.arguments) for name, made in self.classes.items()}
        bases = {name: made.base for name, made in self.classes.items() if made.base}
        return Meeting(len(self.small.members), len(self.large.members), dict(self._called()), left_out, bases)

    def _called(self) -> Iterator[tuple[str, Sequence[str]]]:
        """The parameters of the sub-modules that are of the file's classes, by how they are called: `layer[0]`."""
        for attribute, made in attributes(self.large).items():
            match made:
                case ast.Call(args=[ast.List(elts=parts)]):
                    for number, part in enumerate(parts):
                        yield from self._parameters(f"{attribute}[{number}]", part)
                case _:
                    yield from self._parameters(attribute, made)

    def _parameters(self, attribute: str, made: ast.expr) -> Iterator[tuple[str, Sequence[str]]]:
        called = self.classes.get(ast.unparse(made.func)) if isinstance(made, ast.Call) else None
        if called is not None:
            yield attribute, called.body.parameters

    # constructors --------------------------------------------------------------------------------------------

    def constructor(self) -> list[Statement] | None:
        """The statements of the joined constructor; None where what both have differs."""
        ours, theirs = attributes(self.small), attributes(self.large)
        if not theirs:
            return self._alike()
        if list(ours) != [name for name in theirs if name in ours]:
            return None
        made = [self._flag()] if self.condition is not None and self.condition.is_flag else []
        for name, value in theirs.items():
            if name in ours:
                joined = self._stored_value(ours[name], value)
                if joined is None:
                    return None
            else:
                joined = self._added(name, value)
            made.append(_stored(name, joined))
        return made

    def _added(self, name: str, value: ast.expr) -> ast.expr:
        """What only the larger class stores: a part that is None without it, or the setting that all have."""
        settings = [member.settings.get(name) for member in self.small.members]
        match value:
            case ast.Constant(value=Column() as found) if None not in settings:
                return column([*map(repr, settings), *found.texts])
            case ast.IfExp(test=ast.Constant(value=Column() as found), body=part):
                flags = column([*["False"] * len(self.small.members), *found.texts])
                return ast.IfExp(flags, self.meeting.only_theirs(part), ast.Constant(None))
        return ast.IfExp(self._flags(), self.meeting.only_theirs(value), ast.Constant(None))

    def _stored_value(self, mine: ast.expr, other: ast.expr) -> ast.AST | None:
        """What both store, where one may leave it out already: `Dropout(rate) if rate is not None else None`."""
        left_out = [isinstance(value, ast.IfExp) for value in (mine, other)]
        if left_out == [True, False]:
            flags = column(["True"] * len(self.large.members))
            return self.meeting.meet(mine, ast.IfExp(flags, other, ast.Constant(None)))
        if left_out == [False, True]:
            flags = column(["True"] * len(self.small.members))
            return self.meeting.meet(ast.IfExp(flags, mine, ast.Constant(None)), other)
        return self.meeting.meet(mine, other)

    def _alike(self) -> list[Statement] | None:
        """The statements of two constructors that hold no more than a flag apart; None where they differ."""
        made = [self._flag()] if self.condition is not None and self.condition.is_flag else []
        if len(self.small.init) != len(self.large.init):
            return None
        for mine, other in zip(self.small.init, self.large.init, strict=True):
            tree = self.meeting.meet(mine.tree, other.tree)
            if not isinstance(tree, ast.stmt):
                return None
            made.append(Statement(tree, mine.notes))
        return made

    def _flag(self) -> Statement:
        if self.condition is None:
            raise ValueError("nothing is optional")
        settings = self.condition.settings
        return _stored(self.condition.attribute, column(settings) if settings else self._flags())

    def _flags(self) -> ast.Constant:
        """Whether each of the classes has the parts."""
        return column([*["False"] * len(self.small.members), *["True"] * len(self.large.members)])


def _stored(attribute: str, value: ast.AST) -> Statement:
    target = ast.Attribute(ast.Name("self", ast.Load()), attribute, ast.Store())
    return Statement(ast.Assign([target], value, lineno=0), [("", "")])  # type: ignore[arg-type]
