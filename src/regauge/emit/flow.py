"""Control flow and transformations: local functions, and the call of JAX that runs them.

def step(h, x):
    h = jnp.tanh(self.cell(jnp.concatenate([x, h], axis=-1)))
    return h, h

h, ys = jax.lax.scan(step, h, xs)
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from regauge.emit.flow_calls import CALLS, Call, kind_of, packed, parts_of_grad
from regauge.emit.lent_modules import lent_modules, reserve, with_parameters
from regauge.emit.lines import Body, Line
from regauge.emit.literals import literal
from regauge.emit.names import identifier
from regauge.emit.origins import unpacked_names
from regauge.emit.scopes import Item, Scope, is_body
from regauge.emit.statements import frame_of
from regauge.emit.target import target
from regauge.ir.graph import Frame, Node, Operand, Ref

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter

# Names of functions where the original has none.
_DEFAULT_NAMES = {
    "cond": ("when_true", "when_false"),
    "switch": ("first", "second", "third"),
    "while_loop": ("condition", "step"),
    "scan": ("step",),
    "map": ("each",),
    "associative_scan": ("combine",),
    "vmap": ("each",),
    "checkpoint": ("function",),
    **dict.fromkeys(("grad", "jvp", "vjp", "jacobian"), ("function",)),
}
_NO_NAMES = ("<lambda>", "forward", "__call__")
# Kinds whose functions take all that they carry as one argument.
_PACKED = {"while_loop": "carry"}
_LONGEST_LAMBDA = 72


@dataclass(frozen=True)
class Group:
    """One parameter of a local function, and the values that it holds."""

    name: str
    values: tuple[str, ...]


def groups_of(node: Node, index: int, body: Scope) -> list[Group]:
    """The parameters of a function; one that holds several values is a tuple."""
    kind = kind_of(node)
    values = iter(body.parameters)
    declared: Any = node.argument("parameters")
    if kind in ("vmap", "grad", "jvp", "vjp", "jacobian"):
        return [Group(name, (next(values),)) for name, leaves in declared[index] for _ in leaves]
    if kind in _PACKED and len(body.parameters) > 1:
        return [Group(_PACKED[kind], tuple(body.parameters))]
    return [Group(name, tuple(next(values) for _ in leaves)) for name, leaves in declared[index]]


def hints_of(node: Node, index: int, body: Scope) -> dict[str, str]:
    """Names of the values that a function gets: those of its parameters, of keys, of `h, c = carry` in the original."""
    names: dict[str, str] = {}
    values = iter(body.parameters)
    declared: Any = node.argument("parameters")
    frame = _first_frame(body)
    for name, leaves in declared[index]:
        unpacked = unpacked_names(frame, name) if frame is not None else ()
        for place, leaf in enumerate(leaves):
            value = next(values)
            if len(leaves) == 1:
                names[value] = name if not name.startswith("argument_") else "x"
            elif leaf:
                names[value] = leaf
            elif len(unpacked) == len(leaves):
                names[value] = unpacked[place]
    return names


def _first_frame(body: Scope) -> Frame | None:
    """A line of the original in the function."""
    return next((frame for node in body.nodes() if (frame := frame_of(body, node)) is not None), None)


def unpacking(groups: Sequence[Group], names: Mapping[str, str]) -> list[Line]:
    """`h, c = carry` for every parameter that holds several values."""
    return [Line(f"{', '.join(names[v] for v in group.values)} = {group.name}") for group in groups if _many(group)]


def _many(group: Group) -> bool:
    return len(group.values) > 1


def write_flow(writer: BodyWriter, node: Node, bodies: Sequence[Scope], following: Item | None) -> None:
    """Write the functions of an operator, and its call."""
    functions: list[str] = []
    defined: set[str] = set()  # both ways of a branch may have one name in the original
    lent = lent_modules(writer, bodies) if kind_of(node) == "cond" and target().framework == "jax" else {}
    for index, body in enumerate(bodies):
        functions.append(_function(writer, node, index, body, defined, lent))
    _name_results(writer, node, bodies)
    calls = {**CALLS, **target().flow_calls}
    expression = calls[kind_of(node)](Call(writer, node, functions, [*lent]))
    parts = _parts(writer, node)
    outputs = [value.name for value in node.outputs]
    if not parts:
        read = [name for name in outputs if writer.left[name] > 0]
        writer.finish(node, read if kind_of(node) == "grad" else outputs, expression, following, pure=False)
        return
    names = writer.choose_names(outputs, node)
    cut = [0, *parts, len(names)]
    groups = [_target(names[start:end]) for start, end in pairwise(cut)]
    if kind_of(node) == "grad":  # gradients come first among the results, and last in JAX
        gradients, value, *besides = groups
        groups = [f"({value}, {besides[0]})" if besides else value, gradients]
    writer.lines.append(Line(f"{', '.join(groups)} = {ast.unparse(expression)}", "", node.origin.line))


def _parts(writer: BodyWriter, node: Node) -> tuple[int, ...]:
    """Where the results of an operator are cut into groups that JAX gives as tuples; () where it gives them flat."""
    returned: Any = node.argument("returned")
    if kind_of(node) in ("scan", "jvp"):
        return (returned[0][0],)
    return parts_of_grad(writer, node) if kind_of(node) == "grad" else ()


def _name_results(writer: BodyWriter, node: Node, bodies: Sequence[Scope]) -> None:
    """What is carried keeps the name that it has inside, what a condition chooses the one that it sets."""
    if kind_of(node) == "cond":
        chosen: Any = dict(node.arguments).get("names", ())
        writer.result_names |= {v.name: name for v, name in zip(node.outputs, chosen, strict=False) if name}
    if kind_of(node) not in ("while_loop", "scan"):
        return
    names = hints_of(node, len(bodies) - 1, bodies[-1])
    for value, inner in zip(node.outputs, bodies[-1].parameters, strict=False):
        writer.result_bases[value.name] = names.get(inner, "y")
    returned: Any = node.argument("returned")
    for value in node.outputs[returned[-1][0] :]:
        writer.result_bases[value.name] = "ys"


def _target(names: Sequence[str]) -> str:
    if not names or all(name == "_" for name in names):
        return "_"
    return names[0] if len(names) == 1 else f"({', '.join(names)})"


# functions -----------------------------------------------------------------------------------------------------------


def _function(
    writer: BodyWriter, node: Node, index: int, body: Scope, defined: set[str], lent: Mapping[str, str]
) -> str:
    """Write one function before the call; gives what the call names: `step`, or a lambda.

    `defined` are the names of functions that the same call needs; it gets the new ones. `lent` are modules that the
    function gets besides its arguments.
    """
    inner = writer.inside(body, groups_of(node, index, body), hints_of(node, index, body))
    groups = inner.groups
    reserve(inner, lent.values())
    if kind_of(node) == "checkpoint":  # it runs again when this code is over: what it reads must be what it was
        read = (n for expression in inner.inputs.values() for n in ast.walk(expression) if isinstance(n, ast.Name))
        writer.pinned.update(name.id for name in read)
    written = inner.write(_returned(node, index, body))
    writer.child_hints.update(inner.child_hints)
    transformed = _transformed(writer, body, groups, written, defined)
    if transformed is not None:
        return transformed
    names = [group.name for group in groups]
    modules, written = with_parameters(written, lent, names)
    own = _own_name(body)
    if own in _NO_NAMES and len(written.lines) == 1:
        text = _lambda([*modules, *names], written)
        if len(text) <= _LONGEST_LAMBDA:
            return text
    wanted = identifier(own) if own not in _NO_NAMES else _default_name(node, index)
    name = writer.free_name(wanted, {known: known for known in defined})
    defined.add(name)
    writer.functions.add(name)
    frame = _first_frame(body)
    place = f"{frame.file.rsplit('/', 1)[-1]}:{frame.line}" if frame is not None else ""
    writer.lines.append(Line(f"def {name}({', '.join([*modules, *names])}):", "", place))
    writer.lines += [replace(line, text=f"    {line.text}") for line in written.lines]
    return name


def _default_name(node: Node, index: int) -> str:
    names = _DEFAULT_NAMES[kind_of(node)]
    return names[index] if index < len(names) else f"function_{index + 1}"


def _transformed(
    writer: BodyWriter, body: Scope, groups: Sequence[Group], written: Body, defined: set[str]
) -> str | None:
    """`jax.grad(loss)` for a function that only calls another one, transformed: that one is written in its place."""
    inner, last = body.items[:-1], body.items[-1] if body.items else None
    if not inner or not all(is_body(item) for item in inner) or not isinstance(last, Node):
        return None
    read = {name for item in inner if isinstance(item, Scope) for name in item.inputs}
    *lines, end = written.lines
    call = ast.parse(end.text.removeprefix("return "), mode="eval").body
    names = [group.name for group in groups]
    if not isinstance(call, ast.Call) or call.keywords or [ast.unparse(a) for a in call.args] != names:
        return None
    made = {line.text.split("(")[0].removeprefix("def ") for line in lines if line.text.startswith("def ")}
    if not read.isdisjoint(body.parameters) or not made.isdisjoint({*writer.names, *defined}):
        return None
    defined |= made
    writer.lines += lines
    return ast.unparse(call.func)


def _own_name(body: Scope) -> str:
    """What the original calls the function."""
    frame = _first_frame(body)
    return frame.function if frame is not None else "<lambda>"


def _lambda(parameters: Sequence[str], written: Body) -> str:
    expression = written.lines[0].text.removeprefix("return ")
    tree = ast.parse(expression, mode="eval").body
    if isinstance(tree, ast.Tuple):
        expression = ast.unparse(tree)  # in brackets: the items of `return a, b` would be arguments of the call
    if isinstance(tree, ast.Call) and not tree.keywords and [ast.unparse(a) for a in tree.args] == list(parameters):
        function = ast.unparse(tree.func)
        if not any(isinstance(n, ast.Name) and n.id in parameters for n in ast.walk(tree.func)):
            return function
    return f"lambda {', '.join(parameters)}: {expression}" if parameters else f"lambda: {expression}"


def _returned(node: Node, index: int, body: Scope) -> Callable[[Callable[[Ref], ast.expr]], ast.expr]:
    counts: Any = node.argument("returned")

    def returned(use: Callable[[Ref], ast.expr]) -> ast.expr:
        values = [_value(operand, use) for operand in body.returned]
        if kind_of(node) == "grad":
            return values[0] if len(values) == 1 else ast.Tuple([values[0], packed(values[1:])], ast.Load())
        if kind_of(node) == "scan":
            carried = counts[index][0]
            return ast.Tuple([packed(values[:carried]), packed(values[carried:])], ast.Load())
        return packed(values)

    return returned


def _value(operand: Operand, use: Callable[[Ref], ast.expr]) -> ast.expr:
    return use(operand) if isinstance(operand, Ref) else literal(operand)
