"""Classes that are equal but for parts that one of them has and the other has not: one class with optional parts.

A residual block with and one without a projection are two classes after emission, since the branch of the original
was decided when it was captured. Here the block with fewer statements is the one with more of them whose optional
sub-module is None:

    self.shortcut = nnx.Conv(...) if shortcut else None
    return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x)))

What is optional is, in this order of preference: sub-modules that one class has more than the other, arguments that
one is called with and the other is not, or operators, for which the constructor takes a flag of their name. Only
whole statements and expressions around a value are optional. With the condition decided the joined body is each of
the two bodies, statement by statement, so that nothing is computed that was not before.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import cache
from itertools import groupby
from typing import TypeVar

from regauge.emit.conditions import Condition, attributes, conditions, joined_parameters, names
from regauge.emit.layer_defaults import with_defaults
from regauge.emit.templates import ANY, Column, Statement, Template, column, columns

Tree = TypeVar("Tree", bound=ast.AST)

# With more of them in one body, separate classes are easier to read; a flag is named after one operator.
_MOST_CONDITIONS = 3
_LONGEST_BODY = 120  # statements, because all of one are compared with all of the other
_LONGEST_TWICE = 60  # characters of an expression that may stand in both branches of a condition


def same_but_for_defaults(first: Template, second: Template) -> Template | None:
    """One template of two whose layers leave different options at their defaults; None if more differs."""
    merging = _Merging(first, second, None)
    init = merging.constructor()
    body = merging.body() if init is not None and first.parameters == second.parameters else None
    if init is None or body is None or merging.conditions(body):
        return None
    return Template([*first.members, *second.members], init, body, first.parameters)


def with_optional_parts(first: Template, second: Template) -> Template | None:
    """One template of two, of which one has parts more than the other; None if none reads well."""
    held = [set(attributes(template)) for template in (first, second)]
    parameters = joined_parameters(first.parameters, second.parameters)
    if parameters is None or first.conditions or second.conditions:
        return None
    found: list[Template] = []
    for small, large, more in ((first, second, held[1] - held[0]), (second, first, held[0] - held[1])):
        if not attributes(small).keys() <= attributes(large).keys():
            continue
        for condition in conditions(small, large, more):
            joined = _Merging(small, large, condition).joined(parameters)
            if joined is not None:
                found.append(joined)
                break
    return min(found, key=lambda joined: (joined.conditions, joined.length)) if found else None


@dataclass(frozen=True)
class _Step:
    """A statement of the larger body, with that of the smaller one that it is, if any, and the one for both."""

    mine: Statement | None
    other: Statement
    tree: ast.AST | None

    def statement(self) -> Statement:
        if self.mine is None or not isinstance(self.tree, ast.stmt):
            raise ValueError(f"no statement of both: {self.other.shape}")
        return Statement(self.tree, _agreed(self.mine.notes, self.other.notes))


@dataclass
class _Merging:
    """Writes two templates as one: `small`, which lacks the parts, and `large`, which has them."""

    small: Template
    large: Template
    condition: Condition | None
    aliases: dict[str, set[str]] = field(default_factory=dict)
    _own: set[str] = field(default_factory=set)  # names that only the larger body gives a value

    def joined(self, parameters: list[str]) -> Template | None:
        init, body = self.constructor(), self.body()
        if init is None or body is None:
            return None
        conditions = self.conditions(body)
        most = 1 if self.condition is not None and self.condition.is_flag else _MOST_CONDITIONS
        if not 1 <= conditions <= most:
            return None
        return Template([*self.small.members, *self.large.members], init, body, parameters, conditions)

    def conditions(self, body: Sequence[Statement]) -> int:
        """How often a body asks."""
        return sum(hasattr(node, "optional") for statement in body for node in ast.walk(statement.tree))

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
                joined = self._meet(ours[name], value, None)
                if joined is None:
                    return None
            else:
                joined = ast.IfExp(self._flags(), self._only_large(value), ast.Constant(None))
            made.append(_stored(name, joined))
        return made

    def _alike(self) -> list[Statement] | None:
        """The statements of two constructors that hold no more than a flag apart; None where they differ."""
        made = [self._flag()] if self.condition is not None and self.condition.is_flag else []
        if len(self.small.init) != len(self.large.init):
            return None
        for mine, other in zip(self.small.init, self.large.init, strict=True):
            tree = self._meet(mine.tree, other.tree, None)
            if not isinstance(tree, ast.stmt):
                return None
            made.append(Statement(tree, mine.notes))
        return made

    def _flag(self) -> Statement:
        if self.condition is None:
            raise ValueError("nothing is optional")
        return _stored(self.condition.attribute, self._flags())

    def _flags(self) -> ast.Constant:
        return column([*["False"] * len(self.small.members), *["True"] * len(self.large.members)])

    # bodies ---------------------------------------------------------------------------------------------------

    def body(self) -> list[Statement] | None:
        """The statements of the joined call; None where the two cannot be told apart by the condition."""
        path = self._path(_with_names(self.small.body, self.large.body), self.large.body)
        path = path or self._path(self.small.body, self.large.body)
        if path is None:
            return None
        self.aliases = _aliases(step.tree for step in path)
        if any(not self._holds(name, values, path) for name, values in self.aliases.items()):
            return None
        made: list[Statement] = []
        for only_large, steps in groupby(path, lambda step: step.mine is None and not self._is_alias(step)):
            if only_large:
                made.append(self._optional([step.other for step in steps]))
            else:
                made += [self._aliased(step) if self._is_alias(step) else step.statement() for step in steps]
        return made

    def _path(self, ours: Sequence[Statement], theirs: Sequence[Statement]) -> list[_Step] | None:
        """Which statements are the same, and which the larger body has more, with the fewest conditions."""
        self._own = names(theirs, ast.Store) - names(ours, ast.Store, ast.Load) - set(self.small.parameters)

        @cache
        def best(i: int, j: int, inside: bool) -> tuple[int, list[_Step]] | None:
            if j == len(theirs):
                return (0, []) if i == len(ours) else None
            options: list[tuple[int, list[_Step]]] = []
            tree = self._meet(ours[i].tree, theirs[j].tree, self._choice) if i < len(ours) else None
            rest = best(i + 1, j + 1, False) if tree is not None else None
            if rest is not None:
                cost = sum(hasattr(node, "optional") for node in ast.walk(tree)) if tree is not None else 0
                options.append((cost + rest[0], [_Step(ours[i], theirs[j], tree), *rest[1]]))
            more = self.condition is not None and not isinstance(theirs[j].tree, ast.Return)
            rest = best(i, j + 1, True) if more and len(ours) - i < len(theirs) - j else None
            if rest is not None:
                options.append((rest[0] + (not inside), [_Step(None, theirs[j], None), *rest[1]]))
            return min(options, key=lambda option: option[0]) if options else None

        path = best(0, 0, False) if len(ours) <= len(theirs) <= _LONGEST_BODY else None
        return path[1] if path is not None else None

    def _optional(self, statements: Sequence[Statement]) -> Statement:
        """`if self.shortcut is not None:` and the statements."""
        if self.condition is None:
            raise ValueError("nothing is optional")
        tree = ast.If(self.condition.given(), [self._only_large(s.tree) for s in statements], [])
        tree.optional = True  # type: ignore[attr-defined]
        return Statement(tree, [("", statements[0].notes[0][1]), *(note for s in statements for note in s.notes)])

    def _is_alias(self, step: _Step) -> bool:
        return step.mine is None and bool(names([step.other], ast.Store) & self.aliases.keys())

    def _aliased(self, step: _Step) -> Statement:
        """`residual = x if self.shortcut is None else self.shortcut(x)`, where the smaller body reads `x` itself."""
        tree = step.other.tree
        if not isinstance(tree, ast.Assign) or not isinstance(tree.targets[0], ast.Name):
            raise ValueError(f"no name is given a value: {step.other.shape}")
        (value,) = self.aliases[tree.targets[0].id]
        chosen = self._chosen(ast.Name(value, ast.Load()), tree.value)
        return Statement(ast.Assign(tree.targets, chosen, lineno=0), [("", note[1]) for note in step.other.notes])

    def _holds(self, name: str, values: set[str], path: Sequence[_Step]) -> bool:
        """Whether a name of the larger body for a value of the smaller one has that value wherever it is read."""
        places = [n for n, step in enumerate(path) if name in names([step.other], ast.Store)]
        if len(values) > 1 or len(places) != 1 or path[places[0]].mine is not None:
            return False
        tree = path[places[0]].other.tree
        if not isinstance(tree, ast.Assign) or not isinstance(tree.targets[0], ast.Name):
            return False
        reads = [n for n, step in enumerate(path) if step.tree is not None and name in _aliases([step.tree])]
        between = [step.mine for step in path[places[0] + 1 : max(reads)] if step.mine is not None]
        return min(reads) > places[0] and not values & names(between, ast.Store)

    # trees ----------------------------------------------------------------------------------------------------

    def _meet(self, mine: ast.AST, other: ast.AST, choice: Callable[..., ast.AST | None] | None) -> ast.AST | None:
        """One tree for two; what differs is left to `choice`."""
        if isinstance(mine, ast.Constant) and isinstance(other, ast.Constant):
            if isinstance(mine.value, Column) and isinstance(other.value, Column):
                return column((*mine.value.texts, *other.value.texts))
            same = type(mine.value) is type(other.value) and mine.value == other.value
            return mine if same else None
        if type(mine) is type(other):
            joined = self._same_kind(mine, other, choice)
            if joined is not None:
                return joined
        return choice(mine, other) if choice is not None else None

    def _same_kind(self, mine: ast.AST, other: ast.AST, choice: Callable[..., ast.AST | None] | None) -> ast.AST | None:
        if isinstance(mine, ast.Call) and isinstance(other, ast.Call):
            keywords = with_defaults(mine, other, len(self.small.members), len(self.large.members))
            if keywords is None:
                return None
            mine = ast.Call(mine.func, mine.args, keywords[0])
            other = ast.Call(other.func, other.args, keywords[1])
        fields: dict[str, object] = {}
        for name in mine._fields:
            ours, theirs = getattr(mine, name, None), getattr(other, name, None)
            pairs = [(ours, theirs)]
            if isinstance(ours, list) and isinstance(theirs, list):
                if len(ours) != len(theirs):
                    return None
                pairs = list(zip(ours, theirs, strict=True))
            joined: list[object] = []
            for a, b in pairs:
                if isinstance(a, ast.AST) and isinstance(b, ast.AST):
                    part = self._meet(a, b, choice)
                    if part is None:
                        return None
                    joined.append(part)
                elif a == b:
                    joined.append(a)
                else:
                    return None
            fields[name] = joined if isinstance(ours, list) else joined[0]
        made = ast.copy_location(type(mine)(**fields), mine)
        if hasattr(mine, "optional"):
            made.optional = True  # type: ignore[attr-defined]
        return made

    def _choice(self, mine: ast.AST, other: ast.AST) -> ast.AST | None:
        """A condition between an expression and one that has it inside, or a name that the larger body has for it."""
        if not isinstance(mine, ast.expr) or not isinstance(other, ast.expr) or self.condition is None:
            return None
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
        if not inside or (len(text) > _LONGEST_TWICE):
            return None
        if isinstance(other, ast.Tuple) and self.small.parameters == self.large.parameters:
            return None
        return self._chosen(self._only_small(mine), other)

    def _chosen(self, without: ast.expr, with_it: ast.expr) -> ast.IfExp:
        if self.condition is None:
            raise ValueError("nothing is optional")
        made = self.condition.choice(without, self._only_large(with_it))
        made.optional = True  # type: ignore[attr-defined]
        return made

    def _only_small(self, tree: Tree) -> Tree:
        return _widened(tree, 0, len(self.large.members))

    def _only_large(self, tree: Tree) -> Tree:
        return _widened(tree, len(self.small.members), 0)


def _stored(attribute: str, value: ast.AST) -> Statement:
    target = ast.Attribute(ast.Name("self", ast.Load()), attribute, ast.Store())
    return Statement(ast.Assign([target], value, lineno=0), [("", "")])  # type: ignore[arg-type]


def _widened(tree: Tree, before: int, after: int) -> Tree:
    """A tree of some members among others that do not have it."""
    made = copy.deepcopy(tree)
    for constant in columns(made):
        texts = constant.value.texts  # type: ignore[union-attr]
        constant.value = Column((*[ANY] * before, *texts, *[ANY] * after))  # type: ignore[assignment]
    return made


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
