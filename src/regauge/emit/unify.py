"""Classes that differ in numbers only become one class with arguments, as the original had it.

The four stages of a residual network are four classes after emission, equal but for widths and strides. Here every
number that varies becomes an argument of the constructor; numbers that are a fixed multiple of another one are
written as that multiple (`4 * features`).
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.names import identifier, unique
from regauge.emit.target import target

_TOKEN = re.compile(
    r"""(?P<constant>"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?)|[A-Za-z_]\w*|\S""", re.X
)
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
    """Join the classes that are equal but for constants; every constructor call is rewritten.

    Args:
        classes: in the order of emission, children before the classes that hold them.
    """
    pending = list(classes)
    done: list[EmittedClass] = []
    while pending:
        first = pending.pop(0)
        family = _Family([first, *(c for c in pending if _is_like(first, c))])
        joined = _join(family) if len(family.members) > 1 else None
        if joined is None:
            done.append(first)
            continue
        made, calls = joined
        names = set(calls) - {first.name}
        pending = [_rewrite(c, calls) for c in pending if c.name not in names]
        done.append(made)
    return done


def _is_like(first: EmittedClass, other: EmittedClass) -> bool:
    same_origin = first.type == other.type and first.place == other.place
    return same_origin and first.body.parameters == other.body.parameters and _skeleton(first) == _skeleton(other)


def _skeleton(made: EmittedClass) -> str:
    text = "\n".join(line.text for line in (*made.init, *made.body.lines))
    return re.sub(r"\s+", " ", _TOKEN.sub(lambda m: "#" if m["constant"] else m[0], text))


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
            if _multiple(family, values) is None:
                family.name(values, "size", taken | attributes)
    if len(set(family.arguments) - explained) > _MOST_BODY_ARGUMENTS:
        return None
    lines = [
        replace(line, text=_write(family, column, "self."), comment=_comment(family, i))
        for i, (line, column) in enumerate(zip(first.body.lines, body_columns, strict=True))
    ]
    if family.in_body & attributes:
        return None
    stored = [Line(f"self.{name} = {name}") for name in family.arguments.values() if name in family.in_body]
    arguments = tuple(family.arguments.values())
    comments = {member.body.comment for member in family.members}
    body = Body(first.body.parameters, lines, comments.pop() if len(comments) == 1 else "")
    made = replace(first, init=[*stored, *init], body=body, arguments=arguments)
    calls: dict[str, str] = {}
    for position, member in enumerate(family.members):
        given = [f"{name}={values[position]}" for values, name in family.arguments.items()]
        calls[member.name] = target().module_call(first.name, ", ".join(given))
    return made, calls


def _comment(family: _Family, index: int) -> str:
    comments = {member.body.lines[index].comment for member in family.members}
    return comments.pop() if len(comments) == 1 else ""


def _varying(column: Sequence[str]) -> Iterator[tuple[int, Values]]:
    """(offset in the first text, texts in all members) of every constant that is not the same everywhere."""
    rows = [[m for m in _TOKEN.finditer(text) if m["constant"]] for text in column]
    for matches in zip(*rows, strict=True):
        values = tuple(m[0] for m in matches)
        if len(set(values)) > 1:
            yield matches[0].start(), values


def _name_arguments(family: _Family, columns: Sequence[Sequence[str]], taken: set[str]) -> None:
    wanted: dict[Values, list[str]] = {}
    for column in columns:
        contexts = _contexts(column[0])
        for offset, values in _varying(column):
            wanted.setdefault(values, []).append(contexts.get(offset, "size"))
    for values, names in sorted(wanted.items(), key=lambda item: _order(item[0])):
        if _multiple(family, values) is not None:
            continue
        widths = {"in_features", "out_features", "features", "in_channels", "out_channels"}
        family.name(values, "features" if len(set(names) & widths) > 1 else names[0], taken)


def _order(values: Values) -> tuple[float, ...]:
    """Small numbers first: a multiple is then written in terms of what it is a multiple of."""
    return tuple(float(v) if re.fullmatch(r"[\d.e+-]+", v) else float("inf") for v in values)


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

    for call in [node for node in ast.walk(statement) if isinstance(node, ast.Call)]:
        names = _POSITIONAL.get(ast.unparse(call.func), ())
        for position, argument in enumerate(call.args):
            if not any(isinstance(part, ast.Call) for part in ast.walk(argument)):
                mark(argument, names[position] if position < len(names) else f"{attribute}_size")
        for keyword in call.keywords:
            if not any(isinstance(part, ast.Call) for part in ast.walk(keyword.value)):
                mark(keyword.value, keyword.arg or "options")
    return found


def _multiple(family: _Family, values: Values) -> str | None:
    """`4 * features` if the values are the same multiple of a known argument in all members."""
    if values in family.arguments:
        return family.arguments[values]
    if not all(v.isdigit() for v in values):
        return None
    for known, name in family.arguments.items():
        if not all(k.isdigit() and int(k) > 1 for k in known):
            continue
        ratios = {int(v) / int(k) for v, k in zip(values, known, strict=True)}
        ratio = ratios.pop()
        if not ratios and ratio == int(ratio) and ratio >= 2:
            return f"{int(ratio)} * {name}"
    return None


def _write(family: _Family, column: Sequence[str], prefix: str) -> str:
    """The text of the first member with arguments in place of what varies."""
    text, shift = column[0], 0
    for offset, values in _varying(column):
        expression = _multiple(family, values) or family.arguments[values]
        name = expression.rsplit(" ", 1)[-1]
        if prefix:
            family.in_body.add(name)
            expression = expression.replace(name, prefix + name)
        start = offset + shift
        text = text[:start] + expression + text[start + len(values[0]) :]
        shift += len(expression) - len(values[0])
    return text
