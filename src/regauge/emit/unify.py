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
from dataclasses import dataclass, field, replace
from graphlib import CycleError, TopologicalSorter

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.names import identifier, unique
from regauge.emit.optional import same_but_for_defaults, with_optional_parts
from regauge.emit.passed_twice import with_default_arguments
from regauge.emit.target import target
from regauge.emit.templates import ANY, Template, template

_TOKEN = re.compile(
    r"""(?P<constant>(?<![\w.])(?:True|False)\b|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?)|[A-Za-z_]\w*|\S""",
    re.X,
)
_TRUTH = ("True", "False")  # in a body they belong to the code
_SHORTER = 0.7  # of the lines of the classes apart, at most, are worth their conditions
_SHORTER_BY_SETTING = 0.85  # the same where the original itself has these conditions
_MOST_BODY_ARGUMENTS = 2  # with more unexplained sizes in the body, separate classes are easier to read

_POSITIONAL = {
    "nnx.Linear": ("in_features", "out_features"),
    "nnx.Conv": ("in_features", "out_features"),
    "nnx.ConvTranspose": ("in_features", "out_features"),
    "nnx.Embed": ("num_embeddings", "features"),
    "Embedding": ("num_embeddings", "features"),
    "nnx.LayerNorm": ("features",),
    "LayerNorm": ("features",),
    "nnx.RMSNorm": ("features",),
    "nnx.GroupNorm": ("features",),
    "BatchNorm": ("features",),
    "nnx.Dropout": ("rate",),
    "nn.Linear": ("in_features", "out_features"),
    **{f"nn.Conv{n}d": ("in_channels", "out_channels", "kernel_size") for n in (1, 2, 3)},
    **{f"nn.ConvTranspose{n}d": ("in_channels", "out_channels", "kernel_size") for n in (1, 2, 3)},
    "nn.Embedding": ("num_embeddings", "features"),
    "nn.LayerNorm": ("features",),
    "nn.RMSNorm": ("features",),
    "nn.GroupNorm": ("num_groups", "features"),
    "nn.Dropout": ("rate",),
    "range": ("depth",),
    "rngs.split": ("depth",),
}

_WIDTHS = frozenset({"in_features", "out_features", "features", "in_channels", "out_channels"})

Values = tuple[str, ...]  # the texts of one constant in all members of a family


@dataclass
class _Family:
    """Classes of one skeleton, with the arguments that tell them apart."""

    members: list[EmittedClass]
    arguments: dict[Values, str] = field(default_factory=dict)
    in_body: set[str] = field(default_factory=set)

    def name(self, values: Values, wanted: str, taken: set[str]) -> str:
        if values not in self.arguments:
            self.arguments[values] = unique(identifier(wanted), taken | set(self.arguments.values()))
        return self.arguments[values]


def unify(classes: Iterable[EmittedClass]) -> list[EmittedClass]:
    """Join the classes that are equal but for constants and optional parts; every constructor call is rewritten.

    Args:
        classes: in the order of emission, children before the classes that hold them.
    """
    given = list(classes)
    pending, separable = _by_origin(given)
    done: list[EmittedClass] = []
    while pending:
        first = pending.pop(0)
        alike = [c for c in pending if _origin(c) == _origin(first)]
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
            joined = _join(_Family(sorted(members, key=lambda made: position[made.name])))
            if joined is not None:
                return joined
    return _join(_Family(families[0])) if len(families[0]) > 1 else None


def _with_optional_parts(
    families: Sequence[Sequence[EmittedClass]], done: Mapping[str, EmittedClass]
) -> Iterator[list[EmittedClass]]:
    """The members of the first family and of others, written in the form that serves them all; the largest first."""
    templates = [found for family in families if (found := template(family)) is not None]
    if not templates or templates[0].members[0] is not families[0][0]:
        return
    plain: list[Template] = []
    for found in templates:
        for number, known in enumerate(plain):
            joined = same_but_for_defaults(known, found)
            if joined is not None:
                plain[number] = joined
                break
        else:
            plain.append(found)
    # Where all of two families have too many sizes of their own for one class, the first may join with one alone.
    apart = [found for family in families[1:] for made in family if (found := template([made])) is not None]
    alone = template(families[0][:1]) if max(map(len, families)) > 1 else None
    pairs = [(plain[0], other) for other in plain[1:]] + [(alone, other) for other in apart if alone is not None]
    for first, other in pairs:
        joined = with_optional_parts(first, other, done)
        if joined is not None and _reads_better(joined, (first, other)):
            yield joined.written()
    if len(plain[0].members) > len(families[0]):
        yield plain[0].written()


def _reads_better(joined: Template, apart: Sequence[Template]) -> bool:
    heads = 3  # the lines of a class that hold no statement: its name and its two functions
    most = _SHORTER_BY_SETTING if joined.by_setting else _SHORTER
    return heads + joined.length <= most * sum(heads + template.length for template in apart)


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
    init = _TOKEN.sub(lambda m: "#" if m["constant"] else m[0], "\n".join(line.text for line in made.init))
    body = _TOKEN.sub(
        lambda m: "#" if m["constant"] and m["constant"] not in _TRUTH else m[0],
        "\n".join(line.text for line in made.body.lines),
    )
    return re.sub(r"\s+", " ", f"{init}\n{body}")


def _rewrite(made: EmittedClass, calls: Mapping[str, str]) -> EmittedClass:
    pattern = re.compile("|".join(rf"\b({re.escape(name)}){re.escape(_arguments(''))}" for name in calls))
    init = [replace(line, text=pattern.sub(lambda m: calls[m[m.lastindex or 0]], line.text)) for line in made.init]
    return replace(made, init=init)


def _arguments(given: str) -> str:
    """The parentheses of a constructor call."""
    return target().module_call("", given)


def _join(family: _Family) -> tuple[EmittedClass, dict[str, str]] | None:
    """The joined class, and the constructor call of every member by its old name; None: better kept apart."""
    first = family.members[0]
    attributes = set(re.findall(r"self\.(\w+)", "\n".join(line.text for line in first.init)))
    taken = {"self", "rngs"}
    columns = [[member.init[i].text for member in family.members] for i in range(len(first.init))]
    _name_arguments(family, columns, taken)
    init = [replace(first.init[i], text=_write(family, column, "")) for i, column in enumerate(columns)]
    explained = set(family.arguments)
    body_columns = [[m.body.lines[i].text for m in family.members] for i in range(len(first.body.lines))]
    for column in body_columns:
        for _, values in _varying(column):
            if _known(family, values) is None:
                family.name(values, "size", taken | attributes)
    if len(set(family.arguments) - explained) > _MOST_BODY_ARGUMENTS:
        return None
    lines = [
        replace(line, text=_write(family, column, "self."), comment=_comment(family, i))
        for i, (line, column) in enumerate(zip(first.body.lines, body_columns, strict=True))
    ]
    optional = {name for values, name in family.arguments.items() if ANY in values}
    if family.in_body & (attributes | optional):
        return None
    stored = [Line(f"self.{name} = {name}") for name in family.arguments.values() if name in family.in_body]
    order = _reading_order(family, init)
    arguments = tuple(f"{name}=None" if ANY in values else name for values, name in order)
    comments = {member.body.comment for member in family.members}
    body = Body(first.body.parameters, lines, comments.pop() if len(comments) == 1 else "")
    held = [line for line in init if line.text != "pass"]
    made = replace(first, init=[*stored, *held] or init, body=body, arguments=arguments)
    calls: dict[str, str] = {}
    for position, member in enumerate(family.members):
        given = [f"{name}={values[position]}" for values, name in order if values[position] != ANY]
        calls[member.name] = target().module_call(first.name, ", ".join(given))
    return made, calls


def _reading_order(family: _Family, init: Sequence[Line]) -> list[tuple[Values, str]]:
    """The arguments as the constructor reads them; flags and what has a default come last."""
    words = re.findall(r"\w+", "\n".join(line.text for line in init))
    places = {name: words.index(name) if name in words else len(words) for name in family.arguments.values()}

    def place(argument: tuple[Values, str]) -> tuple[bool, bool, int]:
        values, name = argument
        return ANY in values, set(values) <= set(_TRUTH), places[name]

    return sorted(family.arguments.items(), key=place)


def _comment(family: _Family, index: int) -> str:
    comments = {member.body.lines[index].comment for member in family.members}
    return comments.pop() if len(comments) == 1 else ""


def _varying(column: Sequence[str]) -> Iterator[tuple[int, Values]]:
    """(offset in the first text, texts in all members) of every constant that is not the same everywhere."""
    rows = [[m for m in _TOKEN.finditer(text) if m["constant"]] for text in column]
    for matches in zip(*rows, strict=True):
        values = tuple(m[0] for m in matches)
        if len(set(values)) > 1:  # also one value and members that do not have it
            yield matches[0].start(), values


def _name_arguments(family: _Family, columns: Sequence[Sequence[str]], taken: set[str]) -> None:
    wanted: dict[Values, list[str]] = {}
    for column in columns:
        contexts = _contexts(column[0])
        for offset, values in _varying(column):
            wanted.setdefault(values, []).append(contexts.get(offset, "size"))
    for values, names in sorted(wanted.items(), key=lambda item: _order(item[0])):
        if _known(family, values) is not None:
            continue
        family.name(values, "features" if len(set(names) & _WIDTHS) > 1 else names[0], taken)


def _order(values: Values) -> tuple[float, ...]:
    """What all members have comes first, and small numbers: a multiple is written in terms of what it is one of."""
    if set(values) <= set(_TRUTH):
        return (float("inf"),)
    return float(ANY in values), *(float(v) if re.fullmatch(r"[\d.e+-]+", v) else float("inf") for v in values)


def _contexts(text: str) -> dict[int, str]:
    """What the constants of a statement of `__init__` mean, by their offset."""
    found: dict[int, str] = {}
    statement = ast.parse(text).body[0]
    target = statement.targets[0] if isinstance(statement, ast.Assign) else None
    attribute = target.attr if isinstance(target, ast.Attribute) else "module"

    def mark(node: ast.AST, name: str) -> None:
        for part in ast.walk(node):
            if isinstance(part, ast.Constant):
                found[part.col_offset] = name

    value = statement.value if isinstance(statement, ast.Assign) else None
    flag = value.test if isinstance(value, ast.IfExp) else value
    if isinstance(flag, ast.Constant):
        mark(flag, attribute)
    for call in [node for node in ast.walk(statement) if isinstance(node, ast.Call)]:
        names = _POSITIONAL.get(ast.unparse(call.func), ())
        for position, argument in enumerate(call.args):
            if not any(isinstance(part, ast.Call) for part in ast.walk(argument)):
                mark(argument, names[position] if position < len(names) else f"{attribute}_size")
        for keyword in call.keywords:
            if not any(isinstance(part, ast.Call) for part in ast.walk(keyword.value)):
                mark(keyword.value, keyword.arg or "options")
    return found


def _known(family: _Family, values: Values, meaning: str = "") -> str | None:
    """The expression of a constant that needs no argument of its own; members that do not have it may take any.

    Args:
        family: with the arguments so far.
        values: the constant in all members.
        meaning: the name that an argument for it would have.
    """
    found = {value for value in values if value != ANY}
    if ANY not in values:
        return _multiple(family, values)
    alike = [name for name in family.arguments.values() if name == meaning or {name, meaning} <= _WIDTHS]
    fitting = [name for name in alike if _multiple(family, values, only=name) == name]
    if fitting:
        return fitting[0]
    return found.pop() if len(found) == 1 else _multiple(family, values)


def _multiple(family: _Family, values: Values, only: str = "") -> str | None:
    """`4 * features` if the values are the same multiple of a known argument, or of this one, in all members."""
    if values in family.arguments and only in ("", family.arguments[values]):
        return family.arguments[values]
    present = [position for position, value in enumerate(values) if value != ANY]
    for known, name in family.arguments.items():
        if ANY in known and all(v == str(k != ANY) for v, k in zip(values, known, strict=True)):
            return f"{name} is not None"
        pairs = [(values[position], known[position]) for position in present]
        if only not in ("", name) or any(k == ANY for _, k in pairs):
            continue
        if len(present) < len(values) and all(v == k for v, k in pairs):
            return name
        if not all(v.isdigit() and k.isdigit() and int(k) > 1 for v, k in pairs):
            continue
        ratios = {int(v) / int(k) for v, k in pairs}
        ratio = ratios.pop()
        if not ratios and ratio == int(ratio) and ratio >= 2:
            return f"{int(ratio)} * {name}"
    return None


def _write(family: _Family, column: Sequence[str], prefix: str) -> str:
    """The text of the first member with arguments in place of what varies."""
    text, shift = column[0], 0
    meanings = {} if prefix else _contexts(column[0])
    for offset, values in _varying(column):
        expression = _known(family, values, meanings.get(offset, "")) or family.arguments[values]
        name = expression.removesuffix(" is not None").rsplit(" ", 1)[-1]
        if prefix and name in family.arguments.values():
            family.in_body.add(name)
            expression = expression.replace(name, prefix + name)
        start = offset + shift
        text = text[:start] + expression + text[start + len(values[0]) :]
        shift += len(expression) - len(values[0])
    return text
