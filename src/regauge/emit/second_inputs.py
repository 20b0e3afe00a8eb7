"""Classes of one origin in the form of the one of them that takes a second input, so that further parts can be joined.

What is known to be one class, with `context` or without (`regauge.emit.passed_twice`), tells the default:

    def __call__(self, x, *, context=None):
        if context is None:
            context = x

The other classes of the origin, which differ in more than this, are written with the same beginning. Where they lack
the second input, `x` and `context` stand for the same in them.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.parameters import absent, by_place, plain
from regauge.emit.passed_twice import named_first, with_default

Equal = Mapping[str, str]


def in_one_form(families: Sequence[Sequence[EmittedClass]]) -> list[tuple[list[EmittedClass], Equal]]:
    """The families with the defaults that one of them has, each with the names that stand for the same in it.

    Empty where no family tells a default, or all have it already.
    """
    form = next((found for family in families if (found := _form(family[0].body)) is not None), None)
    if form is None or all(_form(family[0].body) is not None for family in families):
        return []
    return [_written(family, form) for family in families]


@dataclass(frozen=True)
class _Form:
    """How a call with second inputs begins.

    Attributes:
        default: the second inputs, and what each is where it is not passed.
        sizes: the lines behind this, which name sizes.
        names: those of the second inputs, of what these are by default, and of sizes; with the name that all have
            which are the same without second inputs.
    """

    default: Mapping[str, str]
    sizes: Sequence[Line]
    names: Equal


def _form(body: Body) -> _Form | None:
    default: dict[str, str] = {}
    lines = list(body.lines)
    while len(lines) > 1 and (found := _default(lines[0].text, lines[1].text)) is not None:
        default.update([found])
        del lines[:2]
    if not default or not default.keys() <= absent(body.parameters):
        return None
    names = {name: default.get(name, name) for name in plain(body.parameters)}
    sizes = named_first(ast.parse("\n".join(line.text for line in lines)).body, names)
    alike = {name: name for name in default.values()} | default
    return _Form(default, lines[: sizes.count], alike | sizes.names)


def _default(condition: str, value: str) -> tuple[str, str] | None:
    """`context` and `x` of `if context is None:` and `context = x`."""
    try:
        tree = ast.parse(f"{condition}\n{value}").body
    except SyntaxError:
        return None
    match tree:
        case [
            ast.If(
                test=ast.Compare(left=ast.Name(id=asked), ops=[ast.Is()], comparators=[ast.Constant(value=None)]),
                body=[ast.Assign(targets=[ast.Name(id=given)], value=ast.Name(id=default))],
                orelse=[],
            )
        ] if asked == given:
            return given, default
    return None


def _written(family: Sequence[EmittedClass], form: _Form) -> tuple[list[EmittedClass], Equal]:
    """The classes in a form; as they are where they cannot be."""
    body = family[0].body
    if _form(body) is not None:
        return list(family), {}
    if form.default.keys() <= set(body.parameters):
        return [with_default(made, form.default) for made in family], {}
    tree = ast.parse("\n".join(line.text for line in body.lines))
    sizes = named_first(tree.body, {name: name for name in body.parameters})
    stored = [n.id for n in ast.walk(tree) if isinstance(n, ast.Name) and not isinstance(n.ctx, ast.Load)]
    fits = (
        not set(form.default) & set(body.parameters)
        and set(form.default.values()) <= set(body.parameters)
        and all(form.names.get(name) == size for name, size in sizes.names.items())
        and len(set(stored) & form.names.keys()) == len(sizes.names) == sum(name in form.names for name in stored)
    )
    if not fits:
        return list(family), {}
    return [_with_second(made, form, sizes.count) for made in family], form.names


def _with_second(made: EmittedClass, form: _Form, sizes: int) -> EmittedClass:
    positional, keywords = by_place(made.body.parameters)
    parameters = [*positional, "*", *keywords, *form.default]
    lines = [*form.sizes, *made.body.lines[sizes:]]
    return with_default(replace(made, body=replace(made.body, parameters=parameters, lines=lines)), form.default)
