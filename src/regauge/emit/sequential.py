"""`nn.Sequential` as `nnx.Sequential`, and back: a chain in which every part takes what the part before it gave."""

from __future__ import annotations

import ast
import re
from collections.abc import Mapping, Sequence

from regauge.emit.expressions import Helpers, cast_expression, write_call, write_node
from regauge.emit.layers import Context
from regauge.emit.scopes import Scope, item_inputs, item_outputs
from regauge.emit.target import target
from regauge.ir.dropouts import dropout_rate
from regauge.ir.graph import Node, Operand, Ref, Sym
from regauge.lower.plan import Plan

_RANDOM = re.compile(r"rand|bernoulli|normal|dropout|multinomial|rrelu|poisson|exponential")


def is_chain(scope: Scope, kinds: Mapping[Scope, str], context: Context) -> bool:
    """Whether a call can be one `Sequential`: modules, and functions of one array without weights or dropout.

    A chain calls its parts itself, so that none of them can be recomputed.
    """
    if scope.step.type not in target().sequences or len(scope.inputs) != 1 or len(scope.outputs) != 1:
        return False
    if not any(isinstance(item, Scope) and item in kinds for item in scope.items):
        return False
    calls = [item for item in scope.items if isinstance(item, Scope)]
    if len({call.path for call in calls}) != len(calls) or any(call.step.recomputed for call in calls):
        return False
    value = scope.inputs[0]
    for item in scope.items:
        if isinstance(item, Node) and not _is_function(item, value, context):
            return False
        inputs, outputs = set(item_inputs(item)), item_outputs(item)
        own = inputs if isinstance(item, Node) else set(item.inputs)
        if own != {value} or len(outputs) != 1:
            return False
        value = outputs[0]
    return value == scope.outputs[0]


def is_random(node: Node) -> bool:
    """Whether an operator draws numbers, so that its module needs a random stream or a dropout."""
    return dropout_rate(node) is not None or (node.op != "aten.dropout.default" and bool(_RANDOM.search(node.op)))


def _is_function(node: Node, value: str, context: Context) -> bool:
    if node.bodies or len(node.outputs) != 1 or is_random(node) or not target().is_function(node):
        return False
    known = {d.text: axis for axis, d in enumerate(context.specs[value].shape) if isinstance(d, Sym)}
    return all(text in known for _, operand in node.arguments for text in _sizes(operand))


def _sizes(operand: Operand) -> list[str]:
    if isinstance(operand, Sym):
        return [operand.text]
    return [text for item in operand for text in _sizes(item)] if isinstance(operand, tuple) else []


def function_text(node: Node, plan: Plan, context: Context, casts: Mapping[str, str], helpers: Helpers) -> str:
    """An operator of a chain as something callable: `nnx.relu`, `partial(jax.nn.gelu, approximate=False)`, a lambda."""
    if (module := target().function_module(node)) is not None:
        return module
    if node.op == "aten.dropout.default":
        return "lambda x: x"
    rule = plan.rules[node.op]
    argument = ast.Name("x", ast.Load())
    written = write_node(node, rule, context.specs, lambda _: argument, {}, helpers)
    expression = written.expression
    if written.statements:
        expression = write_call(node, rule, context.specs, lambda _: argument, helpers)
    if node.outputs[0].name in casts:
        expression = cast_expression(expression, casts[node.outputs[0].name])
    refs = [o.name for _, o in node.arguments if isinstance(o, Ref)]
    sizes = {d.text: axis for axis, d in enumerate(context.specs[refs[0]].shape) if isinstance(d, Sym)}
    return _callable(_Sizes(sizes).visit(expression))


class _Sizes(ast.NodeTransformer):
    """`batch` as `x.shape[0]`: a lambda has no line before it."""

    def __init__(self, axes: Mapping[str, int]) -> None:
        self.axes = axes

    def visit_Name(self, node: ast.Name) -> ast.expr:
        if node.id in self.axes:
            return ast.parse(f"x.shape[{self.axes[node.id]}]", mode="eval").body
        return node


def sequential_text(parts: Sequence[str]) -> str:
    """The constructor of a chain with these parts."""
    name = target().sequential
    if len(parts) > 1 and len(set(parts)) == 1:
        return f"{name}(*[{parts[0]} for _ in range({len(parts)})])"
    return f"{name}({', '.join(parts)})"


def _callable(expression: ast.expr) -> str:
    uses = sum(isinstance(node, ast.Name) and node.id == "x" for node in ast.walk(expression))
    if isinstance(expression, ast.Call) and uses == 1 and len(expression.args) == 1:
        argument = expression.args[0]
        if isinstance(argument, ast.Name) and argument.id == "x":
            function = ast.unparse(expression.func)
            options = [f"{k.arg}={ast.unparse(k.value)}" for k in expression.keywords]
            return f"partial({', '.join([function, *options])})" if options else function
    return f"lambda x: {ast.unparse(expression)}"
