"""Expressions that ask for values, as expressions that take tensors too; what `capture.branch_source` makes of them."""

from __future__ import annotations

import ast
import copy
from collections.abc import Callable
from typing import Protocol

from regauge.capture.branch_syntax import helper, is_helper, parameters

Make = Callable[[ast.expr], ast.expr]


class Rewriting(Protocol):
    """The function whose expressions are rewritten."""

    def is_asked(self, test: ast.expr) -> bool: ...
    def name(self, stem: str) -> str: ...
    def condition(self, test: ast.expr) -> ast.expr: ...
    def or_plain(self, operand: ast.expr, for_value: Make, otherwise: Make) -> ast.expr: ...


class Expressions(ast.NodeTransformer):
    """``a if condition else b`` on the lines that are asked for."""

    def __init__(self, rewriting: Rewriting) -> None:
        self.rewriting = rewriting

    def visit_IfExp(self, node: ast.IfExp) -> ast.AST:
        self.generic_visit(node)
        if not self.rewriting.is_asked(node.test) or is_helper(node.test):
            return node
        name = self.rewriting.name("value")
        asked = helper("counted", self.rewriting.condition(node.test))
        held = ast.NamedExpr(ast.Name(name, ast.Store()), asked)
        ways = [ast.Lambda(parameters([]), way) for way in (node.body, node.orelse)]
        scope = ast.Call(ast.Name("locals", ast.Load()), [], [])
        chosen = helper("chosen", ast.Name(name, ast.Load()), *ways, scope)
        plain = ast.IfExp(ast.Name(name, ast.Load()), copy.deepcopy(node.body), copy.deepcopy(node.orelse))
        return ast.copy_location(ast.IfExp(helper("is_value", held), chosen, plain), node)


class NumbersAsTensors(ast.NodeTransformer):
    """``float(x)``, ``int(x)``, ``bool(x)`` and ``len(x)`` in a condition, of what may be a tensor."""

    def __init__(self, rewriting: Rewriting) -> None:
        self.rewriting = rewriting

    def visit_Call(self, node: ast.Call) -> ast.AST:
        self.generic_visit(node)
        match node:
            case ast.Call(ast.Name("bool" | "float" | "int") as kind, [argument], []):
                return self.rewriting.or_plain(
                    argument, lambda held: helper("number", kind, held), lambda held: ast.Call(kind, [held], [])
                )
            case ast.Call(ast.Name("len"), [argument], []):
                return ast.copy_location(helper("length", argument), node)
        return node


def places(iterated: ast.expr) -> ast.expr:
    """What a loop runs over, with the truth of each item; ``hit.tolist()`` is asked for numbers."""
    match iterated:
        case ast.Call(ast.Attribute(tensor, "tolist"), [], []):
            return helper("places", tensor, ast.Constant(True))
    return helper("places", iterated)
