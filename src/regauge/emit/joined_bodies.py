"""Two bodies as one, in which a condition says what only one of them has.

With the condition decided the joined body is each of the two bodies, statement by statement.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby

from regauge.emit.conditions import Block, Condition, names
from regauge.emit.hoisting import hoisted
from regauge.emit.meeting import Meeting
from regauge.emit.templates import ANY, Column, Statement, Template, column_values

_LONGEST_BODY = 120  # statements, because all of one are compared with all of the other
_ASKED, _UNEXPLAINED = 2, 5  # what a condition costs, and a constant that needs an argument besides it
_LONGEST_TWICE = 60  # characters of an expression that may stand in both branches of a condition


@dataclass(frozen=True)
class _Step:
    """A statement of the larger body and that of the smaller one that it is, or one that the other body has not.

    `tree` is the one for both.
    """

    mine: Statement | None
    other: Statement | None
    tree: ast.AST | None = None

    @property
    def is_apart(self) -> bool:
        return self.mine is None or self.other is None

    def statement(self) -> Statement:
        if self.mine is None or self.other is None or not isinstance(self.tree, ast.stmt):
            raise ValueError("no statement of both")
        return Statement(self.tree, _agreed(self.mine.notes, self.other.notes))

    def stored(self) -> set[str]:
        return names([s for s in (self.mine, self.other) if s is not None], ast.Store)


@dataclass
class Joining:
    """Writes the bodies of two templates as one.

    Attributes:
        small, large: the templates; `large` has the parts, and with a setting as the condition `small` may have others.
        condition: None where nothing is optional.
        meeting: how two statements become one.
        explained: pairs of constants, of the one template and of the other, that arguments of the constructor give.
        absent: parameters of one of the templates alone, which are None for the other.
    """

    small: Template
    large: Template
    condition: Condition | None
    meeting: Meeting
    explained: Collection[tuple[str, str]] = ()
    absent: Collection[str] = ()
    aliases: dict[str, set[str]] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)  # names that only the larger body gives a value

    @property
    def _both_ways(self) -> bool:
        """Whether each of the two bodies may have statements that the other has not."""
        return self.condition is not None and bool(self.condition.settings)

    def body(self) -> list[Statement] | None:
        """The statements of the joined call; None where the two cannot be told apart by the condition."""
        path = self._path(_with_names(self.small.body, self.large.body), self.large.body)
        path = path or self._path(self.small.body, self.large.body)
        if path is None:
            return None
        self.aliases = _aliases(step.tree for step in path)
        if any(not self._holds(name, values, path) for name, values in self.aliases.items()):
            return None
        left_out = self._left_out(path)
        given = {name for step in path if step.mine is None for name in step.stored()}
        if left_out is None or not left_out <= given - self.aliases.keys():
            return None
        made: list[Statement] = []
        for apart, steps in groupby(path, lambda step: step.is_apart and not self._is_alias(step)):
            if apart:
                made.append(self._apart(list(steps), left_out))
            else:
                made += [self._aliased(step) if self._is_alias(step) else step.statement() for step in steps]
        return hoisted(made, _LONGEST_TWICE) if self._both_ways else made

    def _left_out(self, path: Sequence[_Step]) -> set[str] | None:
        """The variables that one body passes on besides; None where a parameter is not what was passed any more."""
        found: set[str] = set()
        stored: set[str] = set()
        for step in path:
            passed = {ast.unparse(node) for node in _marked(step.tree, "left_out")} if step.tree is not None else set()
            if passed & stored & set(self.absent):
                return None
            found |= passed - set(self.absent)
            stored |= step.stored()
        return found

    def _path(self, ours: Sequence[Statement], theirs: Sequence[Statement]) -> list[_Step] | None:
        """Which statements are the same, and which one body alone has, with the fewest conditions."""
        self._own = names(theirs, ast.Store) - names(ours, ast.Store, ast.Load) - set(self.small.parameters)
        both_ways = self._both_ways
        alone = 2 if both_ways else 0  # what a statement costs that stands in one body alone

        @cache
        def best(i: int, j: int, inside: bool) -> tuple[int, list[_Step]] | None:
            if i == len(ours) and j == len(theirs):
                return 0, []
            options: list[tuple[int, list[_Step]]] = []
            both = i < len(ours) and j < len(theirs)
            tree = self.meeting.meet(ours[i].tree, theirs[j].tree, self._choice) if both else None
            rest = best(i + 1, j + 1, False) if tree is not None else None
            if rest is not None and tree is not None:
                options.append((self._cost(tree) + rest[0], [_Step(ours[i], theirs[j], tree), *rest[1]]))
            more = self.condition is not None and j < len(theirs) and not isinstance(theirs[j].tree, ast.Return)
            rest = best(i, j + 1, True) if more and (both_ways or len(ours) - i < len(theirs) - j) else None
            if rest is not None:
                options.append((rest[0] + alone + _ASKED * (not inside), [_Step(None, theirs[j]), *rest[1]]))
            rest = best(i + 1, j, True) if both_ways and i < len(ours) and not _returns(ours[i]) else None
            if rest is not None:
                options.append((rest[0] + alone + _ASKED * (not inside), [_Step(ours[i], None), *rest[1]]))
            return min(options, key=lambda option: option[0]) if options else None

        fits = len(ours) + len(theirs) <= _LONGEST_BODY if both_ways else len(ours) <= len(theirs) <= _LONGEST_BODY
        path = best(0, 0, False) if fits else None
        return path[1] if path is not None else None

    def _cost(self, tree: ast.AST) -> int:
        """How often a statement of both asks, and how many of its constants only the condition explains."""
        asks = _ASKED * len(_marked(tree, "optional"))
        return asks + _UNEXPLAINED * sum(map(self._is_unexplained, column_values(tree))) if self._both_ways else asks

    def _is_unexplained(self, constant: Column) -> bool:
        ours, theirs = set(constant.texts[: self.meeting.ours]), set(constant.texts[self.meeting.ours :])
        if len(ours) > 1 or len(theirs) > 1 or ours == theirs or ANY in ours | theirs:
            return False
        return (min(ours), min(theirs)) not in self.explained

    def _apart(self, steps: Sequence[_Step], left_out: set[str]) -> Statement:
        """`if self.shortcut is not None:` and the statements."""
        if self.condition is None:
            raise ValueError("nothing is optional")
        theirs = [step.other for step in steps if step.mine is None and step.other is not None]
        ours = [step.mine for step in steps if step.other is None and step.mine is not None]
        absent = sorted(names(theirs, ast.Store) & left_out)
        line = (theirs or ours)[0].notes[0][1]
        with_it = Block([self.meeting.only_theirs(s.tree) for s in theirs], [note for s in theirs for note in s.notes])
        without = Block([self.meeting.only_ours(s.tree) for s in ours], [note for s in ours for note in s.notes])
        for name in absent:
            without.trees.append(ast.Assign([ast.Name(name, ast.Store())], ast.Constant(None), lineno=0))
            without.notes.append(("", line))
        tree, notes = self.condition.statement(with_it, without)
        tree.optional = True  # type: ignore[attr-defined]
        return Statement(tree, [(comment, place or line) for comment, place in notes])

    def _is_alias(self, step: _Step) -> bool:
        return step.mine is None and bool(step.stored() & self.aliases.keys())

    def _aliased(self, step: _Step) -> Statement:
        """`residual = x if self.shortcut is None else self.shortcut(x)`, where the smaller body reads `x` itself."""
        tree = step.other.tree if step.other is not None else None
        if step.other is None or not isinstance(tree, ast.Assign) or not isinstance(tree.targets[0], ast.Name):
            raise ValueError("no name is given a value")
        (value,) = self.aliases[tree.targets[0].id]
        chosen = self._chosen(ast.Name(value, ast.Load()), tree.value)
        return Statement(ast.Assign(tree.targets, chosen, lineno=0), [("", note[1]) for note in step.other.notes])

    def _holds(self, name: str, values: set[str], path: Sequence[_Step]) -> bool:
        """Whether a name of the larger body for a value of the smaller one has that value wherever it is read."""
        places = [n for n, step in enumerate(path) if step.other is not None and name in names([step.other], ast.Store)]
        if len(values) > 1 or len(places) != 1 or path[places[0]].mine is not None:
            return False
        other = path[places[0]].other
        tree = other.tree if other is not None else None
        if not isinstance(tree, ast.Assign) or not isinstance(tree.targets[0], ast.Name):
            return False
        reads = [n for n, step in enumerate(path) if step.tree is not None and name in _aliases([step.tree])]
        between = [step.mine for step in path[places[0] + 1 : max(reads)] if step.mine is not None]
        return min(reads) > places[0] and not values & names(between, ast.Store)

    def _choice(self, mine: ast.AST, other: ast.AST) -> ast.AST | None:
        """A condition between an expression and one that has it inside, or a name that the larger body has for it."""
        if not isinstance(mine, ast.expr) or not isinstance(other, ast.expr) or self.condition is None:
            return None
        if isinstance(mine, ast.Name) and isinstance(other, ast.Name) and (same := self._equal(mine, other)):
            return same
        if self.condition.is_made:
            return None  # what is not passed is made by statements
        if isinstance(getattr(mine, "ctx", None), ast.Store | ast.Del) or isinstance(mine, ast.Constant | ast.Slice):
            return None
        text = ast.unparse(mine)
        if text == "self" or isinstance(mine, ast.Attribute):
            return None
        if isinstance(mine, ast.Name) and isinstance(other, ast.Name):
            if other.id not in self._own:
                return None
            named = ast.Name(other.id, ast.Load())
            named.alias = mine.id  # type: ignore[attr-defined]
            return named
        inside = any(ast.unparse(part) == text for part in ast.walk(other) if isinstance(part, ast.expr))
        if not inside or (len(text) > _LONGEST_TWICE and not self._both_ways):
            return None
        if isinstance(other, ast.Tuple) and self.small.parameters == self.large.parameters:
            return None
        return self._chosen(self.meeting.only_ours(mine), other)

    def _equal(self, mine: ast.Name, other: ast.Name) -> ast.Name | None:
        """The name that is right in both bodies, where in one of them both stand for the same."""
        for side, name in ((self.small, other), (self.large, mine)):
            if mine.id in side.equal and side.equal[mine.id] == side.equal.get(other.id):
                return ast.Name(name.id, name.ctx) if isinstance(name.ctx, ast.Load) else None
        return None

    def _chosen(self, without: ast.expr, with_it: ast.expr) -> ast.IfExp:
        if self.condition is None:
            raise ValueError("nothing is optional")
        made = self.condition.choice(without, self.meeting.only_theirs(with_it))
        made.optional = True  # type: ignore[attr-defined]
        return made


def _marked(tree: ast.AST, mark: str) -> list[ast.AST]:
    return [node for node in ast.walk(tree) if hasattr(node, mark)]


def _returns(statement: Statement) -> bool:
    return isinstance(statement.tree, ast.Return)


def _with_names(ours: Sequence[Statement], theirs: Sequence[Statement]) -> list[Statement]:
    """`x = f(y)` and `return x` in the place of `return f(y)`, where the other body stores `f(y)` under a name."""
    found = list(ours)
    for statement in theirs:
        tree = statement.tree
        name = tree.targets[0] if isinstance(tree, ast.Assign) and isinstance(tree.value, ast.Call) else None
        if not isinstance(tree, ast.Assign) or not isinstance(name, ast.Name):
            continue
        text, taken = ast.unparse(tree.value), names(found, ast.Store, ast.Load)
        for position, mine in enumerate(found):
            parts = [node for node in _evaluated(mine.tree) if ast.unparse(node) == text]
            if len(parts) != 1 or (name.id in taken and not isinstance(mine.tree, ast.Return)):
                continue
            stored = ast.Assign([ast.Name(name.id, ast.Store())], parts[0], lineno=0)
            rest = _Named(parts[0], name.id).visit(copy.deepcopy(mine.tree, {id(parts[0]): parts[0]}))
            if not isinstance(rest, ast.stmt):
                continue
            found[position : position + 1] = [Statement(stored, [("", mine.notes[0][1])]), Statement(rest, mine.notes)]
            break
    return found


def _evaluated(tree: ast.AST) -> Iterator[ast.expr]:
    """The calls of a simple statement that are evaluated once, whatever the others give."""
    if isinstance(tree, ast.Assign | ast.Return) and tree.value is not None:
        pending: list[ast.AST] = [tree.value]
        while pending:
            node = pending.pop()
            if isinstance(node, ast.Call) and (node is not tree.value or isinstance(tree, ast.Return)):
                yield node
            if not isinstance(node, ast.IfExp | ast.BoolOp | ast.Lambda | ast.comprehension | ast.GeneratorExp):
                pending += ast.iter_child_nodes(node)


class _Named(ast.NodeTransformer):
    """Puts a name in the place of one part of a tree."""

    def __init__(self, part: ast.expr, name: str) -> None:
        self.part, self.name = part, name

    def visit(self, node: ast.AST) -> ast.AST:
        return ast.Name(self.name, ast.Load()) if node is self.part else self.generic_visit(node)


def _aliases(trees: Iterable[ast.AST | None]) -> dict[str, set[str]]:
    """Names of the larger body, with those that the smaller one has in their places."""
    found: dict[str, set[str]] = {}
    for node in [node for tree in trees if tree is not None for node in ast.walk(tree)]:
        if isinstance(node, ast.Name) and hasattr(node, "alias"):
            found.setdefault(node.id, set()).add(node.alias)
    return found


def _agreed(ours: Sequence[tuple[str, str]], theirs: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    """The comments that both have; the lines of the original of the first."""
    if len(ours) != len(theirs):
        return [("", ours[0][1])]
    return [(a[0] if a[0] == b[0] else "", a[1]) for a, b in zip(ours, theirs, strict=True)]
