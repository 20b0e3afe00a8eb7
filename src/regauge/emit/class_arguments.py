"""Classes of the same code as one class with arguments for the constants that differ."""

from __future__ import annotations

import ast
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from types import MappingProxyType

from regauge.emit.files import EmittedClass
from regauge.emit.lines import Body, Line
from regauge.emit.names import identifier, unique
from regauge.emit.target import target
from regauge.emit.templates import ANY, LEFT_OUT

CONSTANT_TOKEN = re.compile(
    r"""(?P<constant>(?<![\w.])(?:True|False)\b|"(?:[^"\\]|\\.)*"|'(?:[^'\\]|\\.)*'|(?<![\w.])\d+(?:\.\d*)?(?:e[+-]?\d+)?)|[A-Za-z_]\w*|\S""",
    re.X,
)
_VALUE_TOKEN = re.compile(rf"(?P<none>\b{LEFT_OUT}\b)|{CONSTANT_TOKEN.pattern}", re.X)
_ABSENT = (ANY, LEFT_OUT)
TRUTH = ("True", "False")  # in a body they belong to the code
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

_UNNAMED: dict[type, str] = {int: "size", float: "factor", str: "mode", bool: "flag"}
_SIDES = frozenset({"in_features", "out_features", "in_channels", "out_channels"})
_WIDTHS = _SIDES | {"features"}

Values = tuple[str, ...]  # the texts of one constant in all members of a family


# The shapes of the arguments of a call in all members of a family; None where one does not have the argument.
Shapes = Mapping[str, tuple[tuple[int | None, ...] | None, ...]]


@dataclass
class Family:
    """Classes of one skeleton, with the arguments that tell them apart.

    `bases` are the layers that classes of the file extend, by the name of the class.
    """

    members: list[EmittedClass]
    bases: Mapping[str, str] = field(default_factory=dict)
    arguments: dict[Values, str] = field(default_factory=dict)
    in_body: set[str] = field(default_factory=set)

    def name(self, values: Values, wanted: str, taken: set[str]) -> str:
        if values not in self.arguments:
            if wanted.endswith("size") or wanted in _UNNAMED.values():
                wanted = self._original_name(values) or wanted
            self.arguments[values] = unique(identifier(wanted), taken | set(self.arguments.values()))
        return self.arguments[values]

    def _original_name(self, values: Values) -> str | None:
        """The attribute of the original that has these values in all members, where it has one."""
        wanted = [None if value in _ABSENT else ast.literal_eval(value) for value in values]
        for name in self.members[0].values:
            held = [member.values.get(name) for member in self.members]
            pairs = [(a, b) for a, b in zip(wanted, held, strict=True) if a is not None]
            if all(type(a) is type(b) and a == b for a, b in pairs):
                return name
        return None


def joined_class(family: Family) -> tuple[EmittedClass, dict[str, str]] | None:
    """The joined class, and the constructor call of every member by its old name; None: better kept apart."""
    first = family.members[0]
    attributes = set(re.findall(r"self\.(\w+)", "\n".join(line.text for line in first.init)))
    taken = {"self", "rngs", *target().reserved}
    columns = [[member.init[i].text for member in family.members] for i in range(len(first.init))]
    _name_arguments(family, columns, taken)
    init = [replace(first.init[i], text=_write(family, column, "")) for i, column in enumerate(columns)]
    explained = set(family.arguments)
    shapes_at = _shapes_at(family)
    body_columns = [[m.body.lines[i].text for m in family.members] for i in range(len(first.body.lines))]
    for column, shapes in zip(body_columns, shapes_at, strict=True):
        for _, values in _varying(column):
            if _known(family, values) is None and _size_of_argument(values, shapes) is None:
                family.name(values, _unnamed(values), taken | attributes)
    if len(set(family.arguments) - explained) > _MOST_BODY_ARGUMENTS:
        return None
    lines = [
        replace(line, text=_write(family, column, "self.", shapes), comment=_comment(family, i))
        for i, (line, column, shapes) in enumerate(zip(first.body.lines, body_columns, shapes_at, strict=True))
    ]
    optional = {name for values, name in family.arguments.items() if set(_ABSENT) & set(values)}
    if family.in_body & (attributes | optional):
        return None
    stored = [Line(f"self.{name} = {name}") for name in family.arguments.values() if name in family.in_body]
    order = _reading_order(family, init)
    arguments = tuple(f"{name}=None" if name in optional else name for _, name in order)
    comments = {member.body.comment for member in family.members}
    body = Body(first.body.parameters, lines, comments.pop() if len(comments) == 1 else "")
    held = [line for line in init if line.text != "pass"]
    made = replace(first, init=[*stored, *held] or init, body=body, arguments=arguments)
    calls: dict[str, str] = {}
    for position, member in enumerate(family.members):
        given = [f"{name}={values[position]}" for values, name in order if values[position] not in _ABSENT]
        calls[member.name] = target().module_call(first.name, ", ".join(given))
    return made, calls


def _unnamed(values: Values) -> str:
    """The name of a constant of which nothing but its type is known."""
    return _UNNAMED[next(type(ast.literal_eval(value)) for value in values if value not in _ABSENT)]


def _shapes_at(family: Family) -> list[Shapes]:
    """The shapes of the call's arguments in all members, where a line of the body still reads the arguments."""
    first = family.members[0]
    names = [parameter.partition("=")[0] for parameter in first.body.parameters]
    tree = ast.parse("\n".join(line.text for line in first.body.lines))
    repeats = any(isinstance(node, ast.For | ast.While | ast.FunctionDef) for node in ast.walk(tree))
    stored: dict[str, int] = {}  # the line in which a name first gets another value
    for node in ast.walk(tree):
        if isinstance(node, ast.arg):  # of a function inside, which hides it
            stored[node.arg] = 0
        elif isinstance(node, ast.comprehension):
            stored |= {part.id: 0 for part in ast.walk(node.target) if isinstance(part, ast.Name)}
        elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            stored[node.id] = min(0 if repeats else node.lineno, stored.get(node.id, node.lineno))
    shapes = {name: tuple(member.shapes.get(name) for member in family.members) for name in names}
    lines = range(1, len(first.body.lines) + 1)
    return [{name: found for name, found in shapes.items() if line <= stored.get(name, line)} for line in lines]


def _size_of_argument(values: Values, shapes: Shapes) -> str | None:
    """`attention_mask.shape[0]`, where a constant is that size in all members that have it."""
    for name, found in shapes.items():
        present = [(value, shape) for value, shape in zip(values, found, strict=True) if value != ANY]
        for axis in range(min((len(shape) if shape is not None else 0 for _, shape in present), default=0)):
            if all(shape is not None and value == str(shape[axis]) for value, shape in present):
                return f"{name}.shape[{axis}]"
    return None


def _reading_order(family: Family, init: Sequence[Line]) -> list[tuple[Values, str]]:
    """The arguments as the constructor reads them; flags and what has a default come last."""
    words = re.findall(r"\w+", "\n".join(line.text for line in init))
    places = {name: words.index(name) if name in words else len(words) for name in family.arguments.values()}

    def place(argument: tuple[Values, str]) -> tuple[bool, bool, int]:
        values, name = argument
        return bool(set(_ABSENT) & set(values)), set(values) <= set(TRUTH), places[name]

    return sorted(family.arguments.items(), key=place)


def _comment(family: Family, index: int) -> str:
    comments = {member.body.lines[index].comment for member in family.members}
    return comments.pop() if len(comments) == 1 else ""


def _varying(column: Sequence[str]) -> Iterator[tuple[int, Values]]:
    """(offset in the first text, texts in all members) of every constant that is not the same everywhere."""
    rows = [[m for m in _VALUE_TOKEN.finditer(text) if m["constant"] or m["none"]] for text in column]
    for matches in zip(*rows, strict=True):
        values = tuple(m[0] for m in matches)
        if len(set(values)) > 1:  # also one value and members that do not have it
            yield matches[0].start(), values


def _name_arguments(family: Family, columns: Sequence[Sequence[str]], taken: set[str]) -> None:
    wanted: dict[Values, list[str]] = {}
    for column in columns:
        contexts = _contexts(column[0], family.bases)
        for offset, values in _varying(column):
            wanted.setdefault(values, []).append(contexts.get(offset, "size"))
    for values, names in sorted(wanted.items(), key=lambda item: _order(item[0])):
        if _known(family, values) is not None:
            continue
        family.name(values, _meaning(names, set(family.arguments.values())), taken)


def _meaning(names: Sequence[str], used: Collection[str]) -> str:
    """What a constant is called that has these meanings, one at each place where it stands."""
    widths = set(names) & _WIDTHS
    if len(widths) < 2:
        return names[0]
    return next(name for name in names if name in _SIDES) if "features" in used else "features"


def _order(values: Values) -> tuple[float, ...]:
    """What all members have comes first, and small numbers: a multiple is written in terms of what it is one of."""
    if set(values) <= set(TRUTH):
        return (float("inf"),)
    return float(ANY in values), *(float(v) if re.fullmatch(r"[\d.e+-]+", v) else float("inf") for v in values)


def _contexts(text: str, bases: Mapping[str, str]) -> dict[int, str]:
    """What the constants of a statement of `__init__` mean, by their offset; `bases` as `Family` has them."""
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
        function = ast.unparse(call.func)
        names = _POSITIONAL.get(bases.get(function, function), ())
        for position, argument in enumerate(call.args):
            if not any(isinstance(part, ast.Call) for part in ast.walk(argument)):
                mark(argument, names[position] if position < len(names) else f"{attribute}_size")
        for keyword in call.keywords:
            if not any(isinstance(part, ast.Call) for part in ast.walk(keyword.value)):
                mark(keyword.value, keyword.arg or "options")
    return found


def _known(family: Family, values: Values, meaning: str = "") -> str | None:
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


def _multiple(family: Family, values: Values, only: str = "") -> str | None:
    """`4 * features` if the values are the same multiple of a known argument, or of this one, in all members."""
    if values in family.arguments and only in ("", family.arguments[values]):
        return family.arguments[values]
    present = [position for position, value in enumerate(values) if value != ANY]
    for known, name in family.arguments.items():
        if set(_ABSENT) & set(known) and all(v == str(k not in _ABSENT) for v, k in zip(values, known, strict=True)):
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


def _write(family: Family, column: Sequence[str], prefix: str, shapes: Shapes = MappingProxyType({})) -> str:
    """The text of the first member with arguments, or sizes of what the call gets, in place of what varies."""
    text, shift = column[0], 0
    meanings = {} if prefix else _contexts(column[0], family.bases)
    for offset, values in _varying(column):
        known = _known(family, values, meanings.get(offset, "")) or _size_of_argument(values, shapes)
        expression = known or family.arguments[values]
        name = expression.removesuffix(" is not None").rsplit(" ", 1)[-1]
        if prefix and name in family.arguments.values():
            family.in_body.add(name)
            expression = expression.replace(name, prefix + name)
        start = offset + shift
        text = text[:start] + expression + text[start + len(values[0]) :]
        shift += len(expression) - len(values[0])
    return text
