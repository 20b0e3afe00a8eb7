"""From a graph to the text of model.py and ops.py, with the map of the weights."""

from __future__ import annotations

import ast
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from flax import nnx as flax_nnx

from regauge.emit.body import BodyWriter
from regauge.emit.construct import init_lines
from regauge.emit.expressions import Helpers
from regauge.emit.files import EmittedClass, Place, model_text, ops_text
from regauge.emit.layers import Layout
from regauge.emit.loops import roll_loops
from regauge.emit.members import Structure
from regauge.emit.names import camel, unique
from regauge.emit.origins import function_at
from regauge.emit.partial import literal
from regauge.emit.scopes import Scope, build_scopes
from regauge.findings import Finding
from regauge.ir.graph import Graph, Node, Ref
from regauge.lower.channels_last import channels_last
from regauge.lower.lower import check_specs
from regauge.lower.plan import plan
from regauge.rules.table import RuleTable

_SMALL_CONSTANT = 16  # elements of a literal tensor that is written into the code


@dataclass(frozen=True)
class Placed:
    """Where a weight of the original lives in the emitted module."""

    source: str
    target: str
    layout: Layout


@dataclass(frozen=True)
class Emitted:
    """The result of emission.

    Attributes:
        model: text of model.py, without the loader.
        ops: text of ops.py, or None.
        root: name of the root class.
        placed: every weight that the emitted module holds.
        unused: (weight, reason) for those that it does not need.
        places: where the lines of model.py came from, by line number.
        findings: what a person should know.
    """

    model: str
    ops: str | None
    root: str
    placed: tuple[Placed, ...]
    unused: tuple[tuple[str, str], ...]
    places: dict[int, Place]
    findings: tuple[Finding, ...] = ()


@dataclass
class _Module:
    """State of one emission."""

    graph: Graph
    structure: Structure
    plan: Any
    casts: Mapping[str, str]
    constants: Mapping[str, ast.expr]
    helpers: Helpers = field(default_factory=Helpers)
    classes: dict[Any, EmittedClass] = field(default_factory=dict)
    names: set[str] = field(default_factory=set)
    library: dict[str, type] = field(default_factory=dict)


def emit_module(
    graph: Graph,
    table: RuleTable,
    constants: Mapping[str, np.ndarray],
    title: str,
    helpers: Helpers | None = None,
) -> Emitted:
    """The NNX source of a captured model.

    Args:
        graph: the captured graph (dialect aten).
        table: the rules.
        constants: values of the graph's constant tensors by name.
        title: first line of the file's docstring.
        helpers: receives the functions for ops.py, when other files of the folder need some too.

    Raises:
        UnsupportedOps: operators without a rule, all at once.
        SpecMismatch: a rule that does not give the captured shape or dtype.
    """
    plan(graph, table)  # gaps are reported on the graph that was captured, before it is rewritten
    graph = channels_last(graph)
    chosen = plan(graph, table)
    casts = check_specs(graph, chosen)
    structure = Structure(graph, build_scopes(graph), reserved=dir(flax_nnx.Module))
    small = {
        w.value: ast.parse(array_text(constants[w.name]), mode="eval").body
        for w in graph.weights
        if w.role == "constant" and w.value and w.name in constants and constants[w.name].size <= _SMALL_CONSTANT
    }
    module = _Module(graph, structure, chosen, casts, small, helpers if helpers is not None else Helpers())
    root = _emit_class(module, structure.root, {})
    placed = _place(structure, structure.root, "", {w.value for w in graph.weights if w.value in small})
    text, places = model_text(module.classes.values(), module.library.values(), root.name, title)
    used = {p.source for p in placed}
    unused = tuple(
        (w.name, _unused_reason(w.name, w.value in small))
        for w in graph.weights
        if w.name not in used and w.tied_to is None
    )
    ops = ops_text(module.helpers)
    return Emitted(text, ops, root.name, tuple(placed), unused, places, chosen.findings)


def _unused_reason(name: str, is_literal: bool) -> str:
    if is_literal:
        return "a literal of the source, written into the code"
    if name.endswith("num_batches_tracked"):
        return "a counter that nothing reads"
    return "the forward pass does not read it"


def array_text(value: np.ndarray) -> str:
    """A literal array with its dtype."""
    dtype = {"int64": "int", "bool": "bool"}.get(str(value.dtype), f"jnp.{value.dtype}")
    text = repr(value.tolist()).replace("inf", "jnp.inf").replace("nan", "jnp.nan")
    return f"jnp.array({text}, dtype={dtype})"


# classes ---------------------------------------------------------------------------------------------------------


def _key(module: _Module, scope: Scope) -> Any:
    """Two calls with the same key are the same code: names of values and weights are replaced by their order."""
    numbers: dict[str, str] = {}

    def local(name: str) -> str:
        spec = module.structure.context.weights.get(name)
        if spec is not None and name not in scope.inputs:
            if name in module.constants:
                return ast.unparse(module.constants[name])
            return "w:" + spec.name.removeprefix(scope.path + ".") + str(spec.spec) + spec.role + str(spec.trainable)
        return numbers.setdefault(name, f"v{len(numbers)}")

    def operand(item: Any) -> Any:
        if isinstance(item, Ref):
            return local(item.name)
        if isinstance(item, tuple):
            return tuple(operand(part) for part in item)
        return (type(item).__name__, str(item))

    parts: list[Any] = [scope.step.type, tuple(local(n) for n in scope.inputs)]
    for item in scope.items:
        if isinstance(item, Node):
            arguments = tuple((k, operand(v)) for k, v in item.arguments)
            outputs = tuple((local(v.name), str(v.spec)) for v in item.outputs)
            parts.append((item.op, arguments, outputs))
        else:
            layer = module.structure.layers.get(item)
            inner = (
                (layer.constructor, repr(layer.arguments), repr(layer.keywords))
                if layer is not None
                else _key(module, item)
            )
            relative = item.path.removeprefix(scope.path + ".")
            parts.append((relative, inner, tuple(map(local, item.inputs)), tuple(map(local, item.outputs))))
    parts.append(tuple(local(n) for n in scope.outputs))
    return tuple(parts)


def _emit_class(module: _Module, scope: Scope, hints: Mapping[str, str]) -> EmittedClass:
    key = _key(module, scope)
    if key in module.classes:
        return module.classes[key]
    simple = scope.step.type.rsplit(".", 1)[-1].split("[")[0]
    name = unique(camel(simple), module.names)
    module.names.add(name)
    writer = BodyWriter(scope, module.structure, module.plan, module.casts, module.constants, module.helpers, hints)
    body = writer.write(_returned(module.graph, scope))
    holder = module.structure.holders[scope]
    children = {
        path: _emit_class(module, member.scope, writer.child_hints.get(member.scope, {}))
        for path, member in holder.members.items()
        if member.kind == "class"
    }
    init = init_lines(module, holder, children)
    made = EmittedClass(name, scope.path, _class_comment(scope), init, roll_loops(body))
    module.classes[key] = made
    return made


def _returned(graph: Graph, scope: Scope) -> Callable[[Callable[[Ref], ast.expr]], ast.expr]:
    if scope.path == "":
        return lambda use: tree_expression(graph.out_tree, use)

    def returned(use: Callable[[Ref], ast.expr]) -> ast.expr:
        values = [use(Ref(name)) for name in scope.outputs]
        return values[0] if len(values) == 1 else ast.Tuple(values, ast.Load())

    return returned


def tree_expression(tree: Any, use: Callable[[Ref], ast.expr]) -> ast.expr:
    """The expression that builds a pytree from its skeleton (`regauge.run.protocol`)."""
    if "leaf" in tree:
        return use(Ref(tree["leaf"]))
    if "none" in tree:
        return ast.Constant(None)
    if "value" in tree:
        return literal(tree["value"])
    if "dict" in tree:
        keys: list[ast.expr | None] = [ast.Constant(k) for k in tree["dict"]]
        return ast.Dict(keys, [tree_expression(v, use) for v in tree["dict"].values()])
    items = [tree_expression(v, use) for v in tree.get("tuple", tree.get("list"))]
    return ast.Tuple(items, ast.Load()) if "tuple" in tree else ast.List(items, ast.Load())


def _class_comment(scope: Scope) -> str:
    for node in scope.nodes():
        own = [s for s in node.origin.modules if not s.type.startswith("torch.nn.")]
        depth = next((i for i, s in enumerate(own) if s.call == scope.step.call), None)
        forwards = [f for f in node.origin.frames if f.function == "forward"]
        if depth is not None and depth < len(forwards):
            function = function_at(forwards[depth])
            if function is not None and function.class_line:
                return f"{forwards[depth].file.rsplit('/', 1)[-1]}:{function.class_line}"
    return ""


# weights -------------------------------------------------------------------------------------------------------------


def _place(structure: Structure, scope: Scope, prefix: str, literals: set[str]) -> list[Placed]:
    holder = structure.holders[scope]
    placed = [
        Placed(name, prefix + attribute, ())
        for name, attribute in holder.weights.items()
        if not any(w.name == name and w.value in literals for w in structure.graph.weights)
    ]
    for path, member in holder.members.items():
        target = f"{prefix}{member.target}."
        if member.layer is not None:
            placed += [
                Placed(f"{path}.{leaf}", target + attribute, layout)
                for leaf, (attribute, layout) in member.layer.weights.items()
            ]
        else:
            placed += _place(structure, member.scope, target, literals)
    return placed
