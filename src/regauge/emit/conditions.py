"""What is optional in classes that differ in parts, and how their code asks whether it is there."""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

from regauge.emit.names import identifier, unique
from regauge.emit.target import target
from regauge.emit.templates import Statement, Template


@dataclass(frozen=True)
class Block:
    """Statements behind a condition, and the (comment, line of the original) of their lines."""

    trees: list[ast.stmt]
    notes: list[tuple[str, str]]


@dataclass(frozen=True)
class Condition:
    """How a body asks for what is optional.

    Attributes:
        attribute: the sub-module that is None without it, or the stored flag; empty for an argument.
        parameter: the argument that is None without it.
        is_flag: whether the attribute is true or false.
        settings: values of the original's own attribute that decided, in the classes without the parts and then in
            those with them; empty where nothing of the original says what decided. With it both ways may have parts.
        is_without: whether the setting is true where the parts are not.
        equals: the value that the setting has where the parts are; empty where it is true or false.
        is_made: whether the parts make the argument where it was not passed.
    """

    attribute: str = ""
    parameter: str = ""
    is_flag: bool = False
    settings: tuple[str, ...] = ()
    is_without: bool = False
    equals: str = ""
    is_made: bool = False

    def statement(self, with_it: Block, without: Block) -> tuple[ast.If, list[tuple[str, str]]]:
        """`if self.shortcut is not None:`, and the notes of its lines; its own lines are of no line of the original."""
        asks = ast.Is() if self.is_made else ast.IsNot()
        test = self._value() if self.is_flag else ast.Compare(self._value(), [asks], [ast.Constant(None)])
        then, otherwise = (without, with_it) if self.is_without else (with_it, without)
        if not then.trees:
            test, then, otherwise = ast.UnaryOp(ast.Not(), test), otherwise, then
        between = [("", "")] if otherwise.trees else []
        return ast.If(test, then.trees, otherwise.trees), [("", ""), *then.notes, *between, *otherwise.notes]

    def choice(self, without: ast.expr, with_it: ast.expr) -> ast.IfExp:
        """One of two expressions."""
        if self.is_flag:
            return ast.IfExp(self._value(), *((without, with_it) if self.is_without else (with_it, without)))
        return ast.IfExp(ast.Compare(self._value(), [ast.Is()], [ast.Constant(None)]), without, with_it)

    def _value(self) -> ast.expr:
        if self.parameter:
            return ast.Name(self.parameter, ast.Load())
        value = ast.Attribute(ast.Name("self", ast.Load()), self.attribute, ast.Load())
        return ast.Compare(value, [ast.Eq()], [ast.parse(self.equals, mode="eval").body]) if self.equals else value


def attributes(template: Template) -> dict[str, ast.expr]:
    """What a constructor stores, by attribute; empty where it does anything else."""
    found: dict[str, ast.expr] = {}
    for statement in template.init:
        tree = statement.tree
        if isinstance(tree, ast.Pass):
            continue
        target = tree.targets[0] if isinstance(tree, ast.Assign) else None
        if not isinstance(target, ast.Attribute) or not isinstance(tree, ast.Assign):
            return {}
        found[target.attr] = tree.value
    return found


def conditions(small: Template, large: Template, more: set[str]) -> Iterator[Condition]:
    """What may say that the parts are there, in order of preference."""
    held = attributes(large)
    for name in small.parameters:
        if name not in large.parameters and name.isidentifier():
            yield Condition(parameter=name, is_made=True)
    more = more - {name for name in more if _is_setting(held[name], name, small)}
    modules = [name for name in held if name in more and isinstance(held[name], ast.Call)]
    if len(modules) < len(more):
        return  # a mode or a number: no part
    extra = [name for name in large.parameters if name not in small.parameters and name.isidentifier()]
    if modules:
        yield Condition(attribute=modules[0])
    by_argument = bool(extra) and extra[0] not in names(small.body, ast.Store, ast.Load)
    if by_argument and not modules:
        yield Condition(parameter=extra[0])
    yield from _settings(small, large, set(held))
    if not modules and not by_argument:
        for name in dict.fromkeys(_operators(small, large)):
            yield Condition(attribute=unique(identifier(name), set(held)), is_flag=True)


def _is_setting(stored: ast.expr, name: str, small: Template) -> bool:
    """Whether a constructor stores an attribute of the original, which all other classes have too."""
    return isinstance(stored, ast.Constant) and all(name in member.settings for member in small.members)


def _settings(small: Template, large: Template, taken: set[str]) -> Iterator[Condition]:
    """The attributes of the original by which its code chooses, and which have other values in the two templates.

    What is true in the one and false in the other comes first.
    """
    equal: list[Condition] = []
    for name in large.members[0].settings:
        ours, theirs = ([made.settings.get(name) for made in side.members] for side in (small, large))
        values = (*ours, *theirs)
        if any(value is None for value in values):
            continue
        found = Condition(
            unique(identifier(name), taken | target().reserved), is_flag=True, settings=tuple(map(repr, values))
        )
        if len({type(value) for value in values}) > 1:
            continue
        if all(theirs) and not any(ours):
            yield found
        elif all(ours) and not any(theirs):
            yield replace(found, is_without=True)
        elif len(set(theirs)) == 1 and theirs[0] not in ours:
            equal.append(replace(found, equals=repr(theirs[0])))
    yield from equal


def with_names_of_passed(small: Template, large: Template) -> list[Statement]:
    """The larger body, in which what it makes and returns is called as what the smaller one is passed and returns."""
    ours, theirs = _returned(small), _returned(large)
    inner = {n.arg for statement in large.body for n in ast.walk(statement.tree) if isinstance(n, ast.arg)}
    taken = names(large.body, ast.Store, ast.Load) | set(large.parameters) | inner
    if len(ours) != len(theirs):
        return large.body
    renamed = {
        made: passed
        for passed, made in zip(ours, theirs, strict=True)
        if passed in small.parameters and passed not in taken and made not in {"", *large.parameters, *inner}
    }
    if len(set(renamed.values())) < len(renamed):
        return large.body
    found = copy.deepcopy(large.body)
    for statement in found if renamed else ():
        for node in ast.walk(statement.tree):
            if isinstance(node, ast.Name):
                node.id = renamed.get(node.id, node.id)
    return found


def _returned(template: Template) -> list[str]:
    """The names of what a body returns; empty texts for what has none."""
    tree = template.body[-1].tree if template.body else None
    value = tree.value if isinstance(tree, ast.Return) else None
    parts = value.elts if isinstance(value, ast.Tuple) else [value]
    return [part.id if isinstance(part, ast.Name) else "" for part in parts]


def _operators(small: Template, large: Template) -> Iterator[str]:
    """Names for what the calls of one class compute more than those of the other."""
    known = {ast.unparse(node) for statement in small.body for node in ast.walk(statement.tree)}
    adds = _sums(large) > _sums(small)
    for statement in large.body:
        for node in ast.walk(statement.tree):
            if not isinstance(node, ast.Call | ast.BinOp) or ast.unparse(node) in known:
                continue
            if isinstance(node, ast.BinOp):
                if isinstance(node.op, ast.Add) and adds:
                    yield "residual"
            elif isinstance(node.func, ast.Attribute | ast.Name) and ast.unparse(node.func) not in known:
                yield node.func.attr if isinstance(node.func, ast.Attribute) else node.func.id


def _sums(template: Template) -> int:
    """How often the call adds."""
    return sum(isinstance(node, ast.Add) for statement in template.body for node in ast.walk(statement.tree))


def names(statements: Sequence[Statement], *contexts: type[ast.expr_context]) -> set[str]:
    """The names that statements read (`ast.Load`) or give a value (`ast.Store`)."""
    nodes = [node for statement in statements for node in ast.walk(statement.tree)]
    return {node.id for node in nodes if isinstance(node, ast.Name) and isinstance(node.ctx, contexts)}
