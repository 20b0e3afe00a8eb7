"""One operator as an expression: indexing syntax, or its rule evaluated partially for the node's arguments."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from regauge.emit.arguments import ArrayArgument, DTypeArgument, ModuleArgument
from regauge.emit.literals import dtype_expression, literal
from regauge.emit.names import unique
from regauge.emit.partial import Residual, specialise
from regauge.emit.target import target
from regauge.ir.graph import DType, Node, Operand, Ref, TensorSpec
from regauge.lower.plan import node_arguments
from regauge.lower.promotion import casts
from regauge.rules.table import Rule

# Arguments of torch that say where or how memory is laid out; they mean nothing in JAX and are not written.
IGNORED_ARGUMENTS = frozenset({"layout", "device", "pin_memory", "memory_format", "non_blocking", "cudnn_enabled"})


@dataclass
class Written:
    """An operator as source: assignments that must stand before it, and its expression."""

    statements: list[ast.stmt]
    expression: ast.expr


NAME = "NAME__"  # in the text of a function, where its name stands


@dataclass
class Helpers:
    """Functions that the emitted files need in `ops.py`, by name, in the order of their first use."""

    functions: dict[str, Callable[..., Any]] = field(default_factory=dict)
    written: dict[str, str] = field(default_factory=dict)  # text by name, with `NAME` in its place

    def write(self, wanted: str, text: str) -> str:
        """Take a function that emission wrote, with `NAME` for its name; gives the name that it gets."""
        taken = {name for name, known in self.written.items() if known != text} | set(self.functions)
        name = unique(wanted, taken)
        self.written[name] = text
        return name

    def add(self, fn: Callable[..., Any]) -> None:
        known = self.functions.setdefault(fn.__name__, fn)
        if known is not fn:
            self.functions[f"{fn.__module__.rsplit('.', 1)[-1]}_{fn.__name__}"] = fn


def write_node(
    node: Node,
    rule: Rule,
    specs: Mapping[str, TensorSpec],
    use: Callable[[Ref], ast.expr],
    extras: Mapping[str, ast.expr],
    helpers: Helpers,
) -> Written:
    """The source of one operator.

    Args:
        node: the operator.
        rule: its rule.
        specs: spec of every value by name.
        use: the expression of a value, called once for every use that is printed.
        extras: expressions for arguments that torch does not have (dropout modules, random keys).
        helpers: receives the functions that stay calls.
    """
    first = node.arguments[0][1] if node.arguments else None
    spec = specs.get(first.name) if isinstance(first, Ref) else None
    indexed = target().indexing(node, spec, use)
    if indexed is not None:
        return Written([], target().simplify(indexed))
    arguments = _arguments(node, rule, specs, use, extras)
    residual = specialise(rule.fn, arguments, target().dtype)
    if residual is None:
        helpers.add(rule.fn)
        residual = Residual([], _helper_call(rule.fn, arguments))
    for name in residual.helpers:
        helpers.add(rule.fn.__globals__[name])
    qualify = _Qualify(residual.helpers)
    statements = [qualify.visit(statement) for statement in residual.statements]
    for statement in statements:
        if isinstance(statement, ast.Assign):
            statement.value = target().simplify(statement.value)
    return Written(statements, target().simplify(qualify.visit(residual.expression)))


def times_written(node: Node, rule: Rule, specs: Mapping[str, TensorSpec], operand: str) -> int:
    """How often the source of an operator reads one of its operands."""

    def use(ref: Ref) -> ast.expr:
        return ast.Name("probe__" if ref.name == operand else "other__", ast.Load())

    probe = write_node(node, rule, specs, use, {}, Helpers())
    trees: list[ast.AST] = [probe.expression, *probe.statements]
    return sum(isinstance(n, ast.Name) and n.id == "probe__" for tree in trees for n in ast.walk(tree))


def write_call(
    node: Node, rule: Rule, specs: Mapping[str, TensorSpec], use: Callable[[Ref], ast.expr], helpers: Helpers
) -> ast.expr:
    """The source of one operator as a call of its rule in ops.py, where no statement can stand before it."""
    helpers.add(rule.fn)
    return _helper_call(rule.fn, _arguments(node, rule, specs, use, {}))


def _arguments(
    node: Node,
    rule: Rule,
    specs: Mapping[str, TensorSpec],
    use: Callable[[Ref], ast.expr],
    extras: Mapping[str, ast.expr],
) -> dict[str, Any]:
    needed = casts(rule, node_arguments(node, specs))
    arguments: dict[str, Any] = {}
    for name, operand in node.arguments:
        arguments[name] = _argument(operand, needed.get(name), specs, use)
    known = inspect.signature(rule.fn).parameters
    for name, expression in extras.items():
        if name in known:
            arguments[name] = ModuleArgument(expression)
    for name, parameter in inspect.signature(rule.fn).parameters.items():
        if name not in arguments:
            arguments[name] = parameter.default
    return arguments


class _Qualify(ast.NodeTransformer):
    """Calls of functions that travel to ops.py are written `ops.name(...)`."""

    def __init__(self, names: set[str]) -> None:
        self.names = names

    def visit_Call(self, node: ast.Call) -> ast.expr:
        self.generic_visit(node)
        if isinstance(node.func, ast.Name) and node.func.id in self.names:
            node.func = ast.Attribute(ast.Name("ops", ast.Load()), node.func.id, ast.Load())
        return node


def _argument(
    operand: Operand, cast: str | None, specs: Mapping[str, TensorSpec], use: Callable[[Ref], ast.expr]
) -> Any:
    if isinstance(operand, Ref):
        spec = specs[operand.name]
        expression = use(operand)
        if cast is not None and spec.dtype != cast:
            expression = cast_expression(expression, cast)
            spec = TensorSpec(spec.shape, cast)
        return ArrayArgument(expression, spec)
    if isinstance(operand, DType):
        return DTypeArgument(target().dtype_argument(operand.name), ast.unparse(dtype_expression(operand.name)))
    if isinstance(operand, tuple):
        return tuple(_argument(item, cast, specs, use) for item in operand)
    return operand


def cast_expression(expression: ast.expr, dtype: str) -> ast.expr:
    """`expression.astype(dtype)`, as the framework writes it."""
    return target().cast(expression, dtype)


def _helper_call(fn: Callable[..., Any], arguments: Mapping[str, Any]) -> ast.expr:
    """`ops.fn(x, stride=(2, 2))`: arrays by position as far as possible, everything at its default left out."""
    positional: list[ast.expr] = []
    keywords: list[ast.keyword] = []
    by_position = True
    for name, parameter in inspect.signature(fn).parameters.items():
        value = arguments[name]
        is_default = not isinstance(value, ArrayArgument | ModuleArgument | DTypeArgument) and _equal(
            value, parameter.default
        )
        if is_default or (name in IGNORED_ARGUMENTS and not isinstance(value, ModuleArgument)):
            by_position = False
        elif by_position and parameter.kind is not inspect.Parameter.KEYWORD_ONLY and _holds_array(value):
            positional.append(literal(value))
        else:
            by_position = False
            keywords.append(ast.keyword(name, literal(value)))
    return ast.Call(ast.Attribute(ast.Name("ops", ast.Load()), fn.__name__, ast.Load()), positional, keywords)


def _equal(value: Any, default: Any) -> bool:
    return type(value) is type(default) and bool(value == default)


def _holds_array(value: Any) -> bool:
    return isinstance(value, ArrayArgument) or (isinstance(value, tuple) and any(_holds_array(v) for v in value))
