"""What is optional in classes that differ in parts, and how their code asks whether it is there."""

from __future__ import annotations

import ast
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from regauge.emit.names import identifier, unique
from regauge.emit.templates import Statement, Template


@dataclass(frozen=True)
class Condition:
    """How a body asks for what is optional.

    Attributes:
        attribute: the sub-module that is None without it, or the stored flag; empty for an argument.
        parameter: the argument that is None without it.
        is_flag: whether the attribute is true or false.
    """

    attribute: str = ""
    parameter: str = ""
    is_flag: bool = False

    def given(self) -> ast.expr:
        """The test for a whole statement."""
        return self._value() if self.is_flag else ast.Compare(self._value(), [ast.IsNot()], [ast.Constant(None)])

    def choice(self, without: ast.expr, with_it: ast.expr) -> ast.IfExp:
        """One of two expressions."""
        if self.is_flag:
            return ast.IfExp(self._value(), with_it, without)
        return ast.IfExp(ast.Compare(self._value(), [ast.Is()], [ast.Constant(None)]), without, with_it)

    def _value(self) -> ast.expr:
        if self.parameter:
            return ast.Name(self.parameter, ast.Load())
        return ast.Attribute(ast.Name("self", ast.Load()), self.attribute, ast.Load())


def joined_parameters(first: Sequence[str], second: Sequence[str]) -> list[str] | None:
    """Arguments that only one call takes are optional, if they stand behind the others."""
    short, long = sorted((list(first), list(second)), key=len)
    if long[: len(short)] != short or any("=" in name or "*" in name for name in long):
        return None
    return [*short, *(f"{name}=None" for name in long[len(short) :])]


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
    modules = [name for name in held if name in more and isinstance(held[name], ast.Call)]
    if len(modules) < len(more):
        return  # a mode or a number: no part
    if modules:
        yield Condition(attribute=modules[0])
        return
    extra = large.parameters[len(small.parameters) :]
    if extra and extra[0] not in names(small.body, ast.Store, ast.Load):
        yield Condition(parameter=extra[0])
        return
    for name in dict.fromkeys(_operators(small, large)):
        yield Condition(attribute=unique(identifier(name), set(held)), is_flag=True)


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
