"""Classes that differ in numbers only become one class with arguments, as the original had it.

The four stages of a residual network are four classes after emission, equal but for widths and strides. Here every
number that varies becomes an argument of the constructor; numbers that are a fixed multiple of another one are
written as that multiple (`4 * features`). Classes of one origin that have parts more than others become one with them
where that is shorter (`regauge.emit.optional`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from graphlib import CycleError, TopologicalSorter

from regauge.emit.class_arguments import CONSTANT_TOKEN, TRUTH, Family, joined_class
from regauge.emit.files import EmittedClass
from regauge.emit.gathered import gathered
from regauge.emit.layer_numbers import with_attributes
from regauge.emit.names import identifier
from regauge.emit.optional import same_but_for_defaults, with_optional_parts
from regauge.emit.passed_twice import with_default_arguments
from regauge.emit.repeated_items import with_comprehensions
from regauge.emit.second_inputs import in_one_form
from regauge.emit.target import target
from regauge.emit.templates import Template, column_values, template

_SHORTER = 0.7  # of the lines of the classes apart, at most, are worth their conditions
_MOST_PARTS = 2  # under one condition, of which the original has no attribute
_SHORTER_BY_SETTING = 0.85  # the same where the original itself has these conditions


def unify(classes: Iterable[EmittedClass]) -> list[EmittedClass]:
    """Join the classes that are equal but for constants and optional parts; every constructor call is rewritten.

    Args:
        classes: in the order of emission, children before the classes that hold them.
    """
    given = gathered(list(classes))
    pending, separable = _by_origin(given)
    done: list[EmittedClass] = []
    while pending:
        first = with_comprehensions(pending.pop(0))
        pending = [with_comprehensions(c) if _origin(c) == _origin(first) else c for c in pending]
        alike = [c for c in pending if _origin(c) == _origin(first)]
        if first.base:
            extending = [first, *(c for c in alike if c.base == first.base)]
            first, *alike = with_attributes(extending, pending)
            written = {c.name: c for c in alike}
            pending = [written.get(c.name, c) for c in pending]
            made, pending = _extending(first, alike, pending)
            done.append(made)
            continue
        joined = _joined(first, alike, _origin(first) in separable, {made.name: made for made in done})
        if joined is None:
            done.append(with_plain_locals(first))
            continue
        made, calls = joined
        names = set(calls) - {first.name}
        pending = [_rewrite(c, calls) for c in pending if c.name not in names]
        done.append(made)
    position = {made.name: number for number, made in enumerate(given)}
    return _children_first(sorted(done, key=lambda made: position[made.name]))


def _extending(
    first: EmittedClass, alike: Sequence[EmittedClass], pending: Sequence[EmittedClass]
) -> tuple[EmittedClass, list[EmittedClass]]:
    """The class for all that extend the layer by the code of the first one, and the other classes with its name."""
    code = [line.text for line in first.body.lines]
    same = [c for c in alike if c.base == first.base and [line.text for line in c.body.lines] == code]
    if not same:
        return first, list(pending)
    columns = zip(*(c.body.lines for c in (first, *same)), strict=True)
    lines = [replace(column[0], comment=_common(line.comment for line in column)) for column in columns]
    body = replace(first.body, lines=lines, comment=_common(c.body.comment for c in (first, *same)))
    names = {c.name for c in same}
    called = re.compile(rf"\b({'|'.join(map(re.escape, names))})(?=\()")
    left = [c for c in pending if c.name not in names]
    left = [replace(c, init=[replace(line, text=called.sub(first.name, line.text)) for line in c.init]) for c in left]
    return replace(first, body=body), left


def _common(comments: Iterable[str]) -> str:
    found = {*comments}
    return found.pop() if len(found) == 1 else ""


def _origin(made: EmittedClass) -> tuple[str, str]:
    return made.type, made.place


def _by_origin(classes: Sequence[EmittedClass]) -> tuple[list[EmittedClass], set[tuple[str, str]]]:
    """The classes with those of one origin side by side, behind all that any of them holds.

    Returns:
        The classes, and the origins of which no class holds one of the same origin; where no such order exists the
        classes as they are, and no origins.
    """
    groups: dict[tuple[str, str], list[EmittedClass]] = {}
    for made in classes:
        groups.setdefault(_origin(made), []).append(made)
    origins = {made.name: _origin(made) for made in classes}
    held = {key: [origins[name] for made in group for name in _held(made, origins)] for key, group in groups.items()}
    sorter = TopologicalSorter({key: dict.fromkeys(k for k in held[key] if k != key) for key in groups})
    try:
        ordered = [made for key in sorter.static_order() for made in groups[key]]
    except CycleError:
        return list(classes), set()
    return ordered, {key for key in groups if key not in held[key]}


def _held(made: EmittedClass, names: Collection[str]) -> list[str]:
    """The classes that a class makes itself, in the order in which it does."""
    text = "\n".join(line.text for line in made.init)
    return [name for name in dict.fromkeys(re.findall(r"(?<![.\w])\w+(?=\()", text)) if name in names]


def _children_first(classes: Sequence[EmittedClass]) -> list[EmittedClass]:
    """The classes in their order, but for those that another one holds: they stand before it."""
    named = {made.name: made for made in classes}
    found: dict[str, EmittedClass] = {}

    def place(made: EmittedClass, above: frozenset[str]) -> None:
        for name in _held(made, named):
            if name not in found and name not in above:
                place(named[name], above | {name})
        found.setdefault(made.name, made)

    for made in classes:
        place(made, frozenset({made.name}))
    return list(found.values())


def _joined(
    first: EmittedClass, others: Sequence[EmittedClass], separable: bool, done: Mapping[str, EmittedClass]
) -> tuple[EmittedClass, dict[str, str]] | None:
    """The class for the first one and all others of its origin that it can serve; None if it serves itself alone."""
    alike: dict[tuple[str, ...], list[EmittedClass]] = {}
    for made in (first, *others):
        renamed = with_plain_locals(made)
        alike.setdefault((_skeleton(renamed), *renamed.body.parameters), []).append(renamed)
    families = list(alike.values())
    if len(families) > 1 and separable:
        families = with_default_arguments(families)
        position = {made.name: number for number, made in enumerate((first, *others))}
        for members in _with_optional_parts(families, done):
            joined = joined_class(Family(sorted(members, key=lambda made: position[made.name]), _bases(done)))
            if joined is not None:
                return joined
    joined = joined_class(Family(families[0], _bases(done))) if len(families[0]) > 1 else None
    return joined or (_with_one(first, families, done) if separable else None)


def _with_one(
    first: EmittedClass, families: Sequence[Sequence[EmittedClass]], done: Mapping[str, EmittedClass]
) -> tuple[EmittedClass, dict[str, str]] | None:
    """The class for the first one and one of another family, where all of a family have too many sizes for one class.

    Only where the original's own settings tell the two apart: what is left of the families stays as it is.
    """
    alone = template([next(made for made in families[0] if made.name == first.name)])
    for other in [template([made]) for family in families[1:] for made in family]:
        if alone is None or other is None:
            continue
        joined = with_optional_parts(alone, other, done)
        if joined is not None and joined.by_setting and _reads_better(joined, (alone, other)):
            found = joined_class(Family(joined.written(), _bases(done)))
            if found is not None:
                return found
    return None


def _with_optional_parts(
    families: Sequence[Sequence[EmittedClass]], done: Mapping[str, EmittedClass]
) -> Iterator[list[EmittedClass]]:
    """The members of the first family and of others, written in the form that serves them all; the largest first."""
    for joined in _candidates([template(family, equal) for family, equal in in_one_form(families)], done):
        if not joined.equal:  # one of them has the second input
            yield joined.written()
    templates = [template(family) for family in families]
    for joined in _candidates(templates, done):
        yield joined.written()


def _candidates(templates: Sequence[Template | None], done: Mapping[str, EmittedClass]) -> list[Template]:
    """The first template joined with others, those of most members first."""
    if not templates or templates[0] is None:
        return []
    plain: list[Template] = []
    for found in filter(None, templates):
        for number, known in enumerate(plain):
            joined = same_but_for_defaults(known, found, done)
            if joined is not None:
                plain[number] = joined
                break
        else:
            plain.append(found)
    wholes: list[Template] = []
    for other in plain[1:]:
        joined = with_optional_parts(plain[0], other, done)
        if joined is None or not _reads_better(joined, (plain[0], other)):
            continue
        whole, left = joined, [found for found in plain[1:] if found is not other]
        # those with other arguments last: the code that makes one where it is not passed has conditions inside
        for further in sorted(left, key=lambda found: found.parameters != plain[0].parameters):
            again = with_optional_parts(whole, further, done)
            if again is not None and _reads_better(again, (whole, further)):
                whole = again
        wholes += [whole, joined] if whole is not joined else [joined]
    if len(plain[0].members) > len(templates[0].members):
        wholes.append(plain[0])
    return sorted(wholes, key=lambda found: -len(found.members))


def _conditions_alike(joined: Template) -> int:
    """How many parts the most common condition has: of many together, a person makes another class."""
    values = [s.tree.value for s in joined.init if isinstance(s.tree, ast.Assign)]
    tests = [value.test for value in values if isinstance(value, ast.IfExp)]
    shown = [repr([c.texts for c in column_values(test)]) + ast.unparse(test) for test in tests]
    return max((shown.count(text) for text in shown), default=0)


def _reads_better(joined: Template, apart: Sequence[Template]) -> bool:
    if _conditions_alike(joined) > _MOST_PARTS and not joined.by_setting:
        return False
    heads = 3  # the lines of a class that hold no statement: its name and its two functions
    most = _SHORTER_BY_SETTING if joined.by_setting else _SHORTER
    lengths = [heads + template.length for template in apart]
    length = heads + joined.length
    if joined.by_argument and sum(lengths) - length >= most * min(lengths):
        return True
    return length <= most * sum(lengths)


def with_plain_locals(made: EmittedClass) -> EmittedClass:
    """The class with `sequence` for a local `sequence_2` where no other `sequence` is near.

    A name of the whole model that was taken there; without it two classes can be the same.
    """
    text = "\n".join(line.text for line in made.body.lines)
    nodes = [node for node in ast.walk(ast.parse(text)) if isinstance(node, ast.Name)]
    local = [node.id for node in nodes if isinstance(node.ctx, ast.Store) and re.fullmatch(r"[a-z]\w*_\d+", node.id)]
    plain = {name: identifier(name.rpartition("_")[0]) for name in dict.fromkeys(local)}
    used = set(re.findall(r"\w+", text)) | set(made.body.parameters)
    for name, wanted in plain.items():
        if wanted in used or name in made.body.parameters or f"{name}=" in text or f".{name}" in text:
            continue
        used.add(wanted)
        pattern = re.compile(rf"\b{re.escape(name)}\b")
        lines = [
            replace(line, text=pattern.sub(wanted, line.text), comment=pattern.sub(wanted, line.comment))
            for line in made.body.lines
        ]
        made = replace(made, body=replace(made.body, lines=lines))
    return made


def _skeleton(made: EmittedClass) -> str:
    init = CONSTANT_TOKEN.sub(lambda m: "#" if m["constant"] else m[0], "\n".join(line.text for line in made.init))
    body = CONSTANT_TOKEN.sub(
        lambda m: "#" if m["constant"] and m["constant"] not in TRUTH else m[0],
        "\n".join(line.text for line in made.body.lines),
    )
    return re.sub(r"\s+", " ", f"{init}\n{body}")


def _bases(done: Mapping[str, EmittedClass]) -> dict[str, str]:
    return {name: made.base for name, made in done.items() if made.base}


def _rewrite(made: EmittedClass, calls: Mapping[str, str]) -> EmittedClass:
    pattern = re.compile("|".join(rf"\b({re.escape(name)}){re.escape(_arguments(''))}" for name in calls))
    init = [replace(line, text=pattern.sub(lambda m: calls[m[m.lastindex or 0]], line.text)) for line in made.init]
    return replace(made, init=init)


def _arguments(given: str) -> str:
    """The parentheses of a constructor call."""
    return target().module_call("", given)
