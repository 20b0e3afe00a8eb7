"""Classes of the same code as one syntax tree, in which every constant is known for each of them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line

# Stands where a member of a family has no constant: in a part that it does not have.
ANY = "'?'"
# Stands where a member leaves an argument of a constructor out that is None by default.
LEFT_OUT = "None"


@dataclass(frozen=True)
class Column:
    """The texts of one constant in all members of a family, in place of the constant of a syntax tree."""

    texts: tuple[str, ...]

    def __repr__(self) -> str:
        return "_"  # what `ast.unparse` writes: trees that differ in constants only have the same text


@dataclass(frozen=True)
class _Text:
    """A constant as it is written."""

    text: str

    def __repr__(self) -> str:
        return self.text


@dataclass
class Statement:
    """A statement of all members; `notes` are the (comment, line of the original) of the lines it is written in."""

    tree: ast.stmt
    notes: list[tuple[str, str]]

    @property
    def shape(self) -> str:
        return ast.unparse(self.tree)


@dataclass
class Template:
    """Classes of the same code.

    Attributes:
        members: the classes.
        init: statements of their constructors.
        body: statements of their calls.
        parameters: of their calls, with defaults.
        conditions: how many conditions were written to make them the same code.
        by_setting: whether the original's own attributes decide them.
        by_argument: whether an argument that was passed or not decides the last of them.
        equal: names that stand for one value in these classes, with what it is called for all of them.
    """

    members: list[EmittedClass]
    init: list[Statement]
    body: list[Statement]
    parameters: list[str]
    conditions: int = 0
    by_setting: bool = False
    by_argument: bool = False
    equal: Mapping[str, str] = field(default_factory=dict)

    @property
    def length(self) -> int:
        """Lines of one class for all members."""
        return sum(len(ast.unparse(statement.tree).splitlines()) for statement in (*self.init, *self.body))

    def written(self) -> list[EmittedClass]:
        """The members, each written in the common form."""
        return [
            replace(
                member,
                init=_lines(self.init, index),
                body=Body(self.parameters, _lines(self.body, index), member.body.comment),
            )
            for index, member in enumerate(self.members)
        ]


def template(members: Sequence[EmittedClass], equal: Mapping[str, str] | None = None) -> Template | None:
    """The template of classes that are equal but for constants; None where a statement is not written in lines.

    Args:
        members: the classes.
        equal: as in `Template`.
    """
    if any("\n" in line.text for member in members for line in (*member.init, *member.body.lines)):
        return None
    init = _statements([member.init for member in members], booleans=True)
    body = _statements([member.body.lines for member in members], booleans=False)
    return Template(list(members), init, body, list(members[0].body.parameters), equal=equal or {})


def columns(node: ast.AST) -> Iterator[ast.Constant]:
    """The constants of a tree that stand for those of all members."""
    for part in ast.walk(node):
        if isinstance(part, ast.Constant) and isinstance(part.value, Column):
            yield part


def column_values(node: ast.AST) -> list[Column]:
    """The constants of a tree in all members."""
    values: list[object] = [part.value for part in ast.walk(node) if isinstance(part, ast.Constant)]
    return [value for value in values if isinstance(value, Column)]


def column(texts: Iterable[str]) -> ast.Constant:
    return ast.Constant(Column(tuple(texts)))  # type: ignore[arg-type]


def _statements(lines: Sequence[Sequence[Line]], booleans: bool) -> list[Statement]:
    modules = [ast.parse("\n".join(line.text for line in member)) for member in lines]
    for nodes in zip(*(ast.walk(module) for module in modules), strict=True):
        constants = [node for node in nodes if isinstance(node, ast.Constant)]
        if constants and all(_varies(constant.value, booleans) for constant in constants):
            constants[0].value = Column(tuple(repr(constant.value) for constant in constants))  # type: ignore[assignment]
    return [
        Statement(tree, [_note([member[row] for member in lines]) for row in range(tree.lineno - 1, tree.end_lineno)])
        for tree in modules[0].body
        if tree.end_lineno is not None
    ]


def _varies(value: object, booleans: bool) -> bool:
    """Whether a constant may be another one in another member; in a body a truth value belongs to the code."""
    return isinstance(value, int | float | str) and (booleans or not isinstance(value, bool))


def _note(lines: Sequence[Line]) -> tuple[str, str]:
    comments = {line.comment for line in lines}
    return comments.pop() if len(comments) == 1 else "", lines[0].origin


def _written(tree: ast.stmt) -> str:
    """The text of a statement; `return x, y` has no parentheses."""
    if isinstance(tree, ast.Return) and isinstance(tree.value, ast.Tuple) and len(tree.value.elts) > 1:
        return f"return {', '.join(map(ast.unparse, tree.value.elts))}"
    return ast.unparse(tree)


def _lines(statements: Iterable[Statement], index: int) -> list[Line]:
    found: list[Line] = []
    for statement in statements:
        tree = copy.deepcopy(statement.tree)
        for constant in columns(tree):
            constant.value = _Text(constant.value.texts[index])  # type: ignore[assignment, union-attr]
        texts = [text for text in _written(tree).split("\n") if text.strip()]
        same = len(texts) == len(statement.notes)
        notes = statement.notes if same else [("", statement.notes[0][1])] * len(texts)
        found += [Line(text, *note) for text, note in zip(texts, notes, strict=True)]
    return found
