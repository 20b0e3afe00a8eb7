"""Functions with a derivative of their own (`torch.autograd.Function`) as `jax.custom_vjp` in ops.py."""

from __future__ import annotations

import ast
import inspect
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import cache
from typing import TYPE_CHECKING, Any

from regauge.dtypes import kind
from regauge.emit.expressions import NAME
from regauge.emit.flow import Group
from regauge.emit.flow_calls import packed
from regauge.emit.lines import Body
from regauge.emit.names import identifier
from regauge.emit.scopes import Item, body_scope
from regauge.emit.target import target
from regauge.ir.graph import Node, Ref, Value

if TYPE_CHECKING:
    from regauge.emit.body import BodyWriter


def write_own_gradient(writer: BodyWriter, node: Node, following: Item | None) -> None:
    """Write the function and its derivative into ops.py, and the call of it here."""
    closure: Any = node.argument("closure")
    inputs: Any = node.argument("inputs")
    read = [ref for ref in closure if ref.name not in writer.constants]
    text = (target().own_gradient or OwnGradient)(writer, node, read).text()
    name = writer.helpers.write(_function_name(str(node.argument("name"))), text)
    arguments = [writer.use(ref) for ref in (*inputs, *read)]
    for ref in closure:
        if ref not in read:
            writer.use(ref)
    expression = ast.Call(ast.Attribute(ast.Name("ops", ast.Load()), name, ast.Load()), arguments, [])
    writer.finish(node, [value.name for value in node.outputs], expression, following, pure=False)


def _function_name(name: str) -> str:
    """`round_ste` for `RoundSTE`; no name that a function of the rules has, which ops.py may need too."""
    parts = re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[a-z0-9]+|[A-Z0-9]+", name)
    found = identifier("_".join(part.lower() for part in parts) or "function")
    return f"own_{found}" if found in _rule_names() else found


@cache
def _names_in(module: str) -> frozenset[str]:
    """Functions of a file of rules."""
    return frozenset(name for name, item in vars(sys.modules[module]).items() if inspect.isfunction(item))


def _rule_names() -> set[str]:
    files = {rule.fn.__module__ for rule in target().table()}
    return {name for file in files if file.startswith("regauge.") for name in _names_in(file)}


class OwnGradient:
    """The text of one function with its derivative."""

    def __init__(self, writer: BodyWriter, node: Node, read: Sequence[Ref]) -> None:
        self.writer = writer
        self.node = node
        self.forward, self.backward = node.bodies
        self.outputs = self.forward.outputs[: len(node.outputs)]
        self.saved = [ref.name for ref in self.forward.outputs[len(node.outputs) :] if isinstance(ref, Ref)]
        self.inputs = [*self.forward.inputs, *(Value(ref.name, writer.specs[ref.name]) for ref in read)]
        self.read = len(read)
        self.names: dict[str, str] = {}  # of values in the function

    def text(self) -> str:
        """`@jax.custom_vjp`, the function, what it saves, its derivative, and the line that joins them."""
        groups = [Group(name, (value.name,)) for name, value in zip(self._names(), self.inputs, strict=True)]
        main = self._written(0, self.inputs, self.outputs, groups, lambda values: packed(values))
        place = self._place()
        parts = [
            f"@jax.custom_vjp\n{_def(NAME, main)}{place}\n{_lines(main)}",
            self._forward_text(groups, main),
            self._backward_text(),
            f"{NAME}.defvjp({NAME}_forward, {NAME}_backward)",
        ]
        return "\n\n\n".join(parts)

    def _names(self) -> list[str]:
        declared: Any = self.node.argument("parameters")
        names = [name for name, leaves in declared[0] for _ in leaves]
        return [*names, *(f"read_{number}" for number in range(self.read))]

    def _place(self) -> str:
        frames = self.node.origin.frames
        inner = next(
            (n.origin.frames[len(frames)] for n in self.forward.nodes if len(n.origin.frames) > len(frames)), None
        )
        return f"  # {inner.file.rsplit('/', 1)[-1]}:{inner.line}" if inner is not None else ""

    def _written(
        self,
        index: int,
        inputs: Sequence[Value],
        outputs: Sequence[Any],
        groups: Sequence[Group],
        returned: Callable[[list[ast.expr]], ast.expr],
        hints: Mapping[str, str] | None = None,
    ) -> Body:
        graph = self.node.bodies[index]
        symbols = self.writer.structure.graph.symbols
        whole = replace(graph, inputs=tuple(inputs), outputs=tuple(outputs), symbols=symbols)
        scope = body_scope(whole, self.node)
        inner = self.writer.apart(scope, whole, groups, hints or {})
        body = inner.write(lambda use: returned([use(o) if isinstance(o, Ref) else ast.Constant(o) for o in outputs]))
        self.names |= {v: e.id for v, e in inner.expressions.items() if isinstance(e, ast.Name)}
        return body

    def _forward_text(self, groups: Sequence[Group], main: Body) -> str:
        """What the function saves: its arguments and results as they are, or all that it computes once more."""
        arguments = {group.values[0]: name for group, name in zip(groups, main.parameters, strict=True)}
        results = [ref.name for ref in self.outputs if isinstance(ref, Ref)]
        if all(name in arguments or name in results for name in self.saved):
            many = len(results) > 1
            known = {name: f"outputs[{place}]" if many else "output" for place, name in enumerate(results)} | arguments
            saved = ast.unparse(packed([ast.parse(known[name], mode="eval").body for name in self.saved]))
            call = f"{NAME}({', '.join(main.parameters)})"
            if not any("output" in known[name] for name in self.saved):
                return f"def {NAME}_forward({', '.join(main.parameters)}):\n    return {call}, {saved}"
            target = "outputs" if many else "output"
            lines = f"    {target} = {call}\n    return {target}, {saved}"
            return f"def {NAME}_forward({', '.join(main.parameters)}):\n{lines}"
        count = len(self.outputs)

        def both(values: list[ast.expr]) -> ast.expr:
            return ast.Tuple([packed(values[:count]), packed(values[count:])], ast.Load())

        outputs = [*self.outputs, *(Ref(name) for name in self.saved)]
        written = self._written(0, self.inputs, outputs, groups, both)
        return f"{_def(f'{NAME}_forward', written)}\n{_lines(written)}"

    def _backward_text(self) -> str:
        flows: Any = self.node.argument("flows")
        given = iter(self.backward.outputs)
        outputs = [next(given) if flow else None for flow in flows] + [None] * self.read
        residuals = self.backward.inputs[: len(self.saved)]
        cotangents = self._cotangents()
        hints = {value.name: self.names[value.name] for value in residuals if value.name in self.names}
        declared: Any = self.node.argument("parameters")
        floats = [value.name for value in self.backward.inputs[len(self.saved) :]]
        names = [name for name, leaves in declared[1] for _ in leaves]
        hints |= {value: name for value, name in zip(floats, names, strict=True) if name.strip("_")}
        hints |= {value.name: "unused" for value in cotangents if value.name not in floats}
        groups = [_group("saved", residuals, hints)] if residuals else []
        groups.append(_group("gradient" if len(cotangents) == 1 else "gradients", cotangents, hints))
        inputs = [*residuals, *cotangents]
        written = self._written(1, inputs, outputs, groups, lambda values: ast.Tuple(values, ast.Load()), hints)
        parameters = [*([] if residuals else ["_"]), *written.parameters]
        return f"def {NAME}_backward({', '.join(parameters)}):\n{_lines(written)}"

    def _cotangents(self) -> list[Value]:
        """What the derivative is given: one for each output, of which the graph names those that are no integers."""
        entered = iter(self.backward.inputs[len(self.saved) :])
        return [
            next(entered) if kind(v.spec.dtype) in ("float", "complex") else replace(v, name=f"{v.name}_unused")
            for v in self.node.outputs
        ]


def _group(name: str, values: Sequence[Value], hints: Mapping[str, str]) -> Group:
    """A parameter; one value is called what it is called itself."""
    return Group(hints.get(values[0].name, name) if len(values) == 1 else name, tuple(value.name for value in values))


def _def(name: str, body: Body) -> str:
    return f"def {name}({', '.join(body.parameters)}):"


def _lines(body: Body) -> str:
    return "\n".join(f"    {line.text}" for line in body.lines)  # without shapes: one text for several sizes
