"""Classes of one origin that differ in that one of them got the same value for two arguments: one class for both.

Self-attention and cross-attention are one class in the original, which is passed the same sequence twice or no second
one. After emission the first has one argument where the other has two. With the body of the second, the first is it
with a default:

    def __call__(self, x, context=None):
        if context is None:
            context = x
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import product

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.parameters import by_place

_CONSTANT = re.compile(
    r"""(?<![\w.])(?:True|False)\b|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?"""
)
_MOST = 2  # arguments more


def with_default_arguments(families: Iterable[Sequence[EmittedClass]]) -> list[list[EmittedClass]]:
    """The families, those joined of which one is another one that got the same value for two arguments.

    Args:
        families: each of classes that are equal but for constants.
    """
    found: list[list[EmittedClass]] = []
    for family in families:
        for number, known in enumerate(found):
            joined = _joined(known, family) or _joined(family, known)
            if joined is not None:
                names = [made.name for made in (*known, *family)]
                found[number] = sorted(joined, key=lambda made: names.index(made.name))
                break
        else:
            found.append(list(family))
    return found


def _joined(few: Sequence[EmittedClass], more: Sequence[EmittedClass]) -> list[EmittedClass] | None:
    """All members in the form of the second family; None where the first is not that with some argument twice."""
    ours, theirs = few[0].body, more[0].body
    known = [name for name in ours.parameters if name != "*"]
    further = [name for name in theirs.parameters if name not in known and name != "*"]
    if any("=" in name or "*" in name for name in (*known, *further)) or not 0 < len(further) <= _MOST:
        return None
    (positional, keywords), (their_positional, their_keywords) = by_place(ours.parameters), by_place(theirs.parameters)
    by_keyword = positional == their_positional and keywords == [name for name in their_keywords if name in keywords]
    if theirs.parameters[: len(known)] != known and not by_keyword:
        return None
    if _without_constants(few[0].init) != _without_constants(more[0].init):
        return None
    wanted = _read(ours, {})
    for values in product(known, repeat=len(further)):
        default = dict(zip(further, values, strict=True))
        if wanted is not None and wanted == _read(theirs, default):
            written = [_written(made, theirs, default) for made in few]
            if None in written:
                return None
            return [*filter(None, written), *(with_default(made, default) for made in more)]
    return None


def _without_constants(lines: Iterable[Line]) -> list[str]:
    return [_CONSTANT.sub("#", line.text) for line in lines]


@dataclass(frozen=True)
class _Sizes:
    """The sizes of arguments that a body begins with naming, and how many of its statements do."""

    names: dict[str, str]
    count: int


def _read(body: Body, default: Mapping[str, str]) -> str | None:
    """What a body computes, whatever its constants and its names for sizes.

    None where it gives such a name, an argument with a default or the default itself another value: the default is what
    the argument was at the beginning, and not `x` after `x = self.norm(x)`.
    """
    tree = ast.parse("\n".join(line.text for line in body.lines))
    sizes = named_first(tree.body, {name: default.get(name, name) for name in body.parameters})
    rest = ast.Module(tree.body[sizes.count :], [])
    kept = {*sizes.names, *default, *default.values()}
    for node in ast.walk(rest):
        if isinstance(node, ast.arg) and node.arg in kept:
            return None
        if isinstance(node, ast.Name):
            if isinstance(node.ctx, ast.Store) and node.id in kept:
                return None
            node.id = sizes.names.get(node.id, default.get(node.id, node.id))
        elif isinstance(node, ast.Constant) and not isinstance(node.value, bool | None):
            node.value = 0
    return ast.unparse(rest)


def named_first(statements: Sequence[ast.stmt], arguments: Mapping[str, str]) -> _Sizes:
    """The sizes that the first statements name; `arguments` have the names by which sizes of the same are the same."""
    names: dict[str, str] = {}
    for count, statement in enumerate(statements):
        found = dict(_named_sizes(statement, arguments))
        if not found:
            return _Sizes(names, count)
        names |= found
    return _Sizes(names, len(statements))


def _named_sizes(statement: ast.stmt, arguments: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """The names of `batch, sequence = x.shape[:2]` or `batch = x.shape[0]`, and what they stand for."""
    match statement:
        case ast.Assign(
            targets=[ast.Name(id=name)],
            value=ast.Subscript(
                value=ast.Attribute(value=ast.Name(id=array), attr="shape"), slice=ast.Constant(value=int(axis))
            ),
        ) if array in arguments:
            yield name, f"{arguments[array]}_size_{axis}"
        case ast.Assign(
            targets=[ast.Tuple(elts=targets)],
            value=ast.Attribute(value=ast.Name(id=array), attr="shape")
            | ast.Subscript(
                value=ast.Attribute(value=ast.Name(id=array), attr="shape"), slice=ast.Slice(lower=None, step=None)
            ),
        ) if array in arguments:
            for axis, target in enumerate(targets):
                if isinstance(target, ast.Name):
                    yield target.id, f"{arguments[array]}_size_{axis}"


def _written(made: EmittedClass, body: Body, default: Mapping[str, str]) -> EmittedClass | None:
    """A class with the code of another one and its own constants; None where they cannot be told."""
    ours, theirs = made.body.lines[lines_of_sizes(made.body) :], body.lines[lines_of_sizes(body) :]
    if _counts(ours) != _counts(theirs):
        return None
    own = (constant for line in ours for constant in _CONSTANT.findall(line.text))
    comments = [line.comment if line.comment == mine.comment else "" for mine, line in zip(ours, theirs, strict=True)]
    texts = [_CONSTANT.sub(lambda _: next(own), line.text) for line in theirs]
    lines = [replace(line, text=t, comment=c) for line, t, c in zip(theirs, texts, comments, strict=True)]
    lines = [*body.lines[: lines_of_sizes(body)], *lines]
    return with_default(replace(made, body=Body(body.parameters, lines, body.comment)), default)


def lines_of_sizes(body: Body) -> int:
    """How many lines, each a statement, name sizes at the beginning of a body."""
    tree = ast.parse("\n".join(line.text for line in body.lines))
    return named_first(tree.body, {name: name for name in body.parameters}).count


def _counts(lines: Iterable[Line]) -> list[int]:
    return [len(_CONSTANT.findall(line.text)) for line in lines]


def with_default(made: EmittedClass, default: Mapping[str, str]) -> EmittedClass:
    """A class whose call begins with what its arguments are where they are not passed."""
    parameters = [f"{name}=None" if name in default else name for name in made.body.parameters]
    lines = [Line(text) for name, value in default.items() for text in (f"if {name} is None:", f"    {name} = {value}")]
    return replace(made, body=Body(parameters, [*lines, *made.body.lines], made.body.comment))
