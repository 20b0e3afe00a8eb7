"""Two syntax trees as one: what they have in common, and a choice where they differ."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeVar

from regauge.emit.layer_defaults import with_absent, with_defaults
from regauge.emit.templates import ANY, Column, column, column_values, columns

Tree = TypeVar("Tree", bound=ast.AST)
Choice = Callable[[ast.AST, ast.AST], ast.AST | None]


@dataclass(frozen=True)
class Meeting:
    """Makes one tree of two, of which each stands for classes that are equal but for constants.

    Attributes:
        ours, theirs: how many classes each stands for.
        parameters: of the calls of sub-modules, by how these are called (`norm`, `layer[0]`).
        optional: of the file's classes, the arguments of their constructors that are None without.
        bases: of those that extend a layer, the layer.
    """

    ours: int
    theirs: int
    parameters: Mapping[str, Sequence[str]] = field(default_factory=dict)
    optional: Mapping[str, frozenset[str]] = field(default_factory=dict)
    bases: Mapping[str, str] = field(default_factory=dict)

    def meet(self, mine: ast.AST, other: ast.AST, choice: Choice | None = None) -> ast.AST | None:
        """One tree for two; what differs is left to `choice`, and without one there is none."""
        if isinstance(mine, ast.Constant) and isinstance(other, ast.Constant):
            if isinstance(mine.value, Column) and isinstance(other.value, Column):
                return column((*mine.value.texts, *other.value.texts))
            same = type(mine.value) is type(other.value) and mine.value == other.value
            return mine if same else None
        if type(mine) is type(other):
            joined = self._same_kind(mine, other, choice)
            if joined is not None:
                return joined
        joined = self._with_part(mine, other, choice)
        if joined is not None:
            return joined
        return choice(mine, other) if choice is not None else None

    def _with_part(self, mine: ast.AST, other: ast.AST, choice: Choice | None) -> ast.AST | None:
        """`x if self.part is None else self.part(x)` for that and `self.part(x)`, which has the part."""
        for optional, plain, only in ((mine, other, self.only_ours), (other, mine, self.only_theirs)):
            if not isinstance(optional, ast.IfExp) or not hasattr(optional, "optional") or isinstance(plain, ast.IfExp):
                continue
            match optional.test:
                case ast.Compare(left=ast.Attribute(value=ast.Name(id="self"), attr=part), ops=[ast.Is()]):
                    ours, theirs = (optional.orelse, plain) if optional is mine else (plain, optional.orelse)
                    calls = any(isinstance(n, ast.Attribute) and n.attr == part for n in ast.walk(plain))
                    joined = self.meet(ours, theirs, choice) if calls else None
                    if isinstance(joined, ast.expr):
                        made = ast.IfExp(optional.test, only(optional.body), joined)
                        made.optional = True  # type: ignore[attr-defined]
                        return made
        return None

    def _same_kind(self, mine: ast.AST, other: ast.AST, choice: Choice | None) -> ast.AST | None:
        if isinstance(mine, ast.Call) and isinstance(other, ast.Call):
            calls = self._with_arguments(mine, other)
            if calls is None:
                return None
            mine, other = calls
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
                    part = self.meet(a, b, choice)
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
        if hasattr(mine, "left_out") or hasattr(other, "left_out"):
            made.left_out = True  # type: ignore[attr-defined]
        return made

    def _with_arguments(self, mine: ast.Call, other: ast.Call) -> tuple[ast.Call, ast.Call] | None:
        """Two calls with the same arguments, where defaults say what the one leaves out."""
        taken = self.parameters.get(_called(mine.func), ())
        if taken and _called(mine.func) == _called(other.func):
            return _passed(mine, other, taken), _passed(other, mine, taken)
        name = ast.unparse(mine.func)
        known = self.optional.get(name, frozenset())
        keywords = (
            with_absent(mine, other, known, self.ours, self.theirs)
            if known
            else with_defaults(mine, other, self.bases.get(name, name), self.ours, self.theirs)
        )
        if keywords is None:
            return None
        return ast.Call(mine.func, mine.args, keywords[0]), ast.Call(other.func, other.args, keywords[1])

    def only_ours(self, tree: Tree) -> Tree:
        return _widened(tree, 0, self.theirs)

    def only_theirs(self, tree: Tree) -> Tree:
        return _widened(tree, self.ours, 0)


def _called(function: ast.expr) -> str:
    """`norm` of `self.norm` and `layer[0]` of `self.layer[0]`, where the number is the same in all classes."""
    number = ""
    if isinstance(function, ast.Subscript) and isinstance(function.slice, ast.Constant):
        texts = {text for found in column_values(function.slice) for text in found.texts}
        number, function = f"[{texts.pop()}]" if len(texts) == 1 else "", function.value
        if not number:
            return ""
    if isinstance(function, ast.Attribute) and isinstance(function.value, ast.Name) and function.value.id == "self":
        return function.attr + number
    return ""


def _passed(call: ast.Call, like: ast.Call, parameters: Sequence[str]) -> ast.Call:
    """A call with the variables that another one passes besides, where the parameters are None without."""
    place = parameters.index("*") if "*" in parameters else len(parameters)
    arguments, keywords = list(call.args), list(call.keywords)
    for position, argument in enumerate(like.args):
        if len(arguments) == position < place and parameters[position].endswith("=None"):
            arguments += [_left_out(argument)] if isinstance(argument, ast.Name) else []
    given = {keyword.arg for keyword in keywords}
    for keyword in like.keywords:
        is_absent = keyword.arg not in given and f"{keyword.arg}=None" in parameters
        if is_absent and isinstance(keyword.value, ast.Name):
            keywords.append(ast.keyword(keyword.arg, _left_out(keyword.value)))
    order = {name.removesuffix("=None"): place for place, name in enumerate(parameters)}
    return ast.Call(
        call.func, arguments, sorted(keywords, key=lambda keyword: order.get(keyword.arg or "", len(order)))
    )


def _left_out(name: ast.Name) -> ast.Name:
    made = ast.Name(name.id, ast.Load())
    made.left_out = True  # type: ignore[attr-defined]
    return made


def _widened(tree: Tree, before: int, after: int) -> Tree:
    """A tree of some members among others that do not have it."""
    made = copy.deepcopy(tree)
    for constant in columns(made):
        texts = constant.value.texts  # type: ignore[union-attr]
        constant.value = Column((*[ANY] * before, *texts, *[ANY] * after))  # type: ignore[assignment]
    return made
