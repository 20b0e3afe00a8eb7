"""The calls of JAX that run local functions: `jax.lax.scan(step, h, xs)`, `jax.grad(loss)(x)`."""

from __future__ import annotations

import ast
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from regauge.ir.graph import Node

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter


def kind_of(node: Node) -> str:
    """What an operator of control flow is: ``cond``, ``scan``, ``grad`` ..."""
    return node.op.split(".")[1]


def parts_of_grad(writer: BodyWriter, node: Node) -> tuple[int, ...]:
    """Gradients, value, what comes besides; () where one gradient is all that is read."""
    gradients: Any = node.argument("xs")
    count = len(gradients)
    if count == 1 and not any(writer.left[value.name] > 0 for value in node.outputs[count:]):
        return ()
    return (count, count + 1) if len(node.outputs) > count + 1 else (count,)


def packed(values: Sequence[ast.expr]) -> ast.expr:
    """Several values as a tuple, one as itself, none as None."""
    if not values:
        return ast.Constant(None)
    return values[0] if len(values) == 1 else ast.Tuple(list(values), ast.Load())


@dataclass
class Call:
    """What the call of an operator is written from."""

    writer: BodyWriter
    node: Node
    functions: list[str]
    lent: Sequence[str] = ()

    def values(self, name: str) -> list[ast.expr]:
        given: Any = self.node.argument(name)
        return [self.writer.use(ref) for ref in given]

    def grouped(self, name: str) -> list[ast.expr]:
        """The arguments as the function's parameters take them."""
        values = self.values(name)
        declared: Any = self.node.argument("parameters")
        found, at = [], 0
        for _, leaves in declared[0]:
            found.append(packed(values[at : at + len(leaves)]))
            at += len(leaves)
        return found

    def text(self, function: str, arguments: Sequence[Any], **options: Any) -> ast.expr:
        """The call of a function; arguments are expressions or texts."""
        parts = [argument if isinstance(argument, str) else ast.unparse(argument) for argument in arguments]
        parts += [f"{name}={value!r}" for name, value in options.items()]
        return ast.parse(f"{function}({', '.join(parts)})", mode="eval").body


def _cond(call: Call) -> ast.expr:
    pred: Any = call.node.argument("pred")
    decided = call.writer.use(pred)
    if call.writer.specs[pred.name].shape:
        decided = ast.Call(ast.Attribute(decided, "squeeze", ast.Load()), [], [])
    function = "nnx.cond" if call.lent else "jax.lax.cond"
    return call.text(function, [decided, *call.functions, *call.lent, *call.grouped("operands")])


def _while_loop(call: Call) -> ast.expr:
    function = "jax.lax.while_loop"
    if call.node.argument("differentiable"):
        from regauge.emit.nnx_flow_helpers import while_loop

        call.writer.helpers.add(while_loop)
        function = "ops.while_loop"
    return call.text(function, [*call.functions, packed(call.values("carried"))])


def _scan(call: Call) -> ast.expr:
    options = {"reverse": True} if call.node.argument("reverse") else {}
    given = [*call.functions, packed(call.values("init")), packed(call.values("xs"))]
    return call.text("jax.lax.scan", given, **options)


def _map(call: Call) -> ast.expr:
    return call.text("jax.lax.map", [*call.functions, packed(call.values("xs"))])


def _associative_scan(call: Call) -> ast.expr:
    axis = call.node.argument("axis")
    mapped = {"in_axes": axis, "out_axes": axis} if axis else {}
    combine = call.text("jax.vmap", call.functions, **mapped)
    options = {"reverse": True} if call.node.argument("reverse") else {}
    if axis:
        options["axis"] = axis  # type: ignore[assignment]
    return call.text("jax.lax.associative_scan", [combine, packed(call.values("xs"))], **options)


def _vmap(call: Call) -> ast.expr:
    options = {}
    for name in ("in_axes", "out_axes"):
        axes: Any = call.node.argument(name)
        if any(axes):
            options[name] = axes[0] if len(set(axes)) == 1 else tuple(axes)
    mapped = call.text("jax.vmap", call.functions, **options)
    return call.text(ast.unparse(mapped), call.values("xs"))


def _grad(call: Call) -> ast.expr:
    values = call.values("xs")
    returned: Any = call.node.argument("returned")
    options: dict[str, Any] = {"argnums": tuple(range(len(values)))} if len(values) > 1 else {}
    if returned[0][1]:
        options["has_aux"] = True
    name = "jax.value_and_grad" if parts_of_grad(call.writer, call.node) else "jax.grad"
    return call.text(ast.unparse(call.text(name, call.functions, **options)), values)


def _jvp(call: Call) -> ast.expr:
    pairs = [ast.Tuple(call.values(name), ast.Load()) for name in ("xs", "tangents")]
    return call.text("jax.jvp", [*call.functions, *pairs])


def _vjp(call: Call) -> ast.expr:
    pulled = call.text("jax.vjp", [*call.functions, *call.values("xs")])
    gradients = call.text(f"{ast.unparse(pulled)}[1]", [packed(call.values("cotangents"))])
    if len(call.node.outputs) > 1:
        return gradients
    return ast.Subscript(gradients, ast.Constant(0), ast.Load())


def _jacobian(call: Call) -> ast.expr:
    values = call.values("xs")
    options = {"argnums": tuple(range(len(values)))} if len(values) > 1 else {}
    function = f"jax.{call.node.argument('mode')}"
    return call.text(ast.unparse(call.text(function, call.functions, **options)), values)


CALLS: dict[str, Callable[[Call], ast.expr]] = {
    "cond": _cond,
    "while_loop": _while_loop,
    "scan": _scan,
    "map": _map,
    "associative_scan": _associative_scan,
    "vmap": _vmap,
    "grad": _grad,
    "jvp": _jvp,
    "vjp": _vjp,
    "jacobian": _jacobian,
}
